"""What the page and the JSON interface ask: an index with its extractor, for many clients at once."""

import functools
import io
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ealn_plugin.data.times import time_text
from ealn_plugin.data.viewpoints import View
from ealn_plugin.inference.extractor import FeatureExtractor, as_view
from ealn_plugin.search.filters import Filter
from ealn_plugin.search.index import SearchIndex
from ealn_plugin.search.places import WEIGHT, Whereabouts, check_camera, forms_of
from ealn_plugin.search.results import hit_json, ranked_by
from ealn_plugin.system.pictures import read_picture

MOST_HITS = 200
SIZES = (64, 1024)
"""The shortest and the longest side, in pixels, that a picture is served in."""
_KEPT = 2_000  # pictures in memory, some 10 kB each
_SMALLEST_BOX = 8  # pixels


class Placing(NamedTuple):
    """Whether hits are ranked by where and when as well, see ``Whereabouts``; the query's own camera and time."""

    form: str = ""
    camera: str = ""
    time: str = ""
    weight: float = WEIGHT

    def whereabouts(self, index: SearchIndex) -> Whereabouts | None:
        """Those of the query; None where hits are ranked by appearance alone.

        Raises:
            ValueError: a value out of range.
        """
        if not self.form:
            return None
        check_camera(index, self.form, self.camera)
        return Whereabouts(self.form, [self.camera], [self.time], self.weight)


ALONE = Placing()
"""By appearance alone."""


class Gallery:
    """A searchable gallery.

    Args:
        index: ``SearchIndex``. extractor: ``FeatureExtractor`` with its identity.
        note: what a user should know of the network, '' for nothing.
    """

    def __init__(self, index: SearchIndex, extractor: FeatureExtractor, note: str = "") -> None:
        self.index, self.extractor, self.note = index, extractor, note
        self._turn = threading.Lock()  # one query at a time uses all cores
        self._picture = functools.lru_cache(_KEPT)(self._read_picture)

    def info(self) -> dict[str, Any]:
        """JSON values: how many images there are, and what they can be filtered by."""
        counts = {name: self.index.values(name) for name in ("camera", "view", "colour", "type", "source")}
        return {
            "images": len(self.index),
            "filters": {name: dict(found) for name, found in counts.items()},
            "views": [view.name.lower() for view in View if view != View.UNKNOWN],
            "where_and_when": list(forms_of(self.index.manifest.places)),
            "predicts_views": self.extractor.classifier is not None,
            "note": self.note,
        }

    def search_picture(
        self,
        picture: Image.Image,
        box: Sequence[float] | None,
        view: str,
        where: Filter,
        k: int,
        group_by: str,
        placing: Placing = ALONE,
    ) -> dict[str, Any]:
        """The nearest images of a picture.

        Args:
            picture: mode RGB. box: left, upper, right, lower as shares of width and height, in [0, 1]; None: all of it.
            view: name of the side that it shows; '': unknown, or predicted where the extractor has a classifier.
            where, group_by: as ``SearchIndex.search``. k: hits, at most ``MOST_HITS``.
            placing: where and when it was taken, where hits are to be ranked by that as well.
        Returns:
            {"view": name or None, "ranked_by": see ``results.ranked_by``, "hits": list of ``hit_json`` without the
            files' folders}
        Raises:
            ValueError: a value out of range.
        """
        crop = _cropped(picture, box)
        views = [as_view(view)] if view else [View.UNKNOWN]
        with self._turn:
            found = self.extractor.extract([crop], views, predict=not view and self.extractor.classifier is not None)
        return self._answer(found.features, int(found.views[0]), where, _checked(k), group_by, "", placing)

    def search_image(
        self, number: int, where: Filter, k: int, group_by: str, placing: Placing = ALONE
    ) -> dict[str, Any]:
        """The nearest images of one of the index, itself left out; arguments and result as ``search_picture``,
        with what is known of the image under "query". Its camera and time are those of the index unless given.

        Raises:
            KeyError: the index has no such image. ValueError: a value out of range.
        """
        records = self.index.facts([number])
        features = self.index.features([number])
        time = time_text(float(records.times[0]), bool(records.dated[0]))
        placing = placing._replace(camera=placing.camera or records.cameras[0], time=placing.time or time)
        path = records.paths[0]
        answer = self._answer(features, int(records.views[0]), where, _checked(k), group_by, path, placing)
        known = {"id": number, "image": os.path.basename(path), "vehicle": records.vehicles[0] or None}
        return {**answer, "query": {**known, "camera": records.cameras[0] or None, "time": time or None}}

    def _answer(
        self, features: Any, view: int, where: Filter, k: int, group_by: str, itself: str, placing: Placing
    ) -> dict[str, Any]:
        whereabouts = placing.whereabouts(self.index)
        hits = self.index.search(np.asarray(features), k + bool(itself), where, group_by, whereabouts)[0]
        hits = [hit for hit in hits if hit.path != itself][:k]
        shown = [
            {**hit_json(hit), "rank": rank, "image": os.path.basename(hit.path)} for rank, hit in enumerate(hits, 1)
        ]
        seen = None if view == View.UNKNOWN else View(view).name.lower()
        return {"view": seen, "ranked_by": ranked_by(whereabouts, hits), "hits": shown}

    def picture(self, number: int, side: int) -> bytes:
        """An image of the index as a JPEG file whose longer side has at most so many pixels.

        Raises:
            KeyError: the index has no such image. ValueError: a side out of range.
            FileNotFoundError, UnreadableImageError: its file is gone or broken.
        """
        if not SIZES[0] <= side <= SIZES[1]:
            raise ValueError(f"size is {side}, expected {SIZES[0]} to {SIZES[1]} pixels")
        return self._picture(number, side)

    def _read_picture(self, number: int, side: int) -> bytes:
        picture = read_picture(self.index.facts([number]).paths[0])
        picture.thumbnail((side, side), Image.Resampling.BILINEAR)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=88)
        return content.getvalue()


def _checked(k: int) -> int:
    if not 1 <= k <= MOST_HITS:
        raise ValueError(f"k is {k}, expected 1 to {MOST_HITS} hits")
    return k


def _cropped(picture: Image.Image, box: Sequence[float] | None) -> Image.Image:
    if box is None:
        return picture
    left, upper, right, lower = box
    if not (0 <= left < right <= 1 and 0 <= upper < lower <= 1):
        raise ValueError(
            f"box is {', '.join(f'{side:g}' for side in box)}, expected left, upper, right and lower in [0, 1] in "
            "that order"
        )
    width, height = picture.size
    corners = round(left * width), round(upper * height), round(right * width), round(lower * height)
    if corners[2] - corners[0] < _SMALLEST_BOX or corners[3] - corners[1] < _SMALLEST_BOX:
        raise ValueError(f"the box has less than {_SMALLEST_BOX} pixels a side; draw a larger one around the vehicle")
    return picture.crop(corners)


def filter_of(values: Mapping[str, Any]) -> Filter:
    """A ``Filter`` of what a client sends: lists of texts, and after and before as texts.

    Raises:
        ValueError: one sentence.
    """
    return Filter(
        cameras=values.get("camera") or (),
        views=values.get("view") or (),
        colours=values.get("colour") or (),
        types=values.get("type") or (),
        sources=values.get("source") or (),
        after=values.get("after") or "",
        before=values.get("before") or "",
    )
