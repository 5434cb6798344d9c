"""Fixtures shared by all tests, and the marker of slow ones."""

import logging
import os

import cv2
import pytest

# One thread each: several test processes share the cores, and threads do not survive the forks of some tests, which
# would then wait for them for ever. The variable is read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
cv2.setNumThreads(0)

from tests.helpers.networks import export_run  # noqa: E402
from tests.helpers.processes import Processes  # noqa: E402
from tests.helpers.standins import build_datamanager, make_veri_folder, render_small, train_run  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; run with pytest --slow")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow; run with pytest --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _fresh_logging():
    """The command lines configure the root logger; no test may see another's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
def veri_root(tmp_path_factory):
    """Root of a stand-in VeRI-776: 6 training and 4 test vehicles, 3 cameras, front and rear views."""
    return make_veri_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def rendered_root(tmp_path_factory):
    """Root of a small rendered VeRI-776 with two lookalikes of every training image."""
    return render_small(tmp_path_factory.mktemp("rendered"), lookalikes=2)


@pytest.fixture
def datamanager(veri_root):
    """torchreid's data manager on the stand-in VeRI-776, 32 x 32 pixels, batches of 4 identities x 2 images."""
    return build_datamanager(veri_root)


@pytest.fixture(scope="session")
def run_folder(veri_root, tmp_path_factory):
    """Folder of a run of Hard-View-EALN, small networks at 32 x 32 pixels, one epoch on ``veri_root``."""
    return train_run(tmp_path_factory.mktemp("run"), veri_root)


@pytest.fixture(scope="session")
def exported_run(run_folder, tmp_path_factory):
    """Folder with embedding.onnx and fused.onnx of ``run_folder``."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return export_run(run_folder, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def pair():
    """Two processes that train together, started once for all tests that need them."""
    processes = Processes(2)
    yield processes
    processes.close()
