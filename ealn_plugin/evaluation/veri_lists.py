"""VeRI-776's own lists for testing: tracks (test_track.txt) and the index files gt_index.txt and jk_index.txt."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from ealn_plugin.data.files import stem
from ealn_plugin.evaluation.features import Features

log = logging.getLogger(__name__)

TRACK_FILE, GOOD_FILE, JUNK_FILE = "test_track.txt", "gt_index.txt", "jk_index.txt"
_NAME, _POSITION = re.compile(r"(\d{1,9})_c(\d{1,9})_", re.ASCII), re.compile(r"\d{1,9}", re.ASCII)
_QUERY_FOLDER, _GALLERY_FOLDER = "image_query", "image_test"


def release_folder(paths: Sequence[str]) -> str | None:
    """The dataset folder that holds the image folder of the first path; None where there are no paths."""
    if not paths:
        return None
    return os.path.dirname(os.path.dirname(os.path.abspath(paths[0])))


def gallery_tracks(gallery: Features) -> NDArray[np.int64]:
    """Number the tracks of a gallery: one track is one vehicle in one camera.

    The release's tracks are used where the images lie in a folder with test_track.txt; images it leaves out, and all
    images where there is no such file, form one track per vehicle and camera.

    Args:
        gallery: Features of the gallery images.
    Returns:
        int64 [gallery], numbers from 0 without gaps.
    Raises:
        ValueError: a track of test_track.txt mixes vehicles or cameras.
    """
    derived = np.unique(np.stack([gallery.pids, gallery.camids]), axis=1, return_inverse=True)[1].reshape(-1)
    folder = release_folder(gallery.paths)
    path = os.path.join(folder, TRACK_FILE) if folder else None
    if path is None or not os.path.isfile(path):
        return derived
    line_of_name = {stem(name): number for number, names in enumerate(_read_words(path), 1) for name in names}
    listed = np.array([line_of_name.get(stem(os.path.basename(name)), 0) for name in gallery.paths], dtype=np.int64)
    for line in np.unique(listed[listed > 0]):
        if len(np.unique(derived[listed == line])) > 1:
            raise ValueError(
                f"{path}, line {line}: the track mixes vehicles or cameras, expected one vehicle in one "
                "camera; correct the line or remove the file to derive the tracks from the names"
            )
    if (listed == 0).any():
        log.warning(
            "%s does not list %d of %d gallery images: their tracks are derived from vehicle and camera",
            path,
            np.count_nonzero(listed == 0),
            len(listed),
        )
    log.debug("tracks of %s: %d", path, len(np.unique(listed[listed > 0])))
    return np.unique(np.where(listed > 0, listed, -1 - derived), return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class IndexReport:
    """What comparing derived matches and junk with gt_index.txt and jk_index.txt found; sums over all queries.

    Attributes:
        queries: number of queries compared.
        good_derived, good_listed: pairs of one vehicle in different cameras.
        junk_derived, junk_listed: pairs of one vehicle in one camera.
        differing: names of the queries for which a set differs.
    """

    queries: int
    good_derived: int
    good_listed: int
    junk_derived: int
    junk_listed: int
    differing: tuple

    @property
    def agrees(self) -> bool:
        """True where every query's sets are equal."""
        return not self.differing

    def __str__(self) -> str:
        counts = (
            f"{self.queries} queries: {self.good_derived} matches and {self.junk_derived} junk images derived "
            f"from the names, {self.good_listed} and {self.junk_listed} in {GOOD_FILE} and {JUNK_FILE}"
        )
        if self.agrees:
            return f"{counts}; all sets are equal"
        return f"{counts}; {len(self.differing)} queries differ, the first is {self.differing[0]}"


def has_index_files(dataset_dir: str | PathLike[str]) -> bool:
    """True if a folder holds both index files."""
    return all(os.path.isfile(os.path.join(dataset_dir, name)) for name in (GOOD_FILE, JUNK_FILE))


def verify_veri_index(
    dataset_dir: str | PathLike[str],
    query_names: Iterable[str] | Features | None = None,
    gallery_names: Iterable[str] | None = None,
) -> IndexReport:
    """Compare the junk rule with the release's index files and log the outcome in one sentence.

    Args:
        dataset_dir: folder with gt_index.txt and jk_index.txt: one line per query in the order of the sorted names,
            positions counted from 1 in the sorted gallery names.
        query_names, gallery_names: file names or paths in any order, or a Features object as query_names alone; by
            default the contents of image_query and image_test.
    Returns:
        IndexReport
    Raises:
        FileNotFoundError: an index file or an image folder is missing.
        ValueError: a line that does not fit, or another number of lines than of queries.
    """
    if isinstance(query_names, Features):
        features = query_names
        labelled = list(zip(features.paths, features.is_query))
        query_names, gallery_names = ([path for path, query in labelled if query == side] for side in (True, False))
    queries = _sorted_names(query_names, dataset_dir, _QUERY_FOLDER)
    gallery = _sorted_names(gallery_names, dataset_dir, _GALLERY_FOLDER)
    entries = np.array([_vehicle_and_camera(name) for name in gallery]).reshape(-1, 2)
    listed_good, listed_junk = (
        _read_positions(os.path.join(dataset_dir, name), len(queries), len(gallery)) for name in (GOOD_FILE, JUNK_FILE)
    )
    totals, differing = np.zeros(4, dtype=np.int64), []
    for name, good_list, junk_list in zip(queries, listed_good, listed_junk):
        vehicle, camera = _vehicle_and_camera(name)
        same_vehicle, same_camera = entries[:, 0] == vehicle, entries[:, 1] == camera
        good, junk = (
            set((np.flatnonzero(mask) + 1).tolist())
            for mask in (same_vehicle & ~same_camera, same_vehicle & same_camera)
        )
        totals += [len(good), len(good_list), len(junk), len(junk_list)]
        if good != good_list or junk != junk_list:
            differing.append(name)
    counts = totals.tolist()
    report = IndexReport(len(queries), counts[0], counts[1], counts[2], counts[3], tuple(differing))
    log.log(logging.INFO if report.agrees else logging.WARNING, "%s: %s", dataset_dir, report)
    return report


def _sorted_names(names: Iterable[str] | None, dataset_dir: str | PathLike[str], folder: str) -> list[str]:
    if names is None:
        folder = os.path.join(dataset_dir, folder)
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"there is no folder {folder!r}; give the names or the VeRI-776 dataset folder")
        names = [name for name in os.listdir(folder) if name.endswith(".jpg")]
    return sorted(os.path.basename(name) for name in names)


def _vehicle_and_camera(name: str) -> tuple[int, int]:
    """(2, 5) of 0002_c005_00030600_0.jpg."""
    parts = _NAME.match(name)
    if parts is None:
        raise ValueError(
            f"the image name {name!r} is not of the form 0002_c005_00030600_0.jpg; give names as in VeRI-776"
        )
    return int(parts[1]), int(parts[2])


def _read_words(path: str) -> list[list[str]]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path!r} does not exist; copy it from the VeRI-776 release into the dataset folder")
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.split() for line in file]


def _read_positions(path: str, num_queries: int, num_gallery: int) -> list[set[int]]:
    lines = _read_words(path)
    while len(lines) > num_queries and not lines[-1]:
        lines.pop()
    if len(lines) != num_queries:
        raise ValueError(
            f"{path} has {len(lines)} lines, expected {num_queries}, one per query image; compare with "
            "the release's file or the whole query set"
        )
    positions = []
    for number, words in enumerate(lines, 1):
        bad = [word for word in words if not _POSITION.fullmatch(word) or not 1 <= int(word) <= num_gallery]
        if bad:
            raise ValueError(
                f"{path}, line {number}: {bad[0][:80]!r} is not a position from 1 to {num_gallery}; "
                "compare with the release's file"
            )
        positions.append({int(word) for word in words})
    return positions
