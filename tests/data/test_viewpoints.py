import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ealn_plugin.data.viewpoints import (
    View,
    gather_views,
    read_keypoints,
    read_viewpoints_csv,
    view_from_name,
    view_from_orientation,
    write_viewpoints_csv,
)

POINTS = " ".join(["12 34"] * 20)
IMAGE_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


def test_the_numbers_of_the_views_are_fixed():
    assert {view.name: view.value for view in View} == {"FRONT": 0, "REAR": 1, "SIDE": 2, "UNKNOWN": -1}


def test_every_orientation_of_the_keypoint_annotation():
    names = ["front", "rear", "side", "front", "rear", "side", "front", "rear"]
    assert [view_from_orientation(code) for code in range(8)] == [view_from_name(name) for name in names]


@pytest.mark.parametrize("code", [-1, 8, 2.5, "0", None])
def test_another_orientation_is_refused(code):
    with pytest.raises(ValueError, match=f"orientation {code!r} is not one of the codes 0"):
        view_from_orientation(code)


def test_view_names_are_read_in_any_case():
    assert [view_from_name(name) for name in ("front", "REAR", " Side ", "unknown")] == list(View)


def test_another_view_name_is_refused():
    with pytest.raises(ValueError, match="view 'top' is not one of front, rear, side, unknown"):
        view_from_name("top")


def test_keypoints_with_duplicates_contradictions_and_crlf(tmp_path, caplog):
    path = tmp_path / "keypoint_test.txt"
    lines = [
        f"VeRi/image_test/a.jpg {POINTS} 0",
        f"VeRi/image_test/b.jpg {POINTS} 4",
        f"VeRi/image_test/a.jpg {POINTS} 3",  # front and left-front: both FRONT
        f"VeRi/image_test/b.jpg {POINTS} 2",  # left-rear and left: a contradiction
        "",
        f"VeRi/image_test/c.jpg {POINTS.replace('12 34', '-1 -1')} 5",
    ]
    path.write_bytes("\r\n".join(lines).encode())
    with caplog.at_level(logging.WARNING):
        views = read_keypoints(path)
    assert views == {"a.jpg": View.FRONT, "b.jpg": View.UNKNOWN, "c.jpg": View.SIDE}
    assert "1 image(s) have lines that contradict each other" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        f"VeRi/image_test/a.jpg {POINTS}",
        f"VeRi/image_test/a.jpg {POINTS} 8",
        f"VeRi/image_test/a.jpg {POINTS} 1 1",
        f"VeRi/image_test/a.jpg {POINTS.replace('34', 'x', 1)} 1",
        f"{POINTS} 1",
        "VeRi/image_test/a.jpg",
    ],
)
def test_a_malformed_keypoint_line_is_named(tmp_path, line):
    path = tmp_path / "keypoint_train.txt"
    path.write_text(f"VeRi/image_train/a.jpg {POINTS} 1\n\n{line}\n")
    with pytest.raises(ValueError, match=r"keypoint_train\.txt:3: found .*expected an image path, 40 numbers"):
        read_keypoints(path)


def test_an_empty_keypoint_file_knows_nothing(tmp_path):
    path = tmp_path / "keypoint_train.txt"
    path.touch()
    assert read_keypoints(path) == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(IMAGE_NAMES, st.tuples(st.sampled_from(View), st.floats(0, 1))))
def test_viewpoints_csv_round_trip(tmp_path, views):
    path = tmp_path / "viewpoints.csv"
    write_viewpoints_csv(path, views)
    assert read_viewpoints_csv(path) == views
    assert [item.name for item in tmp_path.iterdir()] == ["viewpoints.csv"]


def test_the_written_file_does_not_depend_on_the_order_given(tmp_path):
    views = {"image/b.jpg": (View.REAR, 0.5), "image/a.jpg": (0, 1)}
    write_viewpoints_csv(tmp_path / "one.csv", views)
    write_viewpoints_csv(tmp_path / "two.csv", dict(reversed(views.items())))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "one.csv").read_text() == (
        "image,view,confidence\nimage/a.jpg,front,1.0\nimage/b.jpg,rear,0.5\n"
    )


@pytest.mark.parametrize(
    "views", [{"": (View.FRONT, 1)}, {"a": (View.FRONT, 1.5)}, {"a": (View.FRONT, float("nan"))}, {"a": (7, 1.0)}]
)
def test_writing_a_wrong_label_is_refused_and_leaves_the_old_file(tmp_path, views):
    path = tmp_path / "viewpoints.csv"
    path.write_text("image,view\na,rear\n")
    with pytest.raises(ValueError, match="image .* has view .* and confidence .* expected a non-empty name"):
        write_viewpoints_csv(path, views)
    assert read_viewpoints_csv(path) == {"a": (View.REAR, 1.0)}


def test_reading_without_confidence_with_byte_order_mark_crlf_and_agreeing_duplicates(tmp_path):
    path = tmp_path / "viewpoints.csv"
    path.write_bytes(b"\xef\xbb\xbfImage, View\r\nimage/a.jpg,Front\r\n\r\nimage/a.jpg,front\r\nimage/b.jpg, side\r\n")
    assert read_viewpoints_csv(path) == {"image/a.jpg": (View.FRONT, 1.0), "image/b.jpg": (View.SIDE, 1.0)}


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", r":1: found '', expected the header image,view"),
        (b"image/a.jpg,front\n", r":1: found 'image/a.jpg,front', expected the header"),
        (b"image,view\na,front\nb,top\n", r":3: found 'top', expected one of the views front, rear, side, unknown"),
        (b"image,view\na\n", r":2: found 'a', expected image,view"),
        (b"image,view\n,front\n", r":2: found ',front', expected image,view"),
        (b"image,view,confidence\na,front,1,2\n", r":2: found 'a,front,1,2', expected image,view"),
        (b"image,view,confidence\na,front,1.1\n", r":2: found '1.1', expected a confidence in \[0, 1\]"),
        (b"image,view,confidence\na,front,nan\n", r":2: found 'nan', expected a confidence"),
        (b"image,view,confidence\na,front,high\n", r":2: found 'high', expected a confidence"),
        (b"image,view\na,front\na,rear\n", r":3: found 'a,rear', expected the view front that an earlier line"),
        (b'image,view\n"a,front\n', r":2: found .*expected comma-separated values"),
        (b"image,view\na,front\n\xff,rear\n", r":3: found b'\\xff', expected text encoded as UTF-8"),
    ],
)
def test_a_malformed_viewpoints_csv_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "viewpoints.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"viewpoints\.csv" + message):
        read_viewpoints_csv(path)


def test_viewpoints_csv_overrides_the_release_and_doubtful_lines_are_unknown(tmp_path):
    write_viewpoints_csv(
        tmp_path / "viewpoints.csv",
        {"image/a.jpg": (View.REAR, 0.9), "image/b.jpg": (View.REAR, 0.4), "image/c.jpg": (View.UNKNOWN, 1.0)},
    )
    released = {f"image/{name}.jpg": View.FRONT for name in "abcd"}
    images = [*released, "image/e.jpg"]
    assert gather_views(tmp_path, images, released, min_confidence=0.5) == {
        "image/a.jpg": View.REAR,
        "image/b.jpg": View.UNKNOWN,
        "image/c.jpg": View.UNKNOWN,
        "image/d.jpg": View.FRONT,
        "image/e.jpg": View.UNKNOWN,
    }


def test_a_viewpoints_csv_of_another_dataset_is_reported(tmp_path, caplog):
    write_viewpoints_csv(tmp_path / "viewpoints.csv", {"elsewhere/a.jpg": (View.REAR, 1.0)})
    views = gather_views(tmp_path, ["image/a.jpg"], {})
    assert views == {"image/a.jpg": View.UNKNOWN}
    assert "names no image of this dataset (its first is 'elsewhere/a.jpg')" in caplog.text
