"""A small gallery of coloured pictures, and a server of it in a thread of this process."""

import http.client
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin.data.viewpoints import View
from ealn_plugin.inference.extractor import Extracted
from ealn_plugin.search import IndexWriter, Records, SearchIndex
from ealn_plugin.search.places import CameraDistances

pytest.importorskip("lance")
pytest.importorskip("fastapi")
pytest.importorskip("python_multipart")
uvicorn = pytest.importorskip("uvicorn")

TOKEN = "open sesame"


class ColourExtractor:
    """In the place of a FeatureExtractor: the mean colour of a picture, as a feature of length 1."""

    classifier, dim = None, 3

    def extract(self, images, views, predict=False):
        colours = np.stack([np.asarray(image, dtype=np.float32).reshape(-1, 3).mean(0) + 1 for image in images])
        features = torch.from_numpy(colours / np.linalg.norm(colours, axis=1, keepdims=True))
        return Extracted(features, list(range(len(images))), torch.tensor([int(view) for view in views]))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Paths of 12 pictures, from red over violet to blue."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number:02}.png" for number in range(12)]
    for number, path in enumerate(paths):
        Image.new("RGB", (40, 30), (255 - 20 * number, 0, 20 * number)).save(path)
    return paths


@pytest.fixture(scope="session")
def colour_index(pictures, tmp_path_factory):
    """Folder of an index of them: vehicles of two pictures, three cameras in turn, a second between two pictures."""
    folder, count = tmp_path_factory.mktemp("colours") / "index", len(pictures)
    features = ColourExtractor().extract([Image.open(path) for path in pictures], [View.UNKNOWN] * count).features
    numbers = np.arange(count)
    records = Records(
        [str(path) for path in pictures], numbers // 2, numbers % 3, numbers % 2, times=numbers.astype(float)
    )
    with IndexWriter(folder, 3, {"weights": "colours"}, {}, "flat") as writer:
        writer.add([(records, features.numpy())])
        writer.place(CameraDistances(["1", "2", "3"], [[0, 9, 2], [9, 0, 1], [2, 1, 0]], "colours"))
        writer.finish()
    return folder


@pytest.fixture(scope="session")
def gallery(colour_index):
    from ealn_plugin.serving.gallery import Gallery

    return Gallery(SearchIndex.open(colour_index, {"weights": "colours"}), ColourExtractor(), "Colours alone count.")


class Client:
    """Requests to a server, each on a connection of its own."""

    def __init__(self, port):
        self.port = port

    def __call__(self, method, path, body=None, headers=None, host=""):
        """(status, headers, body as JSON where it is JSON, else bytes)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {"Host": host or f"127.0.0.1:{self.port}", **(headers or {})}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            content = answer.read()
            if content and (answer.getheader("content-type") or "").startswith("application/json"):
                content = json.loads(content)
            return answer.status, dict(answer.getheaders()), content
        finally:
            connection.close()

    def post(self, path, fields, picture=b"", name="picture", filename="upload", headers=None):
        """A form with a file."""
        boundary = "----boundary"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields
        ]
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        body = "".join(parts).encode() + head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self("POST", path, body, {**kind, **(headers or {})})


@pytest.fixture(scope="session")
def serving():
    """Function of an application to a Client of it; all servers end with the session."""
    running = []

    def start(app):
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started and thread.is_alive():
            thread.join(0.02)
        return Client(server.servers[0].sockets[0].getsockname()[1])

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, thread in running:
        thread.join(10)


@pytest.fixture(scope="session")
def client(gallery, serving):
    """An open server with a limit of 1 MiB."""
    from ealn_plugin.serving.app import create_app

    return serving(create_app(gallery, upload_bytes=2**20, hosts=("127.0.0.1", "localhost")))


@pytest.fixture(scope="session")
def guarded(gallery, serving):
    """A server that asks for ``TOKEN``."""
    from ealn_plugin.serving.app import create_app

    return serving(create_app(gallery, token=TOKEN))
