"""Every command in README.md and datasets.md is run, as it stands but for what makes it small.

What a command needs lies where it says: the data and the run are made by commands of the pages. Settings and flags
behind a command override its own; they and small stand-ins for the networks are all that is changed. Not run are the
commands of ``NOT_RUN``.
"""

import os
import pathlib
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin import config as configuration
from ealn_plugin.data.synthetic import presets
from ealn_plugin.labelling import labels
from tests.helpers.pages import COMMANDS, ROOT
from tests.helpers.standins import TinyBackbone, use_tiny_backbone
from tests.helpers.tool_modules import load_tool

SIZES = """use_gpu False model.pretrained False data.height 32 data.width 32 data.workers 0 train.batch_size 8
    sampler.num_instances 2 ealn.last_stride 2 ealn.generator.filters 2 ealn.generator.blocks 1
    ealn.discriminator.filters 2 ealn.discriminator.layers 1"""
SHORT = """train.max_epoch 3 ealn.warmup_epochs 1 ealn.warmup_generator_epochs 1 ealn.constant_epochs 1
    ealn.lr_warmup_epochs 1 ealn.view_embedding_off_epochs 0 ealn.checkpoint_every 0"""
CLASSIFIER = "--preset tiny --size 32 --steps 2 --batch-size 8 --workers 0 --device cpu"

SMALLER = {  # beginning of a command: what is put behind it
    "tools/train_ealn.py": f"{SIZES} {SHORT}",
    "tools/reproduce.py": f"--seeds 1 --jobs 1 --schemes en hard {SIZES} {SHORT}",
    "tools/benchmark.py train": f"--rounds 1 --warmup 1 --identities 20 {SIZES}",
    "tools/benchmark.py data": "--repeats 1 --workers 0 --batch-size 4",
    "tools/benchmark.py rerank": "--size small",
    "tools/benchmark.py features": "--model resnet_small --height 32 --width 32 --images 3 --rounds 1",
    "tools/benchmark.py rank": "--sizes small --repeats 1",
    "tools/label_viewpoints.py": CLASSIFIER,
    "tools/evaluate.py --model": "--height 32 --width 32 --workers 0 --device cpu",
    "tools/visualize.py": "--images 16",
    "tools/make_synthetic.py": "--processes 1",
}
TAKE_SETTINGS = ("tools/train_ealn.py", "tools/reproduce.py", "tools/benchmark.py")
CI = {  # what .ci/run makes of a command: quietly, and without a cache in the checkout
    'pip install -c constraints.txt -e ".[test]"': 'pip install --quiet -c constraints.txt -e ".[test]"',
    "pytest -n 2 --dist loadfile": "pytest -q -p no:cacheprovider -n 2 --dist loadfile",
}
COMPARED = "tests/runs/test_compared.py"
PHOTOS = "tests/test_own_photographs.py"
ELSEWHERE = {  # beginning of a command: the test that runs it as it stands or, of torchrun, its like
    "torchrun --nproc_per_node 2 tools/search": "tests/commands/test_search_build.py::test_a_stopped_build_is_added_to",
    "torchrun --nproc_per_node 2 tools/train": "tests/commands/test_train_torchrun.py::test_the_command_of_the_readme",
    "ealn train --config-file my_": f"{PHOTOS}::test_names_are_safe_and_the_record_has_no_paths",
    "ealn evaluate --run log/my": f"{PHOTOS}::test_evaluate_from_another_folder_finds_the_data_and_the_same_figures",
    "ealn search index": f"{PHOTOS}::test_search_finds_photographs",
    "ealn export --run log/my_cars": f"{PHOTOS}::test_export_visualize_and_report",
    "ealn train --import": f"{PHOTOS}::test_a_module_of_ones_own_is_used_by_every_command",
    "python tools/evaluate.py --model resnet50_ibn_a": "tests/runs/test_foreign_weights.py::test_commands",
    "python tools/evaluate.py --model timm:": "tests/runs/test_foreign_weights.py::test_commands",
    "python -c ": "tests/data/test_datasets_page.py::test_the_commands_that_show_the_counts_run",
    "python tools/benchmark.py search": "tests/commands/test_benchmark.py::test_the_search_command",
    "python tools/benchmark.py serve": "tests/benchmark/test_serving.py::test_clients_are_answered",
    "python tools/serve.py": "tests/commands/test_serve.py::test_it_answers_until_it_is_stopped",
    "curl -F ": "tests/serving/test_app.py::test_a_search_with_everything",
    "python tools/search.py index cam_03.mp4 --detect": "tests/commands/test_search_build.py::"
    "test_a_video_becomes_a_gallery_that_can_be_asked",
    "python tools/search.py query car.jpg --index log/crossing": "tests/commands/test_search_build.py::"
    "test_a_video_becomes_a_gallery_that_can_be_asked",
    "python tools/search.py": "tests/test_readme.py::test_finding_a_vehicle",
    "python tools/report.py": "tests/commands/test_report.py::test_the_command_of_the_readme",
    "python tools/reproduce.py --ray": "tests/commands/test_grid_workers.py::test_a_local_ray",
    "python tools/reproduce.py --table": "tests/commands/test_table_one.py::test_rows_are_run_once",
    "python tools/train_ealn.py --config-file configs/compared": f"{COMPARED}::test_every_system",
    "python tools/export.py": "tests/commands/test_export.py::test_the_commands_of_the_readme",
}
NOT_RUN = (  # beginnings of commands whose running takes an environment, or hours
    "pip install -c constraints.txt -e ",
    "pip install --no-deps ",
    "pytest --slow",
)
MAKE = "python tools/make_synthetic.py --root reid-data --layout veri776 --preset tiny --seed 0"
DEMO = "python tools/train_ealn.py --config-file configs/ealn_synthetic.yaml"
NETWORKS = ("osnet_x0_25", "resnet50", "vgg_cnn_m_1024", "squeezenet1_1", "timm:convnext_atto")


def elsewhere(command):
    """Whether something else than this file runs a command, or nothing."""
    return command in CI or command.startswith((*ELSEWHERE, *NOT_RUN))


OWN = list(dict.fromkeys(command for commands in COMMANDS.values() for command in commands if not elsewhere(command)))


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with what the commands name, in which they run: data, an image, weights, features from elsewhere."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_backbone(patch, *NETWORKS)
        small = presets.Preset(
            train_vehicles=6,
            train_images=36,
            train_tracks=18,
            test_vehicles=4,
            test_images=24,
            test_tracks=12,
            cameras=4,
            models=3,
            image_size=32,
        )
        for preset in ("tiny", "small"):
            patch.setitem(presets.PRESETS, preset, small)
        patch.setattr(labels, "VARIED", small)
        patch.chdir(folder)
        os.symlink(ROOT / "configs", "configs")
        torch.save(TinyBackbone(6).state_dict(), "model.pth.tar")
        np.savez(
            "veri776.npz",
            features=np.random.default_rng(0).random((12, 8)),
            pids=np.arange(12) % 4,
            camids=np.arange(12) % 3,
            is_query=np.arange(12) < 4,
        )
        Image.new("RGB", (40, 40)).save("car.jpg")
        assert run("python tools/make_synthetic.py --root reid-data --layout vehicleid --image-size 32") == 0
        lists = folder / "reid-data" / "VehicleID_V1.0" / "train_test_split"
        for number in (1600, 2400):
            shutil.copy(lists / "test_list_800.txt", lists / f"test_list_{number}.txt")
        (lists.parent / "viewpoints.csv").rename(lists.parent / "views_of_the_renderer.csv")
        for command in (MAKE, DEMO):
            assert run(command) == 0
        yield folder


def run(command):
    """The exit code of a command, with what makes it small behind it."""
    line = command.removeprefix("python ")
    if line.startswith("ealn "):  # what SMALLER says of the tool holds for the sub-command as well
        name, _, rest = line.removeprefix("ealn ").partition(" ")
        line = f"tools/{'train_ealn' if name == 'train' else name.replace('-', '_')}.py {rest}"
    tool, *arguments = shlex.split(line)
    module = load_tool(pathlib.Path(tool).stem)
    more = next((more for start, more in SMALLER.items() if line.startswith(start)), "").split()
    if tool in TAKE_SETTINGS:  # they stand at the end
        (flags, settings), (more, changed) = map(configuration.split_arguments, (arguments, more))
        return module.main([*flags, *more, *settings, *changed])
    return module.main([*arguments, *more])


@pytest.mark.parametrize("command", OWN)
def test_a_command_of_the_pages(desk, command, capsys):
    views = desk / "reid-data" / "VehicleID_V1.0" / "viewpoints.csv"
    for file in (views, views.with_suffix(".json")):
        file.unlink(missing_ok=True)
    if command.endswith("ealn.scheme hard_view"):  # so short a training labels no view with confidence
        shutil.copy(views.with_name("views_of_the_renderer.csv"), views)
    assert run(command) == 0, capsys.readouterr().err[-2000:]
    assert "error: " not in capsys.readouterr().err


def test_every_command_is_run_somewhere():
    assert {MAKE.replace("reid-data", "reid-data/rendered"), DEMO} <= set(OWN) and len(OWN) >= 17
    for page, commands in COMMANDS.items():
        unknown = [
            command for command in commands if command in OWN and not command.startswith(("python tools/", "ealn "))
        ]
        assert unknown == [], f"{page}: no test runs {unknown}"
    for place in ELSEWHERE.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(), place
    job = (ROOT / ".ci/run").read_text().splitlines()
    assert CI.keys() <= set(COMMANDS["README.md"]) and set(CI.values()) <= set(job)
