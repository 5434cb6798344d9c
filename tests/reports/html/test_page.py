"""ealn_plugin/reports/html/page.py: one file that stands alone, whatever the runs are called."""

import pathlib
import re
import subprocess
import sys

import pytest

from ealn_plugin.reports.html import open_runs, write_page
from ealn_plugin.reports.html.blocks import Line, Note, Section, Table
from ealn_plugin.reports.html.page import render
from ealn_plugin.system import extras
from tests.helpers.browser import open_in_chromium
from tests.helpers.run_folders import make_folder, record_training

HOSTILE = (
    "<script>window.hostile = 1; alert(1)</script>",
    '"><img src=x onerror="window.hostile = 2">',
    "{{ 7 * 7 }}",
    "$x_{$ & _a",
    "ein Wagen 车 " + "long" * 40,
    "line\nbreak",
    b"\xff".decode("utf-8", "surrogateescape"),
)


def test_nothing_in_a_name_becomes_part_of_the_page(tmp_path):
    blocks = [Note(name) for name in HOSTILE] + [Table(HOSTILE[0], HOSTILE, (Line(HOSTILE, "measured"),), folded=True)]
    page = tmp_path / "page.html"
    title = ", ".join(HOSTILE)
    sections = [Section("key", HOSTILE[1], blocks, HOSTILE[0]), Section("none", "empty")]
    page.write_text(render(title, HOSTILE[1], sections), encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<img" not in text and "{{ 7 * 7 }}" in text and 'id="none"' not in text
    found = open_in_chromium(page, tmp_path)
    assert found["dialogs"] == 0 and found["problems"] == [] and found["scrollWidth"] <= found["innerWidth"] == 390


def test_a_page_of_records_in_a_browser(tmp_path):
    """With folders named by markup and formulas: every picture loads, nothing else is asked for, nothing overflows."""
    first = make_folder(tmp_path / "<b>$x_{$", "ealn.alpha", 0.5)
    record_training(first)
    runs = open_runs([str(first), str(make_folder(tmp_path / "_en", "ealn.scheme", "en"))])
    page = tmp_path / "page.html"
    write_page(runs, str(page), str(tmp_path / "features"))
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;$x_{$" in text and "<b>" not in text and not (tmp_path / "features").exists()
    assert not [
        address
        for address in re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\'\s>)]+)', text)
        if not address.startswith(("data:", "#"))
    ]
    for width in (390, 800, 1280):
        found = open_in_chromium(page, tmp_path, width)
        assert found["scrollWidth"] <= found["innerWidth"] == width and found["folded"] < 1500
        assert len(found["images"]) == 7 and min(found["images"]) > 100 and found["without_alt"] == 0
        assert found["requests"] == [] and found["problems"] == []


@pytest.mark.slow
def test_an_installed_package_has_the_template(tmp_path):
    root = pathlib.Path(__file__).parents[3]
    subprocess.run([sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)], cwd=root, check=True)
    assert (tmp_path / "ealn_plugin" / "report" / "page.html.jinja").stat().st_size > 1000


def test_equal_runs_make_equal_pages_that_name_no_folder(runs, tmp_path):
    for name in ("a.html", "b.html"):
        write_page(runs[1:], str(tmp_path / name), str(tmp_path / "features"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "a.html").read_bytes()


def test_a_failure_leaves_an_older_page_alone(runs, tmp_path, monkeypatch):
    runs = runs[1:]
    page = tmp_path / "page.html"
    page.write_text("older")
    with monkeypatch.context() as patch:
        patch.setattr("ealn_plugin.reports.html.page.render", lambda title, subtitle, sections: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_page(runs, str(page), str(tmp_path / "features"))
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r'jinja2 and matplotlib are not installed.*-e "\.\[report\]"'):
        write_page(runs, str(page), str(tmp_path / "features"))
    assert page.read_text() == "older" and sorted(path.suffix for path in tmp_path.glob("*.html")) == [".html"]
