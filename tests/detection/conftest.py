"""Detectors and a video for the tests of the detection."""

import pytest

from tests.helpers.detectors import Traffic, plain, write_detector


@pytest.fixture(scope="session")
def detectors(tmp_path_factory):
    """{layout: file of a small detector}."""
    for package in ("onnx", "onnxruntime", "supervision"):
        pytest.importorskip(package, reason='pip install -c constraints.txt -e ".[detect,export]"')
    folder = tmp_path_factory.mktemp("detectors")
    return {
        layout: write_detector(folder / f"{layout}.onnx", layout=layout)
        for layout in ("candidates", "finished", "transposed", "two")
    }


@pytest.fixture(scope="session")
def traffic():
    """Two cars, two trucks and a person; the first car is hidden for half a second."""
    return Traffic(plain("red", "blue", "red", "green", "blue"), hidden=range(20, 25))


@pytest.fixture(scope="session")
def video(traffic, tmp_path_factory):
    """The same as a video of 10 frames a second."""
    return traffic.write(tmp_path_factory.mktemp("videos") / "cam_07.mp4")
