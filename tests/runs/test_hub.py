"""ealn_plugin/runs/hub.py: huggingface_hub itself against a stand-in server of one process."""

import json
import os
import socket
import subprocess
import sys

import pytest

from ealn_plugin.runs import hub
from tests.helpers.hub_server import hub_server


@pytest.mark.parametrize(
    "text, expected",
    [
        ("hf:someone/cars", ("someone/cars", None, "model.safetensors")),
        ("hf:someone/cars@v1", ("someone/cars", "v1", "model.safetensors")),
        ("hf:some.one/my-cars_2/deep/file.pth", ("some.one/my-cars_2", None, "deep/file.pth")),
        ("hf:someone/cars@v1/file.pth", ("someone/cars", "v1", "file.pth")),
    ],
)
def test_what_a_reference_says(text, expected):
    assert hub.parse(text) == expected


@pytest.mark.parametrize("text", ["hf:", "hf:cars", "hf:/cars", "hf:a/b@", "cars", "hf:a b/c"])
def test_other_references_are_refused(text):
    with pytest.raises(ValueError, match="expected hf:OWNER/NAME"):
        hub.parse(text)


CODE = """
import json, sys, time
from ealn_plugin.runs import hub
from huggingface_hub import constants
answers = []
for address, action, *arguments in json.loads(sys.argv[1]):
    constants.ENDPOINT = address
    begin = time.monotonic()
    try:
        answers.append(getattr(hub, action)(*arguments))
    except RuntimeError as error:
        answers.append(f"error: {error}")
    answers.append(time.monotonic() - begin)
print(json.dumps(answers))
"""


def run(tmp_path, calls, token="secret"):
    """Answers and seconds of the calls, in a process of their own: huggingface_hub reads its environment only once."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": calls[0][0],
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": token,
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_HUB_ETAG_TIMEOUT": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(calls)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    return answers[::2], answers[1::2]


def test_what_is_pushed_can_be_loaded_and_what_fails_is_one_sentence(tmp_path, request):
    pytest.importorskip("huggingface_hub", reason="pip install -c constraints.txt -e '.[hub]'")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# cars\n")
    (folder / "private.txt").write_text("stays here")
    push = ("push", str(folder), ["model.safetensors", "README.md"])
    with hub_server() as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connections are taken and never answered
        nobody, mute = "http://127.0.0.1:1", f"http://127.0.0.1:{silent.getsockname()[1]}"
        calls = [
            (server.address, *push, "hf:someone/cars"),
            (server.address, "download", "hf:someone/cars"),
            (server.address, "download", "hf:someone/cars/absent.pth"),
            # huggingface_hub asks again for 20 s before it takes a refusal for an answer
            (server.address if request.config.getoption("--slow") else nobody, *push, "hf:forbidden/cars"),
            (nobody, "download", "hf:a/b"),
            (nobody, *push, "hf:a/b"),
            (mute, "download", "hf:a/b"),
        ]
        (address, path, *failed), seconds = run(tmp_path, calls)
        assert address == f"{server.address}/someone/cars"
        assert set(server.repositories["someone/cars"]) == {"model.safetensors", "README.md"}
    with open(path, "rb") as file:
        assert file.read() == b"weights"
    for told, call, what in zip(failed, calls[2:], ["cannot be had from", "could not be saved at"] * 3):
        assert told.startswith("error: ") and f"{call[-1]!r} {what} {call[0]}" in told and "\n" not in told
    assert max(seconds) < 30
