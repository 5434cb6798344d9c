"""ealn_plugin/data/times.py: lists of times and of distances, well-formed and not."""

import math
import os

import numpy as np
import pytest

from ealn_plugin.data.times import TIMES, TimeTable, read_camera_distances, read_times, time_number, time_text


def test_a_table_by_path(tmp_path, monkeypatch):
    table = TimeTable()
    table.update({str(tmp_path / "a.jpg"): 7})
    monkeypatch.chdir(tmp_path)
    assert table.get("a.jpg") == 7 and math.isnan(table.get("b.jpg"))
    np.testing.assert_array_equal(table.lookup(["a.jpg", "b.jpg"]), [7, math.nan])


def test_veri776_knows_times_by_names_and_better_by_its_list(veri_root, rendered_root):
    from ealn_plugin.data import VeRi776

    folder = VeRi776(root=str(rendered_root), verbose=False)
    times = read_times(folder.dataset_dir, [os.path.relpath(folder.query[0][0], folder.dataset_dir)])
    assert [TIMES.get(folder.query[0][0])] == list(times.values())
    plain = VeRi776(root=str(veri_root), verbose=False)
    name = os.path.basename(plain.gallery[3][0])
    assert TIMES.get(plain.gallery[3][0]) == float(name.split("_")[2])


def test_times_of_a_folder(tmp_path):
    assert read_times(str(tmp_path), ["a"]) is None
    (tmp_path / "times.csv").write_text("image,time\na/1.jpg,3.5\nb.jpg,9\n")
    assert read_times(str(tmp_path), ["a/1.jpg", "c.jpg"]) == {"a/1.jpg": 3.5}
    for line in ("a.jpg", "a.jpg,soon", "a.jpg,nan", "a.jpg,1,2"):
        (tmp_path / "times.csv").write_text(f"image,time\n{line}\n")
        with pytest.raises(ValueError, match=r"times.csv:2: .* an image and its time in seconds"):
            read_times(str(tmp_path), ["a.jpg"])


def test_distances_as_a_matrix_and_as_a_list(tmp_path):
    assert read_camera_distances(str(tmp_path)) is None
    path = tmp_path / "camera_Dist.txt"
    path.write_text("0 5 7\n5 0 2\n7 2 0\n")
    np.testing.assert_array_equal(read_camera_distances(str(tmp_path), 3), [[0, 5, 7], [5, 0, 2], [7, 2, 0]])
    path.write_text("1 2 5.5\n1 3 7\n2 3 2\n3 4 1\n")
    found = read_camera_distances(str(tmp_path))
    assert (
        found.shape == (4, 4) and found[0, 1] == found[1, 0] == 5.5 and found[2, 3] == 1 and not found.diagonal().any()
    )
    for text, reason in (
        ("0 5\n5 0\n", "knows 2 cameras, expected at least 3"),
        ("0 -5 1\n-5 0 1\n1 1 0\n", "no negative distance"),
        ("0 5\n5\n", "no square matrix"),
        ("0 far\n", "distances between cameras as numbers"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_camera_distances(str(tmp_path), 3)


def test_times_are_numbers_or_dates():
    for text, number, dated in (
        ("16450", 16450, False),
        (" 2.5 ", 2.5, False),
        ("1970-01-02", 86400, True),
        ("1970-01-01T00:01", 60, True),
        ("1970-01-01 02:00:05+02:00", 5, True),
    ):
        assert time_number(text) == (number, dated)
    for text in ("2024-05-01 16:30:05", "16450", "2.5", "2024-05-01 16:30:05.250"):
        assert time_text(*time_number(text)) == text
    assert time_text(float("nan"), True) == ""
    for text in ("noon", "", "nan", "inf", "2024-13-01"):
        with pytest.raises(ValueError, match="is neither a number nor a date, expected such as"):
            time_number(text)
