"""File names, lists and pictures of the stand-in releases."""

import io

from PIL import Image

VERI = {
    "image_train": [
        "0001_c001_00016450_0.jpg",
        "0001_c002_00016460_0.jpg",
        "0003_c001_00016470_1.jpg",
        "0003_c020_00016480_0.jpg",
        "0776_c005_00000001_0.jpg",
    ],
    "image_query": ["0002_c002_00030600_0.jpg", "0005_c003_00000085_0.jpg"],
    "image_test": [
        "0002_c002_00030600_0.jpg",
        "0002_c003_00030610_0.jpg",
        "0005_c003_00000085_0.jpg",
        "0005_c017_00000090_0.jpg",
        "0005_c003_00000095_1.jpg",
    ],
}
VERI_LISTS = {"image_train": "name_train.txt", "image_query": "name_query.txt", "image_test": "name_test.txt"}

VEHICLEID_TRAIN = {"0000101": 11, "0000102": 11, "0000103": 7, "0000104": 7, "0000105": 7}
VEHICLEID_TEST = {"0000201": 70, "0000202": 70, "0000203": 70, "0000204": 71, "0000205": 71, "0000206": 72}


def jpeg(shade=128):
    """Return the bytes of an 8 x 8 picture of one grey."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(stream, format="JPEG")
    return stream.getvalue()


def keypoint_line(path, orientation, point="12 34"):
    """Return one line of a key-point file with 20 equal points."""
    return f"{path} {' '.join([point] * 20)} {orientation}\n"
