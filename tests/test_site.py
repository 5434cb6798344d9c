"""docs/site_hook.py and mkdocs.yml: links on the site lead where those of the repository do."""

import importlib.util
import re

import pytest

from tests.helpers.pages import PAGES, ROOT

pytest.importorskip("mkdocs")
spec = importlib.util.spec_from_file_location("site_hook", ROOT / "docs" / "site_hook.py")
site_hook = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site_hook)
KNOWN = {"index.md", "results.md", "datasets.md", "schemes.md", "guides/training.md", "a.png"}


@pytest.mark.parametrize(
    "place, text, expected",
    [
        ("index.md", "[t](docs/guides/training.md#part)", "[t](guides/training.md#part)"),
        ("index.md", "![picture](docs/a.png)", "![picture](a.png)"),
        ("guides/training.md", "[r](../../RESULTS.md), [s](../schemes.md)", "[r](../results.md), [s](../schemes.md)"),
        ("guides/training.md", "[code](../../ealn_plugin/config/defaults.py)", "code"),
        ("schemes.md", "[d](../datasets.md#views) [here](#bounds)", "[d](datasets.md#views) [here](#bounds)"),
        ("schemes.md", "[out](https://a.b/c.md)", "[out](https://a.b/c.md)"),
    ],
)
def test_links(place, text, expected):
    assert site_hook.with_links(text, place, KNOWN) == expected


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")} | set(site_hook.PAGES.values())
    assert named == pages
    assert all((ROOT / name).is_file() for name in site_hook.PAGES)
