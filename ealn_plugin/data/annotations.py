"""What is known of an image beyond its identity and camera, in tables keyed by image path.

torchreid's data tuples are (path, pid, camid, dsetid) without a place for a view or a colour, and adding two
of its datasets drops the subclass. So the dataset constructors alone fill these process-wide tables,
and the users of a batch look its labels up by `batch['impath']`.
"""

import csv
import logging
import os
from collections.abc import Mapping, Sequence

import torch

log = logging.getLogger(__name__)

ATTRIBUTES = "attributes.csv"
UNKNOWN = -1
_CODES = 1000
# A number per dataset family, because the colour and type codes of one family mean nothing in another.
_FAMILIES = {"veri776": 0, "vehicleid": 1}


class AnnotationTable:
    """A mapping from image path to a label: an integer >= 0, or -1 where it is unknown.

    Paths are made absolute and normalised, so a relative and an absolute path of one file are the same key.
    """

    def __init__(self) -> None:
        self._labels = {}

    def update(self, mapping: Mapping[str, int]) -> None:
        """Set the labels of the paths in `mapping` {path: integer >= -1}."""
        self._labels.update({_normalised(path): int(label) for path, label in mapping.items()})

    def get(self, path: str) -> int:
        """Return the label of `path`, -1 if unknown."""
        return self._labels.get(_normalised(path), UNKNOWN)

    def lookup(self, paths: Sequence[str]) -> torch.Tensor:
        """Return the labels of `paths` as a torch.LongTensor [len(paths)], -1 where unknown."""
        return torch.tensor([self.get(path) for path in paths], dtype=torch.long)

    def clear(self) -> None:
        """Forget every label."""
        self._labels.clear()

    def __len__(self) -> int:
        return len(self._labels)


VIEWPOINTS = AnnotationTable()
"""View values (ealn_plugin.data.viewpoints.View)."""

APPEARANCE = AnnotationTable()
"""Group numbers shared by images of the same colour and type (VeRI-776) or colour and model (VehicleID)."""

MODELS = AnnotationTable()
"""Codes 0..999 of vehicle models, of one dataset: see ``read_models``."""


def appearance_group(family: str, colour: int, kind: int) -> int:
    """Return the number >= 0 of the group of one colour and one type or model, different between families.

    Args:
        family: 'veri776' or 'vehicleid'.
        colour, kind: the release's codes, 0..999.

    Raises:
        ValueError: for another family or a code outside 0..999.
    """
    if family not in _FAMILIES:
        raise ValueError(f"dataset family {family!r} is not one of {', '.join(_FAMILIES)}; use one of them")
    if not is_code(colour) or not is_code(kind):
        raise ValueError(
            f"colour {colour} and type {kind} must both be codes in 0..{_CODES - 1}; "
            f"check the attribute files of {family}"
        )
    return (_FAMILIES[family] * _CODES + colour) * _CODES + kind


def codes_of_group(group: int) -> tuple[int, int]:
    """(colour, type or model) of a number that ``appearance_group`` returned."""
    return group // _CODES % _CODES, group % _CODES


def read_models(path: str) -> dict[int, int]:
    """The model of each vehicle in an attributes.csv, as rendered datasets have one and others may.

    Args:
        path: of the file, which may be absent. Its columns vehicle, a number, and model, any text, are read.
    Returns:
        {vehicle: code}: the names of the models numbered from 0 in alphabetical order. {} where there is no such file,
        or one that cannot be read, which is logged.
    """
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            names = {int(row["vehicle"]): row["model"] for row in csv.DictReader(file) if row["model"]}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        log.warning("%s gives no models: it is no list of vehicle and model (%s)", path, error)
        return {}
    codes = {name: code for code, name in enumerate(sorted(set(names.values())))}
    return {vehicle: codes[name] for vehicle, name in names.items() if is_code(codes[name])}


def is_code(number: int) -> bool:
    """Return whether `number` can be the code of a colour, a type or a model: 0..999."""
    return 0 <= number < _CODES


def _normalised(path: str) -> str:
    return os.path.abspath(path)
