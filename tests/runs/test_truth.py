"""ealn_plugin/runs/truth.py: lookalikes where there are none, and no other dataset than a rendered one."""

import pytest

from ealn_plugin import config
from ealn_plugin.data import synthetic
from ealn_plugin.runs.truth import render_truth
from tests.helpers.standins import render_small


def load(root, *options):
    return config.load_config(options=["data.root", str(root), *options])


def test_lookalikes_are_added_where_there_are_none(tmp_path):
    folder = render_small(tmp_path) / "VeRi"
    assert not synthetic.has_companions(folder)
    render_truth(load(tmp_path))
    assert synthetic.has_companions(folder)
    assert len((folder / "lookalikes.csv").read_text().splitlines()) == 1 + 2 * 30


def test_lookalikes_that_are_there_are_kept(rendered_root, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(synthetic, "add_companions", lambda *arguments: calls.append(arguments))
    render_truth(load(rendered_root))
    assert not calls


def test_photographs_are_refused(veri_root):
    with pytest.raises(ValueError, match="dataset veri776 in .*VeRi' was not rendered"):
        render_truth(load(veri_root))
