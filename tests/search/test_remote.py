"""ealn_plugin/search/remote.py: an index in a local S3 server, killed, shared, damaged, and storage that fails."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.search import IndexWriter, Records, SearchIndex, SearchIndexError
from ealn_plugin.search.remote import is_conflict, is_remote, meaning
from tests.helpers.pages import ROOT
from tests.helpers.standins import build_index, clustered
from tests.helpers.tool_modules import load_tool

pytest.importorskip("lance")

search = load_tool("search")
PATIENCE = 120


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def request(method, url, content=None):
    with urllib.request.urlopen(urllib.request.Request(url, content, method=method), timeout=10) as answer:
        return answer.read()


def environment(patch, address):
    for name, value in {
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)


@pytest.fixture(scope="module")
def s3():
    """Address of a local S3 server with a bucket named cars."""
    pytest.importorskip("moto.server", reason="pip install moto flask flask-cors, to test object storage")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    while True:
        try:
            request("PUT", f"{address}/cars")
            break
        except urllib.error.URLError:
            assert server.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.1)
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, address)
        yield address
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def cars(tmp_path_factory):
    """A folder of 30 small images."""
    folder, random = tmp_path_factory.mktemp("cars"), np.random.default_rng(1)
    for number in range(30):
        pixels = np.kron(random.integers(0, 255, (4, 4, 3)), np.ones((8, 8, 1)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    capsys.readouterr()
    code = search.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_every_command_on_an_index_in_s3(s3, cars, capsys):
    here, images = ("--index", "s3://cars/gallery"), sorted(cars.iterdir())
    code, out, err = run(capsys, "index", *images[:20], *here, "--device", "cpu")
    assert code == 0 and "20 images added" in out, err
    code, out, _ = run(capsys, "query", images[3], *here, "--device", "cpu", "-k", 2)
    assert code == 0 and str(images[3]) in out.splitlines()[2]
    code, out, _ = run(capsys, "add", cars, *here, "--device", "cpu")
    assert code == 0 and "10 images added, 20 were there before" in out
    code, out, _ = run(capsys, "remove", images[0], *here)
    assert code == 0 and "1 image removed" in out
    code, out, _ = run(capsys, "verify", *here)
    assert code == 0 and out == "s3://cars/gallery: 29 images, every checksum is right\n"
    code, out, _ = run(capsys, "info", *here)
    assert code == 0 and "s3://cars/gallery: 29 images" in out
    code, _, err = run(capsys, "query", images[3], "--index", "s3://cars/nothing")
    assert code == 1 and "--index 's3://cars/nothing' holds no index" in err


@pytest.mark.slow  # a process that imports torch
def test_a_killed_build_goes_on(s3, cars, capsys):
    uri = "s3://cars/killed"
    command = [sys.executable, "-m", "tests.helpers.shared_search", "0.3", "index", str(cars), "--index", uri]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--batch-size", "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline, there = time.monotonic() + PATIENCE, 0
    while there < 8:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        try:
            there = len(SearchIndex.open(uri))
        except SearchIndexError:  # not begun yet
            time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    index = SearchIndex.open(uri)
    assert 8 <= index.verify() < 30 and not index.manifest.complete
    code, out, err = run(capsys, "index", cars, "--index", uri, "--device", "cpu")
    assert code == 0 and "going on with what is in the index already" in out, err
    index = SearchIndex.open(uri)
    assert index.verify() == 30 == len(set(index.records.ids.tolist())) == len(set(index.records.paths))


def test_of_two_that_change_it_at_once_one_is_refused_and_no_id_is_given_twice(s3):
    uri, vectors = "s3://cars/two", clustered(60)
    build_index(uri, vectors[:10])

    def images(first, count):
        return [(Records([f"/x/{row}.jpg" for row in range(first, first + count)]), vectors[first : first + count])]

    with IndexWriter.open(uri) as one, IndexWriter.open(uri) as other:
        one.add(images(10, 10))
        with pytest.raises(SearchIndexError, match="is being changed by another process; wait for it to end, then run"):
            other.add(images(20, 10))
        one.add(images(30, 10))
        one.finish()
    index = SearchIndex.open(uri)
    assert index.verify() == 30 and sorted(index.records.ids.tolist()) == list(range(30))


def test_a_process_killed_before_it_had_begun_is_no_obstacle(s3):
    from ealn_plugin.search.store import images_in
    from ealn_plugin.search.table import Table

    Table.create(images_in("s3://cars/begun"), 16)
    with pytest.raises(SearchIndexError, match="holds no index"):
        SearchIndex.open("s3://cars/begun")
    build_index("s3://cars/begun", clustered(10))
    assert SearchIndex.open("s3://cars/begun").verify() == 10


def test_damage_is_noticed(s3):
    build_index("s3://cars/damaged", clustered(30))
    client = pytest.importorskip("boto3").client("s3", endpoint_url=s3)
    (key,) = [
        one["Key"] for one in client.list_objects_v2(Bucket="cars", Prefix="damaged/images.lance/data/")["Contents"]
    ]
    content = bytearray(client.get_object(Bucket="cars", Key=key)["Body"].read())
    place = content.find(clustered(30)[7].tobytes())
    assert place > 0
    content[place + 5] ^= 0x40
    client.put_object(Bucket="cars", Key=key, Body=bytes(content))
    with pytest.raises(SearchIndexError, match="damaged"):
        SearchIndex.open("s3://cars/damaged").verify()


def test_a_wrong_bucket_and_storage_that_cannot_be_reached(s3, cars, capsys, monkeypatch):
    for command in (("index", cars, "--device", "cpu"), ("verify",)):
        code, _, err = run(capsys, *command, "--index", "s3://trucks/gallery")
        assert code == 1 and err.splitlines()[-1].endswith("there is no such bucket; create it, or correct the address")
    environment(monkeypatch, f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    code, _, err = run(capsys, "verify", "--index", "s3://cars/gallery")
    assert code == 1 and "the storage cannot be reached; check the network and the address" in err
    assert time.monotonic() - began < 60


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers as S3 does to somebody whom it does not know."""

    def do_GET(self):
        content = b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_HEAD = do_POST = do_GET

    def log_message(self, *arguments):
        pass


def test_credentials_that_are_refused(cars, capsys, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
        for command in (("verify",), ("index", cars, "--device", "cpu")):
            code, _, err = run(capsys, *command, "--index", "s3://cars/gallery")
            assert code == 1 and "refuses the credentials, or there are none; set those of" in err.splitlines()[-1]
        server.shutdown()


def test_what_errors_mean():
    assert is_remote("gs://a/b") and not is_remote("C:\\index")
    assert meaning(OSError("dns error")).startswith("the storage cannot be reached")
    assert meaning(OSError("No space left on device")) == ""
    assert is_conflict(OSError("Incompatible transaction: ...")) and not is_conflict(OSError("not found"))
