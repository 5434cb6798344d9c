"""ealn_plugin/toolkit.py: the doorway to torchreid, in both of its layouts and beside a CPU-only torch."""

import logging
import os
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

import ealn_plugin
from ealn_plugin import toolkit
from tests.helpers.standins import build_datamanager, build_engine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(ROOT, "ealn_plugin")


def test_public_names():
    torchreid = toolkit.torchreid
    for name in ("veri776", "vehicleid", "vehicleid_small", "vehicleid_medium", "vehicleid_large", "vehicleid_13164"):
        with pytest.raises(FileNotFoundError, match="datasets.md"):
            torchreid.data.datasets.init_image_dataset(name, root="/nowhere")
    small = torchreid.models.build_model("resnet_generator_9blocks", 10, pretrained=False)
    assert sum(p.numel() for p in small.parameters()) == 11_378_179
    assert sum(p.numel() for p in torchreid.models.build_model("patchgan_70", 10).parameters()) == 2_764_737
    assert torchreid.engine.EALNEngine is ealn_plugin.EALNEngine
    assert ealn_plugin.schemes.HardNegativeScheme and ealn_plugin.schemes.CrossViewScheme
    assert [view.name for view in ealn_plugin.View] == ["FRONT", "REAR", "SIDE", "UNKNOWN"]


def test_registering_again_changes_nothing():
    toolkit.register_dataset("veri776", ealn_plugin.VeRi776)
    toolkit.register_model("patchgan_70", ealn_plugin.patchgan_70)
    with pytest.raises(ValueError, match="dataset name 'market1501' already belongs to Market1501"):
        toolkit.register_dataset("market1501", ealn_plugin.VeRi776)
    with pytest.raises(ValueError, match="model name 'resnet50' already belongs"):
        toolkit.register_model("resnet50", ealn_plugin.patchgan_70)


def test_nothing_else_touches_torchreid():
    pattern = re.compile(r"^\s*(import torchreid|from torchreid)", re.MULTILINE)
    for folder, _, files in os.walk(PACKAGE):
        for file in files:
            if file.endswith(".py") and file != "toolkit.py":
                assert not pattern.search(open(os.path.join(folder, file), encoding="utf-8").read()), file


def test_toolkit_imports_nothing_of_the_package_but_its_ground():
    assert not re.search(r"(from|import) ealn_plugin(?!\.system)", open(toolkit.__file__, encoding="utf-8").read())


SCRIPT = """
import sys, tempfile, pathlib
sys.path[:0] = [{layout!r}, {tests!r}, {root!r}]
import ealn_plugin
from ealn_plugin import toolkit
assert toolkit.torchreid.__file__.startswith({layout!r}), toolkit.torchreid.__file__
assert not hasattr(toolkit.torchreid, "reid")
from tests.helpers.standins import build_datamanager, build_engine, make_veri_folder
with tempfile.TemporaryDirectory() as folder:
    manager = build_datamanager(make_veri_folder(pathlib.Path(folder)))
    results = build_engine(manager).run(save_dir=folder + "/run", max_epoch=1, progress=False)
    toolkit.torchreid.models.build_model("patchgan_70", 1)
    rank = sys.modules[toolkit.torchreid.metrics.evaluate_rank.__module__]
    assert rank.IS_CYTHON_AVAI and rank.__name__ == "torchreid.metrics.rank"
    print("mAP", results["datasets"]["veri776"]["veri_image"]["mAP"])
"""


def test_the_layout_of_the_original_repository(tmp_path):
    """The PyPI package with its modules moved up, as in the GitHub original."""
    installed = os.path.dirname(toolkit.torchreid.__file__)
    source = os.path.join(installed, "reid")
    if not os.path.isdir(source):
        pytest.skip("torchreid is installed in the layout of the original already, which every other test uses")
    shutil.copytree(source, tmp_path / "torchreid", ignore=shutil.ignore_patterns("__pycache__"))
    for folder, _, files in os.walk(tmp_path):
        for file in files:
            if file.endswith(".py"):
                path = os.path.join(folder, file)
                text = open(path, encoding="utf-8").read()
                open(path, "w", encoding="utf-8").write(text.replace("torchreid.reid", "torchreid"))
    code = SCRIPT.format(layout=str(tmp_path), tests=os.path.join(ROOT, "tests"), root=ROOT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "mAP" in done.stdout, done.stderr[-3000:]


def test_a_torchvision_without_its_operators(tmp_path):
    """A stand-in torchvision that fails as PyPI's does beside a CPU-only torch."""
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        textwrap.dedent("""
        from torchvision import early
        import torch
        torch.ops.torchvision.nms.default if hasattr(torch.ops.torchvision, "nms") else early.fail()
        ready = True
    """)
    )
    (folder / "early.py").write_text(
        textwrap.dedent("""
        def fail():
            raise RuntimeError("operator torchvision::nms does not exist")
    """)
    )
    source = open(toolkit.__file__, encoding="utf-8").read()
    start, end = source.index("def _import_torchvision"), source.index("def _import_torchreid")
    code = (
        "import sys, torch\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "_kept_alive = []\n"
        + source[start:end]
        + "_import_torchvision()\nassert sys.modules['torchvision'].ready and _kept_alive\n"
        "torch.ops.torchvision.qnms\n_import_torchvision()\nassert len(_kept_alive) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]


def test_read_image(tmp_path):
    pixels = np.zeros((4, 5, 3), np.uint8) + np.array([200, 10, 30], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = toolkit.read_image(str(tmp_path / "a.png"))
    assert image.mode == "RGB" and image.size == (5, 4) and image.getpixel((0, 0)) == (200, 10, 30)
    with pytest.raises(FileNotFoundError, match="nothing.jpg' does not exist"):
        toolkit.read_image(str(tmp_path / "nothing.jpg"))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_a_corrupt_image_is_named_at_once(tmp_path, content):
    """torchreid's own function would try for ever; its datasets use ours."""
    path = tmp_path / "corrupt.jpg"
    path.write_bytes(content)
    items = [(str(path), 0, 0)]
    dataset = toolkit.ImageDataset(items, items, items, mode="query", verbose=False)
    with pytest.raises(toolkit.UnreadableImageError, match="corrupt.jpg' cannot be decoded .*take it out"):
        dataset[0]


def test_a_truncated_image(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(toolkit.UnreadableImageError, match="cannot be decoded"):
        toolkit.read_image(str(tmp_path / "a.jpg"))


def test_normalization_is_read_from_the_transforms():
    class Manager:
        transform_te = None

    with pytest.raises(ValueError, match="no Normalize to read mean and std from; pass norm_mean"):
        toolkit.normalization_of(Manager())


def test_unknown_and_unsuited_models():
    with pytest.raises(
        ValueError, match="model.name is 'resnet5', expected one of .*; did you mean resnet50?"
    ) as error:
        toolkit.build_model("resnet5", 3)
    assert len(str(error.value)) < 150
    with pytest.raises(ValueError, match=r"model.name is 'x', .*show_avai_models\(\) lists them"):
        toolkit.build_model("x", 3)
    with pytest.raises(ValueError, match="dataset 'veri77' is unknown, expected one of .*; did you mean veri776?"):
        toolkit.build_datamanager(sources="veri776", targets=["veri77"])


def test_a_batch_that_cannot_be_filled(veri_root):
    with pytest.raises(ValueError, match="batch_size_train=64, num_instances=2.*lower train.batch_size"):
        toolkit.build_datamanager(
            root=str(veri_root),
            sources="veri776",
            height=32,
            width=32,
            batch_size_train=64,
            num_instances=2,
            train_sampler="RandomIdentitySampler",
            use_gpu=False,
            workers=0,
        )


class _Current(logging.Handler):
    """Writes to whatever sys.stdout is at the moment, as tqdm.write, print and a notebook's handlers do."""

    def emit(self, record):
        print(f"shown: {self.format(record)}", file=sys.stdout)


def test_prints_become_log_lines(veri_root, capsys):
    """Whatever handlers the log has: one that writes to the current sys.stdout neither recurs nor loses a line."""
    handler = _Current()
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel("INFO")
    try:
        toolkit.build_dataset("veri776", str(veri_root))
        manager = build_datamanager(veri_root)
        build_engine(manager, ()).two_stepped_transfer_learning(0, 1, ["classifier"])
    finally:
        logging.getLogger().removeHandler(handler)
    lines = capsys.readouterr().out.splitlines()
    assert "shown: => Loading train (source) dataset" in lines
    assert "* Only train ['classifier'] (epoch: 1/1)" in lines  # outside of prints_to_log torchreid prints as ever
    assert sum(line.startswith("shown: VeRi776 from") for line in lines) == 3


def test_only_what_torchreid_prints_goes_to_the_log(caplog, capsys):
    with caplog.at_level("INFO"), toolkit.prints_to_log():
        print("a message of somebody else")
        toolkit.torchreid.utils.torchtools.print("a", "b", end=" c\n\n")
        toolkit.torchreid.utils.torchtools.print("two\nlines", 3, sep="")
    assert caplog.messages == ["a b c", "two", "lines3"]
    assert capsys.readouterr().out == "a message of somebody else\n"


def test_the_ranking_slot_is_put_back():
    rank = sys.modules[toolkit.torchreid.metrics.evaluate_rank.__module__]
    try:
        ealn_plugin.fast_ranking(False)
        assert not rank.IS_CYTHON_AVAI
    finally:
        ealn_plugin.fast_ranking(True)
    assert rank.IS_CYTHON_AVAI


def test_a_family_of_names_has_one_factory(monkeypatch):
    monkeypatch.setattr(toolkit, "_families", {})
    built = []

    def factory(name, **options):
        built.append((name, options))
        return "network"

    def check(name):
        if name != "mine:good":
            raise ValueError(f"no {name}")

    for _ in range(2):
        toolkit.register_model_family("mine:", factory, check)
    with pytest.raises(ValueError, match="names of models with 'mine:' belong to"):
        toolkit.register_model_family("mine:", check, check)
    assert toolkit.torchreid.models.build_model("mine:good", 3, "triplet", use_gpu=False) == "network"
    assert toolkit.build_model("mine:good", 4, height=16) == "network"
    shared = dict(loss="triplet", use_gpu=False)
    assert built[0] == ("mine:good", dict(shared, num_classes=3, pretrained=True))
    assert built[1] == ("mine:good", dict(num_classes=4, loss="triplet", pretrained=False, use_gpu=True, height=16))
    for build in (toolkit.torchreid.models.build_model, toolkit.build_model):
        with pytest.raises(ValueError, match="no mine:bad"):
            build("mine:bad", 3)
