"""Answers of an index: asked for, as a table, as JSON; and what an index says of itself."""

import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.data.viewpoints import View
from ealn_plugin.search.gallery import known_view
from ealn_plugin.search.index import Hit, SearchIndex
from ealn_plugin.search.store import Manifest
from ealn_plugin.search.writer import RECALL_AT
from ealn_plugin.system.messages import counted


def answer(
    index: SearchIndex,
    extractor: Any,
    paths: Sequence[str],
    k: int = 10,
    view: Any = None,
    expansion: tuple[int, float] = (0, 0.0),
) -> list[tuple[str, View, list[Hit]]]:
    """The nearest images of image files.

    Args:
        index: ``SearchIndex``; extractor: ``FeatureExtractor`` with its identity.
        paths: list of absolute file names; k: images for each.
        view: of all of them, see ``as_view``; None: what the index or a dataset built in this process knows, else
            predicted where the extractor has a classifier, else unknown.
        expansion: count and alpha of ``SearchIndex.expanded``; a count of 0: the images are searched as they are.
    Returns:
        list of (path, View, list of ``Hit``)
    """
    if view is None:
        views = [known_view(path, index.view_of(path)) for path in paths]
        extracted = extractor.extract(paths, views, predict=extractor.classifier is not None)
    else:
        extracted = extractor.extract(paths, [view] * len(paths))
    features = index.expanded(extracted.features, *expansion) if expansion[0] else extracted.features
    nearest = index.search(features, k)
    return [(path, View(int(seen)), hits) for path, seen, hits in zip(paths, extracted.views, nearest)]


def camera_number(camid: int) -> int:
    """A camera as its files call it, from 1 on; torchreid counts from 0. -1 where it is unknown."""
    return camid + 1 if camid >= 0 else -1


def table(answers: Sequence[tuple[str, View, list[Hit]]]) -> list[str]:
    """Lines of text: a block for each query."""
    lines = []
    for path, view, hits in answers:
        seen = "" if view == View.UNKNOWN else f" ({view.name.lower()})"
        lines += [
            *([""] if lines else []),
            f"{printable(path)}{seen}",
            f"{'rank':>4}  {'similarity':>10}  {'vehicle':>7}  {'camera':>6}  {'view':7}  image",
        ]
        lines += [
            f"{hit.rank:>4}  {hit.similarity:>10.4f}  {_known(hit.pid):>7}  {_known(camera_number(hit.camid)):>6}  "
            f"{View(hit.view).name.lower():7}  {printable(hit.path)}"
            for hit in hits
        ]
    return lines


def as_json(index: SearchIndex, answers: Sequence[tuple[str, View, list[Hit]]]) -> dict[str, Any]:
    """JSON values; what is unknown is null."""

    def view_name(view):
        return None if view == View.UNKNOWN else View(view).name.lower()

    def number(value):
        return None if value < 0 else value

    return {
        "images": len(index),
        "kind": "ivf" if index.nlist else "flat",
        "nlist": index.nlist,
        "nprobe": index.nprobe,
        "queries": [
            {
                "image": path,
                "view": view_name(view),
                "nearest": [
                    {
                        "rank": hit.rank,
                        "similarity": hit.similarity,
                        "image": hit.path,
                        "vehicle": number(hit.pid),
                        "camera": number(camera_number(hit.camid)),
                        "view": view_name(hit.view),
                    }
                    for hit in hits
                ],
            }
            for path, view, hits in answers
        ],
    }


def summary(folder: str, manifest: Manifest) -> list[str]:
    """Lines of text: how many images an index holds, and how they are searched."""
    size = sum(file["bytes"] for file in manifest.files.values()) / 2**20
    lines = [f"{os.fspath(folder)}: {counted(manifest.images, 'image')}, {manifest.dim} numbers each, {size:.1f} MiB"]
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


def printable(path: str) -> str:
    """A file name on one line of any terminal: characters that cannot be printed are escaped."""
    return path if path.isprintable() else repr(path)[1:-1]


def _known(number):
    return "" if number < 0 else number
