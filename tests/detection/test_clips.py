"""ealn_plugin/detection/clips.py: the vehicles that drove through, rendered ones too, and going on after a stop."""

import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from ealn_plugin.detection import ClipCropper, Detector, Settings
from ealn_plugin.detection.clips import CROPS, DETECTIONS
from ealn_plugin.detection.video import Clip
from tests.helpers.detectors import Traffic


class Counting:
    """A detector that counts its frames and may stop in the middle."""

    def __init__(self, path, stop_at=10**9):
        self._detector, self.frames, self._stop_at = Detector(path), 0, stop_at
        self.identity, self.confidence = self._detector.identity, self._detector.confidence

    def __call__(self, frame):
        if self.frames == self._stop_at:
            raise KeyboardInterrupt
        self.frames += 1
        return self._detector(frame)


def vehicle_of(traffic, found):
    """(vehicle at the place of a crop, intersection over union)."""
    best = (None, 0.0)
    for vehicle in range(len(traffic.pictures)):
        box = traffic.box(vehicle, found.frame)
        if box:
            one, other = np.array(found.box), np.array(box)
            both = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
            union = (one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - both
            best = max(best, (vehicle, both / union), key=lambda pair: pair[1])
    return best


def contents(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}


@pytest.fixture(scope="module")
def rendered(rendered_root):
    """A clip with six rendered vehicles."""
    folder = rendered_root / "VeRi" / "image_test"
    by_vehicle = {name[:4]: name for name in sorted(os.listdir(folder))}
    by_vehicle.update({"t" + name[:4]: name for name in sorted(os.listdir(folder.parent / "image_train"))})
    pictures = []
    for vehicle, name in list(by_vehicle.items())[:6]:
        place = folder if vehicle[0] != "t" else folder.parent / "image_train"
        picture = np.asarray(Image.open(place / name).convert("RGB").resize((48, 34)))
        pictures.append(np.maximum(picture, 110))  # the small detector sees what is bright
    return Traffic(pictures, hidden=range(20, 24))


def test_as_many_tracks_as_rendered_vehicles_each_of_one_vehicle(rendered, detectors, tmp_path):
    clip = Clip(rendered.write(tmp_path / "rendered.mp4"))
    detector = Detector(detectors["candidates"], ["car", "person", "truck"])
    found = ClipCropper(detector, tmp_path / "crops", Settings(per_track=3)).crop(clip, progress=False)
    vehicles = {}
    for one in found:
        vehicle, overlap = vehicle_of(rendered, one)
        assert overlap > 0.6
        vehicles.setdefault(one.track, set()).add(vehicle)
        picture = rendered.pictures[vehicle]
        small = np.asarray(Image.open(one.image).resize((48, 34)), float)
        assert np.abs(small - picture).mean() < 40
    assert sorted(vehicles) == [1, 2, 3, 4, 5, 6]
    assert sorted(vehicle for several in vehicles.values() for vehicle in several) == [0, 1, 2, 3, 4, 5]
    assert len(found) == 18 and all(one.seconds == pytest.approx(one.frame / 10, abs=1e-3) for one in found)


def test_a_stopped_clip_goes_on_and_a_finished_one_is_not_made_again(video, detectors, tmp_path):
    whole = Counting(detectors["finished"])
    expected = ClipCropper(whole, tmp_path / "whole").crop(Clip(video), progress=False)
    assert whole.frames == 70 and [one.kind for one in expected if one.track == 1][0] == "car"
    stopped = Counting(detectors["finished"], stop_at=41)
    with pytest.raises(KeyboardInterrupt):
        ClipCropper(stopped, tmp_path / "stopped").crop(Clip(video), progress=False)
    folder = tmp_path / "stopped" / "cam_07"
    assert (folder / DETECTIONS).exists() and not (folder / CROPS).exists()
    with open(folder / DETECTIONS, "a") as file:
        file.write("[41, [[0.0, ")  # as a kill leaves it
    later = Counting(detectors["finished"])
    ClipCropper(later, tmp_path / "stopped").crop(Clip(video), progress=False)
    assert later.frames == 70 - 41
    assert contents(folder) == contents(tmp_path / "whole" / "cam_07")
    again = Counting(detectors["finished"])
    found = ClipCropper(again, tmp_path / "whole").crop(Clip(video), progress=False)
    assert found == expected and again.frames == 0


def test_other_settings_other_clips_and_damage(video, detectors, traffic, tmp_path):
    cropper = ClipCropper(Detector(detectors["finished"]), tmp_path / "crops", Settings(every=2))
    first = cropper.crop(Clip(video), progress=False)
    assert {one.frame % 2 for one in first} == {0} and len({one.track for one in first}) == 4
    with pytest.raises(ValueError, match="made otherwise .the settings have changed.; remove that folder"):
        ClipCropper(Detector(detectors["finished"]), tmp_path / "crops").crop(Clip(video), progress=False)
    with pytest.raises(ValueError, match="the detector or its settings have changed"):
        other = Detector(detectors["candidates"])
        ClipCropper(other, tmp_path / "crops", Settings(every=2)).crop(Clip(video), progress=False)
    (tmp_path / "elsewhere").mkdir()
    namesake = traffic.write(tmp_path / "elsewhere" / "cam_07.mp4", frames=30)
    assert {os.path.dirname(one.image) for one in cropper.crop(Clip(namesake), progress=False)} == {
        str(tmp_path / "crops" / "cam_07-2")
    }
    path = tmp_path / "crops" / "cam_07" / CROPS
    path.write_text(json.dumps({**json.loads(path.read_text()), "crops": [{"track": 1}]}))
    with pytest.raises(ValueError, match="is no list of crops"):
        cropper.crop(Clip(video), progress=False)
    path.write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        cropper.crop(Clip(video), progress=False)
    with pytest.raises(ValueError, match="--crops-per-track is 0"):
        Settings(per_track=0)


def test_no_vehicle_gives_no_crops(detectors, tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    cropper = ClipCropper(Detector(detectors["candidates"]), tmp_path / "crops")
    assert cropper.crop(Clip(str(tmp_path)), progress=False) == []
