"""notebooks/first_search.ipynb runs from its first cell to its last, and is committed without outputs."""

import json
import os
import subprocess
import sys

import pytest

from ealn_plugin.runs.references import SHIPPED_FILE
from tests.helpers.notebooks import code_of
from tests.helpers.pages import ROOT

NOTEBOOK = ROOT / "notebooks" / "first_search.ipynb"
LIMIT = 600  # seconds; on two idle cores it takes less than sixty


def test_cells_are_clean():
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4 and content["cells"][0]["cell_type"] == "markdown"
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert "%pip install" in "".join(content["cells"][1]["source"]), "what Colab needs comes first"


def test_the_notebook_runs(tmp_path):
    pytest.importorskip("faiss")
    code = code_of(NOTEBOOK, [] if SHIPPED_FILE.is_file() else ["shipped"])
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert (tmp_path / "log" / "found_again.png").exists() and (tmp_path / "log" / "run" / "results.json").exists()
    assert (tmp_path / "log" / "found.png").exists() == SHIPPED_FILE.is_file()
