"""ealn_plugin/search/clips.py: what an index knows of the vehicles of a clip."""

import logging
from types import SimpleNamespace

import pytest

from ealn_plugin.search.clips import images_of_clips


class Cropper:
    """Gives two vehicles, or none for clips named empty."""

    def crop(self, clip, progress):
        if "empty" in clip.path:
            return []
        return [
            SimpleNamespace(image=f"/crops/day/{number}.jpg", track=1 + number // 2, kind="bus", seconds=0.5 * number)
            for number in range(4)
        ]


def clip(path):
    return SimpleNamespace(path=path)


def test_what_is_known_of_a_crop(caplog):
    with caplog.at_level(logging.INFO):
        records = images_of_clips(Cropper(), [clip("/v/empty.mp4"), clip("/v/cam_3.mp4")], start="2024-05-01T16:30")
    assert "/v/empty.mp4: no vehicle was found" in caplog.text and "2 vehicles, 4 images" in caplog.text
    assert records.tracks.tolist() == ["day 1", "day 1", "day 2", "day 2"] and set(records.cameras) == {"3"}
    assert records.dated.all() and (records.times - records.times[0]).tolist() == [0, 0.5, 1, 1.5]
    assert records.times[0] == 1714581000 and set(records.types) == {"bus"} and set(records.sources) == {"/v/cam_3.mp4"}
    other = images_of_clips(Cropper(), [clip("/v/cam_3.mp4")], camera="gate", start="100")
    assert set(other.cameras) == {"gate"} and other.times.tolist() == [100, 100.5, 101, 101.5] and not other.dated.any()
    assert images_of_clips(Cropper(), [clip("/v/a.mp4")]).times[1] == 0.5


def test_nothing_found_and_a_wrong_start():
    with pytest.raises(ValueError, match="no vehicle was found in /v/empty.mp4; lower --detect-confidence"):
        images_of_clips(Cropper(), [clip("/v/empty.mp4")])
    with pytest.raises(ValueError, match="time 'noon' is neither a number nor a date"):
        images_of_clips(Cropper(), [clip("/v/a.mp4")], start="noon")
