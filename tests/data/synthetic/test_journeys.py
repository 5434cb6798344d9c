"""ealn_plugin/data/synthetic/journeys.py: nobody drives too fast, and older data sets get their times."""

import csv

import numpy as np

from ealn_plugin.data.synthetic import population, render_dataset
from ealn_plugin.data.synthetic.journeys import HOURS, draw_times
from ealn_plugin.data.synthetic.layouts import camera_distances
from ealn_plugin.data.synthetic.presets import PRESETS, Preset


def test_ways_take_as_long_as_they_are():
    drawn, distances = population.draw_population(PRESETS["tiny"], 5), camera_distances(PRESETS["tiny"].cameras)
    times = draw_times(drawn, distances, 5)
    assert times == draw_times(drawn, distances, 5) != draw_times(drawn, distances, 6)
    speeds = []
    for pictures, seconds in zip(drawn.pictures, times):
        assert 0 <= seconds[0] <= 3600 * HOURS and len(seconds) == len(pictures)
        for one, other, start, end in zip(pictures, pictures[1:], seconds, seconds[1:]):
            assert end > start
            if one.track == other.track:
                assert end - start < 1
            else:
                speeds.append(distances[one.camera, other.camera] / (end - start))
    assert 3 < np.median(speeds) < 9 and max(speeds) < 25  # metres a second along the line between the cameras


def test_an_older_data_set_gets_its_times_and_a_new_one_the_same(tmp_path):
    preset = Preset(3, 9, 6, 2, 6, 4, cameras=3, models=2, image_size=32)
    folder = render_dataset(tmp_path, "veri776", preset, 4, processes=1, progress=False)
    content = (folder / "times.csv").read_bytes()
    with open(folder / "times.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    images = {
        path.relative_to(folder).as_posix()
        for name in ("train", "query", "test")
        for path in folder.glob(f"image_{name}/*")
    }
    assert {row["image"] for row in rows} == images
    twice = {}
    for row in rows:  # a query lies in two folders and was taken once
        twice.setdefault(row["image"].rpartition("/")[2], set()).add(row["time"])
    assert all(len(times) == 1 for times in twice.values())
    (folder / "times.csv").unlink()
    render_dataset(tmp_path, "veri776", preset, 4, processes=1, progress=False)
    assert (folder / "times.csv").read_bytes() == content
    other = render_dataset(tmp_path, "vehicleid", preset, 4, processes=1, progress=False)
    assert not (other / "times.csv").exists()
