"""ealn_plugin/visualization/search_sheet.py: a frame for every image, and words for those that are gone."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.data.viewpoints import View
from ealn_plugin.search.hits import Hit
from ealn_plugin.visualization.page import GAP, MARGIN, TILE
from ealn_plugin.visualization.search_sheet import FOUND, GONE, QUERY, captions, draw_search_sheet


def hit(rank, path, pid=7, camid=2, view=View.REAR):
    return Hit(rank, 1 - rank / 10, str(path), pid, camid, int(view), rank)


def test_one_row_per_query_and_one_frame_per_image(tmp_path):
    for name, size in (("a\n.png", (40, 30)), ("b.png", (1, 1)), ("c.png", (300, 9))):
        Image.new("RGB", size, (10, 200, 30)).save(tmp_path / name)
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    hits = [hit(1, tmp_path / "b.png"), hit(2, tmp_path / "gone.png"), hit(3, tmp_path / "cut.jpg")]
    results = [
        (str(tmp_path / "a\n.png"), View.FRONT, hits),
        (str(tmp_path / "c.png"), View.UNKNOWN, hits[:1]),
        (str(tmp_path / "b.png"), View.SIDE, []),
    ]
    draw_search_sheet(tmp_path / "sheet.png", "title " * 50, results)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    rows = np.flatnonzero((pixels[:, MARGIN] == QUERY).all(axis=1))
    tops = [rows[0], *rows[1:][np.diff(rows) > 1]]
    assert len(tops) == 3 and pixels.shape[1] == 2 * MARGIN + 4 * (TILE + GAP)
    colours = [
        [tuple(pixels[top + 1, MARGIN + 2 * GAP + TILE + number * (TILE + GAP) + 9].tolist()) for number in range(3)]
        for top in tops
    ]
    white = (255, 255, 255)
    assert colours == [[FOUND, GONE, GONE], [FOUND, white, white], [white] * 3]
    draw_search_sheet(tmp_path / "empty.png", "nothing", [])
    with pytest.raises(OSError):
        draw_search_sheet(tmp_path / "no" / "sheet.png", "", results)


def test_captions_leave_out_what_is_unknown():
    known = replace(hit(1, "a"), vehicle="HH 7", camera="north", time="16450", colour="red", type="van")
    assert captions(known) == ["0.900  16450", "vehicle HH 7 red van", "camera north, rear"]
    assert captions(hit(2, "a", -1, -1, View.UNKNOWN)) == ["0.800", "", ""]
