"""ealn_plugin/system/extras.py: what is missing, what needs it, how to get it."""

import re
import runpy

import pytest
import setuptools

from ealn_plugin import export
from ealn_plugin.models import timm_backbone
from ealn_plugin.reports import html
from ealn_plugin.system.extras import check_extra
from tests.helpers.pages import PAGES, ROOT


def test_only_what_is_missing_is_named():
    check_extra("report", ("numpy", "torch"), "reports")
    with pytest.raises(RuntimeError) as error:
        check_extra("some", ("numpy", "no_such_package"), "pages")
    assert str(error.value) == (
        'no_such_package is not installed, but pages need it; install with pip install -c constraints.txt -e ".[some]"'
    )
    with pytest.raises(RuntimeError, match=r'\[some\]", or do without$'):
        check_extra("some", ("no_such_package",), "pages", "do without")


def test_the_extras_of_the_pages_bring_what_they_are_for(monkeypatch):
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    extras = given["extras_require"]
    text = "".join(PAGES.values())
    assert set(re.findall(r'pip install -c constraints.txt -e "\.\[(\w+)\]"', text)) == set(extras)
    wanted = {
        "figures": ("matplotlib",),
        "search": ("pylance",),
        html.EXTRA: html.PACKAGES,
        export.EXTRA: export.PACKAGES,
        timm_backbone.EXTRA: timm_backbone.PACKAGES,
    }
    assert {name: set(extras[name]) for name in wanted} == {name: set(packages) for name, packages in wanted.items()}
    assert all(set(packages) <= set(extras["test"]) for packages in wanted.values())
