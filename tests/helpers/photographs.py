"""Photographs of somebody's own: small pictures of vehicles that have a colour each, and the CSV that labels them."""

import csv

import numpy as np
from PIL import Image

VIEWS = ("front", "rear", "side")


def take_photographs(folder, vehicles=6, cameras=("gate", "yard"), shots=3, size=(24, 32), seed=0):
    """Write VEHICLE_CAMERA_SHOT.jpg into a folder; returns rows {path, pid, camid, view} with paths relative to it."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for vehicle in range(vehicles):
        colour = random.integers(40, 215, 3)
        for camera in cameras:
            for shot in range(shots):
                pixels = np.clip(colour + random.integers(-40, 40, (*size, 3)), 0, 255).astype(np.uint8)
                path = f"{vehicle}_{camera}_{shot}.jpg"
                Image.fromarray(pixels).save(folder / path)
                rows.append({"path": path, "pid": f"car {vehicle}", "camid": camera, "view": VIEWS[shot % 3]})
    return rows


def write_rows(path, rows, columns=("path", "pid", "camid"), delimiter=","):
    """Write rows as a CSV with these columns; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)
