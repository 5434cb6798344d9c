"""Many clients at once: a server of an index in a process of its own, and how long its answers take."""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from ealn_plugin.benchmark.measuring import machine

KINDS = ("upload", "from an image", "picture")
_BOUNDARY = "----ealn"
_START_SECONDS = 300
_SERVER = "import sys; from ealn_plugin.commands.serve import main; sys.exit(main(sys.argv[1:]))"
_TIMEOUT = 60  # of one request
_SHARES = (50, 95, 99)


def measure_serving(index: str, images: Sequence[str], clients: int = 20, seconds: float = 60.0) -> dict[str, Any]:
    """Have clients ask without a pause: upload a picture, search from an image of the index, fetch a picture, in turn.

    Args:
        index: folder of the index. images: files to upload. clients: at once. seconds: for which they ask.
    Returns:
        dict, ready for JSON; see ``serving_table``.
    Raises:
        RuntimeError: the server does not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, "--index", index, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        port = _port_of(process)
        uploads = [_form(path) for path in images]
        answers, errors = _ask(port, uploads, clients, seconds)
    finally:
        process.terminate()
        process.communicate()
    measured = []
    for kind in KINDS:
        taken = sorted(answers[kind])
        shares = {f"p{share}_ms": 1000 * taken[min(len(taken) - 1, len(taken) * share // 100)] for share in _SHARES}
        measured.append({"kind": kind, "requests": len(taken), "mean_ms": 1000 * statistics.fmean(taken), **shares})
    return {
        "machine": machine(),
        "index": os.path.basename(os.path.normpath(index)),
        "clients": clients,
        "seconds": seconds,
        "errors": errors,
        "kinds": measured,
    }


def _port_of(process: subprocess.Popen[str]) -> int:
    """The port that a server says it listens at."""
    ended = threading.Timer(_START_SECONDS, process.kill)
    ended.start()
    try:
        line = process.stdout.readline()
    finally:
        ended.cancel()
    found = re.search(r"http://[^/]*:(\d+)/", line)
    if not found:
        _, error = process.communicate()
        raise RuntimeError(f"the server did not start ({error.strip()[-200:] or 'it said nothing'}); try ealn serve")
    return int(found[1])


def _form(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="upload"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _ask(port: int, uploads: Sequence[bytes], clients: int, seconds: float) -> tuple[dict[str, list[float]], list[str]]:
    """({kind: seconds of each answer}, what went wrong)."""
    answers: dict[str, list[float]] = {kind: [] for kind in KINDS}
    errors: list[str] = []
    images = json.loads(_request(port, "GET", "/api/info"))["images"]
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        """Ask until the time is over."""
        turn = number
        while time.monotonic() < end:
            kind = KINDS[turn % len(KINDS)]
            begun = time.perf_counter()
            try:
                if kind == "upload":
                    _request(port, "POST", "/api/search", uploads[turn % len(uploads)])
                else:
                    part = "search" if kind == "from an image" else "images"
                    _request(port, "GET", f"/api/{part}/{(7 * turn) % images}")
                answers[kind].append(time.perf_counter() - begun)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                errors.append(f"{kind}: {error or type(error).__name__}")
            turn += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    with tqdm(total=round(seconds), unit="s", desc=f"{clients} clients", dynamic_ncols=True) as bar:
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            bar.n = min(bar.total, round(seconds - max(0, end - time.monotonic())))
            bar.refresh()
    return answers, errors


def _request(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"} if body else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{method} {path.partition('?')[0]} ended with {answer.status}")
    return content


def serving_table(result: Mapping[str, Any]) -> list[str]:
    """The figures of ``measure_serving`` as lines of text."""
    lines = [
        f"{result['clients']} clients at once for {result['seconds']:g} s, {result['machine']['cores']} cores "
        f"({result['machine']['processor']})",
        f"{'request':<15}{'answers':>9}{'mean ms':>9}" + "".join(f"{f'{share}% ms':>9}" for share in _SHARES),
    ]
    for kind in result["kinds"]:
        times = "".join(f"{kind[f'p{share}_ms']:>9.0f}" for share in _SHARES)
        lines.append(f"{kind['kind']:<15}{kind['requests']:>9}{kind['mean_ms']:>9.0f}{times}")
    errors = result["errors"]
    lines.append(f"errors: {len(errors)}{f', the first: {errors[0]}' if errors else ''}")
    return lines
