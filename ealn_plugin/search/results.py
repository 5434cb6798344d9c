"""Answers of an index: asked for, as a table, as JSON, as CSV; and what an index says of itself."""

import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.data.viewpoints import View
from ealn_plugin.search.filters import Filter
from ealn_plugin.search.gallery import known_view
from ealn_plugin.search.hits import Hit
from ealn_plugin.search.index import FILTERED, SearchIndex
from ealn_plugin.search.places import Whereabouts, forms_of
from ealn_plugin.search.store import Manifest
from ealn_plugin.search.writer import RECALL_AT
from ealn_plugin.system.entrances import command
from ealn_plugin.system.files import csv_text
from ealn_plugin.system.messages import counted

_SHOWN = 12  # values of a column
_TABLE = (
    *(("fits", 4), ("vehicle", 7), ("camera", 6), ("view", 7), ("time", 4)),
    *(("colour", 5), ("type", 4), ("same", 4), ("more", 4)),
)
"""Columns and their least width; of those of 5 or less only those are shown of which something is known."""


def answer(
    index: SearchIndex,
    extractor: Any,
    paths: Sequence[str],
    k: int = 10,
    view: Any = None,
    where: Filter | None = None,
    group_by: str = "",
    expansion: tuple[int, float] = (0, 0.0),
    whereabouts: Whereabouts | None = None,
) -> list[tuple[str, View, list[Hit]]]:
    """The nearest images of image files.

    Args:
        index: ``SearchIndex``; extractor: ``FeatureExtractor`` with its identity.
        paths: list of absolute file names; k: images for each.
        view: of all of them, see ``as_view``; None: what the index or a dataset built in this process knows, else
            predicted where the extractor has a classifier, else unknown.
        where, group_by, whereabouts: see ``SearchIndex.search``.
        expansion: count and alpha of ``SearchIndex.expanded``; a count of 0: the images are searched as they are.
    Returns:
        list of (path, View, list of ``Hit``)
    """
    if view is None:
        views = [known_view(path, view) for path, view in zip(paths, index.views_of(paths))]
        extracted = extractor.extract(paths, views, predict=extractor.classifier is not None)
    else:
        extracted = extractor.extract(paths, [view] * len(paths))
    features = index.expanded(extracted.features, *expansion, where) if expansion[0] else extracted.features
    nearest = index.search(features, k, where, group_by, whereabouts)
    return [(path, View(int(seen)), hits) for path, seen, hits in zip(paths, extracted.views, nearest)]


def camera_number(camid: int) -> int:
    """A camera as its files call it, from 1 on; torchreid counts from 0. -1 where it is unknown."""
    return camid + 1 if camid >= 0 else -1


def table(answers: Sequence[tuple[str, View, list[Hit]]]) -> list[str]:
    """Lines of text: a block for each query, with the columns of which anything is known."""
    hits = [hit for _, _, found in answers for hit in found]
    columns = [
        (name, max([least, len(name), *(len(_cell(hit, name)) for hit in hits)]))
        for name, least in _TABLE
        if least > 5 or any(_cell(hit, name) for hit in hits)
    ]
    lines = []
    for path, view, found in answers:
        seen = "" if view == View.UNKNOWN else f" ({view.name.lower()})"
        heads = "".join(f"  {name:{_side(name)}{width}}" for name, width in columns)
        lines += [
            *([""] if lines else []),
            f"{printable(path)}{seen}",
            f"{'rank':>4}  {'similarity':>10}{heads}  image",
        ]
        for hit in found:
            cells = "".join(f"  {_cell(hit, name):{_side(name)}{width}}" for name, width in columns)
            lines.append(f"{hit.rank:>4}  {hit.similarity:>10.4f}{cells}  {printable(hit.path)}")
    return lines


def _side(name: str) -> str:
    return "<" if name == "view" else ">"


def _cell(hit: Hit, name: str) -> str:
    if name == "view":
        return View(hit.view).name.lower()
    if name == "more":
        return str(hit.more or "")
    if name in ("same", "fits"):
        share = hit.probability if name == "same" else hit.fits
        return "" if share is None else f"{100 * share:.0f}%"
    return printable(getattr(hit, name))


def likely(
    index: SearchIndex, answers: Sequence[tuple[str, View, list[Hit]]], threshold: float | None
) -> list[tuple[str, View, list[Hit]]]:
    """The answers without hits that are less probable; None: as they are.

    Raises:
        ValueError: the index is not calibrated.
    """
    if threshold is None:
        return list(answers)
    if index.calibration is None:
        raise ValueError(
            f"--threshold is {threshold:g}, but the index does not know what a similarity means; fit it on labelled "
            f"images with {command('search')} calibrate"
        )
    return [(path, view, [hit for hit in hits if (hit.probability or 0) >= threshold]) for path, view, hits in answers]


def as_json(
    index: SearchIndex, answers: Sequence[tuple[str, View, list[Hit]]], whereabouts: Whereabouts | None = None
) -> dict[str, Any]:
    """JSON values; what is unknown is null."""
    return {
        "images": len(index),
        "kind": "ivf" if index.nlist else "flat",
        "nlist": index.nlist,
        "nprobe": index.nprobe,
        "queries": [
            {
                "image": path,
                "view": _view_name(view),
                **(_whereabouts_json(whereabouts, row, hits) if whereabouts else {}),
                "nearest": [hit_json(hit) for hit in hits],
            }
            for row, (path, view, hits) in enumerate(answers)
        ],
    }


def _whereabouts_json(whereabouts: Whereabouts, row: int, hits: Sequence[Hit]) -> dict[str, Any]:
    """What the hits of a query were ranked by, and where and when it was taken."""
    return {
        "ranked_by": ranked_by(whereabouts, hits),
        "camera": _label(whereabouts.cameras[row]),
        "time": whereabouts.times[row] or None,
    }


def ranked_by(whereabouts: Whereabouts | None, hits: Sequence[Hit]) -> str:
    """'appearance', or the form of where and when by which a query's hits are ranked as well."""
    placed = any(hit.fits is not None for hit in hits)
    return whereabouts.form if whereabouts is not None and placed else "appearance"


def hit_json(hit: Hit) -> dict[str, Any]:
    """JSON values of a hit. Labels that are whole numbers are numbers, others texts; what is unknown is null."""
    return {
        "rank": hit.rank,
        "similarity": hit.similarity,
        "id": hit.id,
        "image": hit.path,
        "vehicle": _label(hit.vehicle),
        "camera": _label(hit.camera),
        "view": _view_name(hit.view),
        "time": hit.time or None,
        "colour": hit.colour or None,
        "type": hit.type or None,
        "source": hit.source or None,
        "track": hit.track or None,
        "more": hit.more,
        "probability": hit.probability,
        "fits": hit.fits,
        "score": hit.score,
    }


def as_csv(answers: Sequence[tuple[str, View, list[Hit]]]) -> str:
    """The text of a CSV: a line for each hit, beginning with its query; what is unknown is empty."""
    rows = [
        [query, *("" if value is None else value for value in hit_json(hit).values())]
        for query, _, hits in answers
        for hit in hits
    ]
    return csv_text(("query", *hit_json(Hit(0, 0.0, "", -1, -1, -1, -1))), rows)


def _view_name(view: int) -> str | None:
    return None if view == View.UNKNOWN else View(view).name.lower()


def _label(text: str) -> int | str | None:
    """A label as JSON: the number that it is when written plainly, else its text."""
    plain = text.isascii() and text.isdigit() and str(int(text)) == text
    return int(text) if plain else text or None


def summary(folder: str, manifest: Manifest) -> list[str]:
    """Lines of text: how many images an index holds, and how they are searched."""
    size = "" if manifest.size is None else f", {manifest.size / 2**20:.1f} MiB"
    lines = [f"{os.fspath(folder)}: {counted(manifest.images, 'image')}, {manifest.dim} numbers each{size}"]
    if not manifest.complete:
        lines.append("it is not finished: run the command that builds it again")
    if manifest.ivf:
        ivf = manifest.ivf
        recall = "not measured yet" if ivf["recall"] is None else f"{ivf['recall']:.3f}"
        lines.append(
            f"search: IVF, {ivf['nprobe'] or ivf['nlist']} of {ivf['nlist']} lists; recall@{RECALL_AT} "
            f"against exact search {recall} when the lists were learned, from {ivf['images']} images"
        )
    else:
        lines.append(f"search: exact (recall@{RECALL_AT} 1.000)")
    return lines


def known(index: SearchIndex) -> list[str]:
    """Lines of text: what of its images an index knows, as far as it can be filtered by."""
    lines = []
    for column in FILTERED:
        counts = index.values(column)
        if counts:
            shown = ", ".join(f"{printable(value)} ({count})" for value, count in list(counts.items())[:_SHOWN])
            more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
            lines.append(f"{column}: {shown}{more}")
    lines += [f"where and when: {printable(str(found))}" for found in forms_of(index.manifest.places).values()]
    return lines


def printable(path: str) -> str:
    """A file name on one line of any terminal: characters that cannot be printed are escaped."""
    return path if path.isprintable() else repr(path)[1:-1]
