"""ealn_plugin/detection/video.py: frames, times, cameras, and damaged videos."""

import logging

import numpy as np
import pytest
from PIL import Image

from ealn_plugin.detection.video import Clip, camera_of, is_video


def test_every_frame_of_a_video_with_its_time(video, traffic):
    clip = Clip(video)
    assert (clip.fps, clip.count) == (10, traffic.frames)
    frames = list(clip)
    assert [frame.number for frame in frames] == list(range(traffic.frames))
    np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(traffic.frames) / 10, atol=1e-3)
    for number in (0, 30, 69):  # to the loss of the compression; red is red
        difference = np.abs(frames[number].pixels.astype(int) - traffic.frame(number))
        assert difference.mean() < 6
    assert Clip(video).identity == clip.identity


def test_a_folder_of_frames_in_natural_order(tmp_path):
    for number in (10, 9, 100):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / f"frame {number}.png")
    clip = Clip(str(tmp_path), fps=4)
    assert [int(frame.pixels[0, 0, 0]) for frame in clip] == [9, 10, 100] and clip.count == 3
    assert [frame.seconds for frame in clip] == [0, 0.25, 0.5]
    with pytest.raises(ValueError, match="--fps is 0, expected frames a second"):
        Clip(str(tmp_path), fps=0)


@pytest.mark.parametrize(
    "name, camera",
    [
        ("/a/cam_07.mp4", "7"),
        ("/a/c3.avi", "3"),
        ("Camera 12 morning.MP4", "12"),
        ("S01_c0041.mkv", "41"),
        ("/a/garage.mp4", "garage"),
        ("/a/frames of c5", "5"),
        ("abc12.mp4", "abc12"),
    ],
)
def test_the_camera_by_the_name(name, camera):
    assert camera_of(name) == camera


def test_damaged_videos(video, traffic, tmp_path, caplog):
    with open(video, "rb") as file:
        content = file.read()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "none.mp4").write_bytes(b"no video" * 100)
    for name in ("cut.mp4", "none.mp4"):
        with pytest.raises(ValueError, match=f"{name}' cannot be opened as a video; it is damaged"):
            Clip(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match="there is no video or folder of frames"):
        Clip(str(tmp_path / "missing.mp4"))
    whole = traffic.write(tmp_path / "whole.avi")
    with open(whole, "rb") as file:
        content = file.read()
    (tmp_path / "short.avi").write_bytes(content[: len(content) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        frames = list(Clip(str(tmp_path / "short.avi")))
    assert 0 < len(frames) < traffic.frames and "ends after" in caplog.text


def test_names_of_videos():
    assert is_video("a.MP4") and is_video("/x/b.mkv") and not is_video("a.jpg") and not is_video("folder")
