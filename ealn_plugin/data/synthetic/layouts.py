"""File names and text files of the two folder layouts, written as the releases write them."""

import csv
import pathlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ealn_plugin.data.synthetic import population, renderer
from ealn_plugin.data.synthetic.population import Population

# VeRi-776's own numbering of types; ours use a part of it.
VERI_TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")
# Sizes of VehicleID's test lists, as fractions of our test vehicles: the release's small, medium and large lists keep
# their proportions 1 : 2 : 3, and the longest list holds every test vehicle.
VEHICLEID_LISTS = {"800": 1 / 3, "1600": 2 / 3, "2400": 1.0, "13164": 1.0}


class Veri776Layout:
    """VeRi-776: image_train, image_query, image_test, their lists, XML labels, index files and key points."""

    folder = "VeRi"
    image_folders = ("image_train", "image_query", "image_test", "image_twin")
    ends_only = False
    knows_cameras = True

    def names(self, drawn: Population) -> list[list[list[str]]]:
        """Return, for every identity's pictures, the list of paths of each picture inside the data set folder.

        A query picture lies in image_query and, as in the release, in image_test too.
        """
        result = []
        for identity, pictures in zip(drawn.identities, drawn.pictures):
            rng = np.random.default_rng((*pictures[0].shot.entropy[:3], 99))
            starts = {track: int(rng.integers(100, 90000)) for track in sorted({p.track for p in pictures})}
            paths = []
            for p in pictures:
                name = f"{identity.number:04d}_c{p.camera + 1:03d}_{starts[p.track] + 5 * p.frame:08d}_{p.frame}.jpg"
                folders = (
                    ["image_train"]
                    if identity.split == "train"
                    else ["image_test", "image_query"]
                    if p.query
                    else ["image_test"]
                )
                paths.append([f"{folder}/{name}" for folder in folders])
            result.append(paths)
        return result

    def write(self, folder: Path, records: Sequence[Any], drawn: Population) -> None:
        """Write all text files; `records` is a list of writer.Record in the order of the pictures."""
        train = sorted((r for r in records if r.identity.split == "train"), key=_name)
        test = sorted((r for r in records if r.identity.split == "test"), key=_name)
        queries = [r for r in test if r.picture.query]
        for part, rows in (("train", train), ("query", queries), ("test", test)):
            _write_lines(folder / f"name_{part}.txt", [_name(r) for r in rows])
        self._write_xml(folder / "train_label.xml", "TrainingImages", train)
        self._write_xml(folder / "test_label.xml", "TestImages", test)
        self._write_index_files(folder, queries, test)
        self._write_key_points(folder, train, test)
        _write_lines(
            folder / "list_color.txt", [f"{number} {colour}" for colour, (number, _) in population.COLOURS.items()]
        )
        _write_lines(folder / "list_type.txt", [f"{k} {name}" for k, name in enumerate(VERI_TYPES, 1)])
        _write_lines(folder / "camera_ID.txt", [f"{k} c{k:03d}" for k in range(1, len(drawn.cameras) + 1)])
        self._write_distances(folder / "camera_Dist.txt", drawn)

    @staticmethod
    def _write_xml(path: Path, root: str, rows) -> None:
        lines = [
            '<?xml version="1.0" encoding="gb2312"?>',
            f'<{root} Version="1.0">',
            f'  <Items number="{len(rows)}">',
        ]
        for r in rows:
            colour, kind = population.COLOURS[r.identity.colour][0], VERI_TYPES.index(r.identity.model.type) + 1
            lines.append(
                f'    <Item imageName="{_name(r)}" vehicleID="{r.identity.number:04d}" '
                f'cameraID="c{r.picture.camera + 1:03d}" colorID="{colour}" typeID="{kind}" />'
            )
        _write_lines(path, lines + ["  </Items>", f"</{root}>"], encoding="gb2312")

    @staticmethod
    def _write_index_files(folder: Path, queries, test) -> None:
        by_vehicle, tracks = {}, {}
        for position, r in enumerate(test, 1):
            by_vehicle.setdefault(r.identity.number, []).append((position, r.picture.camera))
            tracks.setdefault((r.identity.number, r.picture.camera), []).append(_name(r))
        good, junk = [], []
        for r in queries:
            same = by_vehicle[r.identity.number]
            good.append(" ".join(str(k) for k, camera in same if camera != r.picture.camera))
            junk.append(" ".join(str(k) for k, camera in same if camera == r.picture.camera))
        _write_lines(folder / "gt_index.txt", good)
        _write_lines(folder / "jk_index.txt", junk)
        _write_lines(folder / "test_track.txt", [" ".join(names) for names in tracks.values()])

    def _write_key_points(self, folder: Path, train, test) -> None:
        for part, rows in (("train", train), ("test", test)):
            lines = []
            for r in rows:
                numbers = " ".join(str(value) for value in r.key_points.ravel().tolist())
                view = renderer.view_class(r.picture.shot.azimuth)
                lines += [f"{self.folder}/{path} {numbers} {view}" for path in r.paths]
            _write_lines(folder / f"keypoint_{part}.txt", lines)

    @staticmethod
    def _write_distances(path: Path, drawn: Population) -> None:
        apart = camera_distances(len(drawn.cameras))
        _write_lines(path, [" ".join(f"{value:.1f}" for value in row) for row in apart])


def camera_distances(cameras: int) -> np.ndarray:
    """float64 [cameras, cameras], metres between the places of cameras in a square of a kilometre."""
    places = np.random.default_rng(cameras).uniform(0, 1000, (cameras, 2))
    return np.linalg.norm(places[:, None] - places[None], axis=2)


class VehicleIDLayout:
    """VehicleID: numbered pictures in image/, train and test lists, and attribute files."""

    folder = "VehicleID_V1.0"
    image_folders = ("image", "image_twin", "train_test_split", "attribute")
    ends_only = True
    knows_cameras = False

    def names(self, drawn: Population) -> list[list[list[str]]]:
        """Return, for every identity's pictures, the list of paths of each picture inside the data set folder."""
        counts = [len(pictures) for pictures in drawn.pictures]
        rng = np.random.default_rng((*drawn.pictures[0][0].shot.entropy[:1], 98))
        numbers = iter((rng.permutation(sum(counts)) + 1).tolist())
        return [[[f"image/{next(numbers):07d}.jpg"] for _ in range(count)] for count in counts]

    def write(self, folder: Path, records: Sequence[Any], drawn: Population) -> None:
        """Write all text files; `records` is a list of writer.Record in the order of the pictures."""
        records = sorted(records, key=_name)
        train = [r for r in records if r.identity.split == "train"]
        split = folder / "train_test_split"
        _write_lines(split / "train_list.txt", [self._line(r) for r in train])
        test = [identity.number for identity in drawn.identities if identity.split == "test"]
        rng = np.random.default_rng((*drawn.pictures[0][0].shot.entropy[:1], 97))
        for name, share in VEHICLEID_LISTS.items():
            chosen = set(rng.permutation(test)[: max(1, round(share * len(test)))].tolist())
            lines = [self._line(r) for r in records if r.identity.number in chosen]
            _write_lines(split / f"test_list_{name}.txt", lines)
        _write_lines(folder / "attribute" / "img2vid.txt", [self._line(r) for r in records])
        colours = list(population.COLOURS)
        _write_lines(
            folder / "attribute" / "model_attr.txt",
            [f"{identity.number} {identity.model.number}" for identity in drawn.identities],
        )
        _write_lines(
            folder / "attribute" / "color_attr.txt",
            [f"{identity.number} {colours.index(identity.colour)}" for identity in drawn.identities],
        )

    @staticmethod
    def _line(record):
        return f"{pathlib.PurePosixPath(record.paths[0]).stem} {record.identity.number}"


LAYOUTS = {"veri776": Veri776Layout(), "vehicleid": VehicleIDLayout()}


def write_annotations(folder: Path, records: Sequence[Any], drawn: Population) -> None:
    """Write viewpoints.csv, twins.csv and attributes.csv, which both layouts have."""
    views, twins = [], []
    for r in sorted(records, key=lambda record: record.paths[0]):
        views += [(path, renderer.view_name(r.picture.shot.azimuth)) for path in r.paths]
        twins += [(path, twin_path(r.paths[0])) for path in r.paths if r.identity.split == "test"]
    write_csv(folder / "viewpoints.csv", ("image", "view"), sorted(views))
    write_csv(folder / "twins.csv", ("image", "twin"), sorted(twins))
    write_csv(
        folder / "attributes.csv",
        ("vehicle", "model", "type", "colour", "marks"),
        [
            (f"{i.number:04d}", i.model_name, i.model.type, i.colour, ";".join(str(mark) for mark in i.marks))
            for i in drawn.identities
        ],
    )


def twin_path(path: Path) -> str:
    """Return the path of a picture's twin inside the data set folder."""
    return f"image_twin/{pathlib.PurePosixPath(path).name}"


def _name(record):
    return pathlib.PurePosixPath(record.paths[0]).name


def _write_lines(path: Path, lines, encoding: str = "ascii") -> None:
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))


def write_csv(path: Path, header: Any, rows: Any) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
