"""ealn_plugin/commands/serve.py: a real server that is asked and stopped, and what it refuses before it starts."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.helpers.pages import ROOT
from tests.helpers.tool_modules import load_tool

for package in ("lance", "fastapi", "uvicorn", "python_multipart"):
    pytest.importorskip(package)

serve = load_tool("serve")


@pytest.fixture(scope="module")
def index(veri_root, run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / "gallery"
    arguments = ["index", "veri776", "--root", str(veri_root), "--run", str(run_folder), "--index", str(folder)]
    assert load_tool("search").main([*arguments, "--device", "cpu"]) == 0
    return str(folder)


def test_it_answers_until_it_is_stopped(index, veri_root):
    command = [sys.executable, str(ROOT / "tools" / "serve.py"), "--index", index, "--port", "0", "--token", "new"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        line = process.stdout.readline()
        address, token = re.search(r"open (http://127\.0\.0\.1:\d+/)\?token=(\S+) ", line).groups()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}api/info", timeout=60)
        asked = urllib.request.Request(f"{address}api/search/0?k=3", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            hits = json.load(answer)["hits"]
        assert len(hits) == 3 and hits[0]["similarity"] >= hits[1]["similarity"]
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    # 0 where whoever started it has it ignore Ctrl-C, as shells do with programs in the background
    assert process.returncode in (0, 130) and "Traceback" not in error


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--index", "/none"], "--index '/none' holds no index"),
        (["--host", "0.0.0.0"], "--host is 0.0.0.0, which others reach, but there is no token"),
        (["--port", "70000"], "--port is 70000, expected 0 to 65535"),
        (["--run", "/a", "--model", "b"], "expected one network"),
    ],
)
def test_what_it_refuses(arguments, reason, index, capsys, monkeypatch):
    monkeypatch.delenv("EALN_TOKEN", raising=False)
    given = [] if "--index" in arguments else ["--index", index]
    assert serve.main([*given, *arguments]) == 1
    error = capsys.readouterr().err
    assert reason in error and len(error.splitlines()) == 1


def test_a_port_that_is_taken(index, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serve.main(["--index", index, "--port", str(port)]) == 1
    assert f"127.0.0.1 port {port} cannot be listened at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "host, loopback",
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_addresses_of_this_machine_alone(host, loopback):
    assert serve.is_loopback(host) is loopback
