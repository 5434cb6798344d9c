"""What lies in a run folder, read to its end and made comparable."""

import csv
import io
import json
import pathlib

import numpy as np
import torch
import yaml
from PIL import Image

from ealn_plugin.system import files as writing


def check_whole(folder):
    """Every file in a folder, those aside that are still being written, can be read to its end."""
    readers = {
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".tar": lambda content: torch.load(io.BytesIO(content), weights_only=True),
        ".npz": lambda content: {**np.load(io.BytesIO(content))},
        ".png": lambda content: Image.open(io.BytesIO(content)).load(),
        ".csv": lambda content: (
            [dict(row)["epoch"] for row in csv.DictReader(io.StringIO(content.decode()))]
            if b"epoch" in content
            else None
        ),
    }
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file() and not path.name.startswith(writing.UNFINISHED) and path.suffix in readers:
            readers[path.suffix](path.read_bytes())


def outcome_of(folder):
    """{name: content} of what a run leaves, its logs and TensorBoard events aside; tensors as bytes."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and path.suffix != ".log" and not path.name.startswith("events."):
            name = str(path.relative_to(folder))
            if path.suffix == ".tar":
                found[name] = flattened(torch.load(path, weights_only=True))
            elif path.suffix == ".npz":
                with np.load(path) as archive:
                    found[name] = {key: archive[key].tobytes() for key in archive.files}
            elif path.name != "config.yaml":  # says model.resume
                found[name] = path.read_bytes()
    return found


def flattened(value):
    """A checkpoint's content as values that can be compared with ==; tensors as bytes."""
    if torch.is_tensor(value):
        return value.dtype, tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: flattened(item) for key, item in value.items()}
    return [flattened(item) for item in value] if isinstance(value, (list, tuple)) else value
