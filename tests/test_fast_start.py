"""Help texts and errors that need no network import none of the heavy packages; asked of real processes.

What is counted are modules, not seconds: a test of seconds would fail on a busy machine.
"""

import os
import subprocess
import sys

import pytest

from ealn_plugin.commands.main import COMMANDS
from tests.helpers.pages import ROOT

HEAVY = {
    "torch",
    "torchvision",
    "torchreid",
    "lance",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "scipy",
    "cv2",
    "tensorboard",
}
ENTRANCE = ROOT / "tools" / "ealn_cli" / "__main__.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")])}
TOOLS = {
    name: ROOT / "tools" / ("train_ealn.py" if name == "train" else f"{name.replace('-', '_')}.py") for name in COMMANDS
}
# A process that runs a script as Python would, and tells at its end what it has imported.
WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr))
sys.argv = sys.argv[1:]
sys.path[0] = FIRST
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script, *arguments, folder=None):
    """(exit code, what it printed, the heavy packages that it imported)."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.replace("FIRST", repr(str(ROOT))), str(script), *map(str, arguments)],
        cwd=folder or ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said, _, imported = done.stderr.rpartition("imported:")
    assert imported, done.stderr
    return done.returncode, done.stdout + said, HEAVY & set(imported.split())


def test_what_is_watched_is_seen(tmp_path):
    (tmp_path / "script.py").write_text("import torch\n")
    assert "torch" in run(tmp_path / "script.py")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_tool(name):
    code, said, heavy = run(TOOLS[name], "--help")
    assert code == 0 and said.startswith("usage: ") and heavy == set()
    assert "ealn train" not in said and f"{TOOLS[name].name} " in said  # it names what this user has


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_sub_command(name):
    code, said, heavy = run(ENTRANCE, name, "--help")
    assert code == 0 and said.startswith(f"usage: ealn {name} ") and heavy == set()
    assert "tools/" not in said


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_console_script_itself(arguments):
    code, said, heavy = run(ENTRANCE, *arguments)
    assert code == 0 and heavy == set()
    assert arguments == ["--version"] or all(f"\n  {name} " in said for name in COMMANDS)


@pytest.mark.parametrize(
    "line, expected, code",
    [
        ("", "required: COMMAND", 2),
        ("trian", "did you mean train?", 2),
        ("train ealn.alhpa 1", "did you mean ealn.alpha?", 1),
        ("train ealn.alpha 9", "ealn.alpha is 9", 1),
        ("train ealn.alpha", "has no value", 1),
        ("train train.lr fast", "expected float", 1),
        ("train --max-epoch 5", "did you mean train.max_epoch 5?", 2),
        ("train --transforms random_flap", "did you mean random_flip?", 1),
        ("train --config-file none.yaml", "'none.yaml' does not exist; the plugin's own are ealn_shipped.yaml", 1),
        ("train --config-file ealn_verri.yaml", "did you mean ealn_veri.yaml?", 1),
        ("reproduce --config-file none.yaml", "'none.yaml' does not exist", 1),
        ("reproduce --config-file ealn_synthetic.yaml --seeds 1 ealn.alhpa 1", "did you mean ealn.alpha?", 1),
        ("evaluate --out out", "nothing to evaluate", 1),
        ("evaluate --run none --out out", "'none' has no config.yaml; give the data.save_dir of a run of ealn", 1),
        ("evaluate --features none.npz --out out", "is 'none.npz', but there is no such file", 1),
        ("evaluate --model resnet50 -t veri776 --protocols veri --out out", "'veri' is not a protocol", 1),
        ("evaluate --model resnet50 -t veri776 --batch-size 0 --out out", "test.batch_size is 0", 1),
        ("visualize --run none", "'none' has no config.yaml", 1),
        ("report --recorded --run none", "'none' has no config.yaml; give the data.save_dir of a run of ealn train", 1),
        ("report --run none", "'none' has no config.yaml", 1),
        ("export --run none", "'none' has no config.yaml", 1),
        ("export --model resnet50 --weights none --out out", "is 'none', but there is no such file", 1),
        ("search index none.d --index out --run none", "'none' has no config.yaml", 1),
        ("search query none.jpg --index out", "image 'none.jpg' does not exist", 1),
        ("search info --index none", "--index 'none' holds no index; make one with ealn search index", 1),
        ("search remove a.jpg --index none", "--index 'none' holds no index", 1),
        ("label-viewpoints --steps 0", "--steps is 0", 1),
        ("label-viewpoints --images none", "--images 'none'", 1),
        ("label-viewpoints --classifier none", "is 'none', but there is no such file", 1),
        ("benchmark train --config-file none.yaml", "'none.yaml' does not exist", 1),
        ("benchmark train --batch-size 5", "did you mean train.batch_size 5 or test.batch_size 5?", 2),
        ("benchmark rank --json none/rank.json", "does not exist; create it", 1),
        ("make-synthetic --root out --layout veri", "invalid choice: 'veri'", 2),
        ("make-synthetic --root out --contact-sheet none/sheet.png", "does not exist; create it", 1),
    ],
)
def test_an_error_that_needs_no_network(line, expected, code, tmp_path):
    found, said, heavy = run(ENTRANCE, *line.split(), folder=tmp_path)
    assert expected in " ".join(said.split()) and found == code and "Traceback" not in said
    assert heavy == set() and os.listdir(tmp_path) == []


@pytest.mark.parametrize("first", ["import ealn_plugin", "from ealn_plugin import View", "import ealn_plugin.config"])
def test_a_program_that_imports_the_package_has_everything_registered(first):
    code = f"{first}\nimport torchreid\nprint(hasattr(torchreid.engine, 'EALNEngine'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=ROOT, env=ENVIRONMENT
    )
    assert done.stdout == "True\n", done.stderr[-2000:]


SPAWNING = """
import multiprocessing, sys
from ealn_cli import main

def look(queue):
    import torchreid
    queue.put(hasattr(torchreid.engine, "EALNEngine"))

if __name__ == "__main__":
    main(["train", "--config-file", "none.yaml"])
    assert "torch" not in sys.modules
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=look, args=(queue,))
    process.start()
    print(queue.get(timeout=200))
    process.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_a_command_starts_has_everything_registered(method, tmp_path):
    """Its main script is that of the command, whose own imports were put off."""
    (tmp_path / "script.py").write_text(SPAWNING)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), method],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout == "True\n", done.stderr[-2000:]
