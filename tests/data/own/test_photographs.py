"""What can be no dataset is refused, each slip with one sentence."""

import pytest

from ealn_plugin.data.own.photographs import Photograph, Photographs, check_photographs

TESTED = [("q", "2", "query"), ("g", "2", "gallery"), ("h", "3", "gallery")]


def photographs(tmp_path, items, present=True):
    for image, *_ in items if present else ():
        (tmp_path / image).touch()
    return Photographs("cars.csv", str(tmp_path), [Photograph(image, pid, split=split) for image, pid, split in items])


@pytest.mark.parametrize(
    "items",
    [
        [("a", "1", ""), ("b", "2", "")],
        [("a", "0", "train"), ("b", "1", "train"), *TESTED],
        TESTED,
        [("a", "1", "test"), ("b", "2", "test")],
    ],
)
def test_good_ones_pass_as_they_are(tmp_path, items):
    found = photographs(tmp_path, items)
    check_photographs(found)
    assert found == photographs(tmp_path, items)


@pytest.mark.parametrize(
    "items, expected",
    [
        ([("a", "1", ""), ("a", "2", "")], "the path 'a' is there 2 times, expected each image once"),
        ([("a", "1", ""), ("./a", "2", "")], "the path 'a' is there 2 times"),
        ([("a", "1", "train"), ("b", "2", "")], "'b' has no split, but other images have one; give every image one"),
        (
            [("a", "1", "train"), ("b", "2", "train"), ("c", "2", "test")],
            "vehicle '2' is in train and in the test part",
        ),
        ([("a", "1", "query"), ("b", "2", "query")], "images of the split query and none of gallery, expected both"),
        ([("a", "1", "gallery"), ("b", "2", "gallery")], "images of the split gallery and none of query"),
        ([("a", "1", ""), ("b", "1", "")], "it holds a single vehicle, '1', expected at least two"),
        ([("a", "1", "train"), *TESTED], "its training part holds a single vehicle, '1'"),
        ([("a", "0", "train"), ("b", "1", "train"), ("c", "2", "test")], "its test part holds a single vehicle, '2'"),
    ],
)
def test_a_slip_is_one_sentence(tmp_path, items, expected):
    with pytest.raises(ValueError) as error:
        check_photographs(photographs(tmp_path, items))
    assert expected in str(error.value) and str(error.value).startswith("cars.csv: ")


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    found = photographs(tmp_path, [("a", "1", ""), ("b", "2", ""), ("c", "3", "")], present=False)
    (tmp_path / "a").touch()
    with pytest.raises(
        FileNotFoundError, match="2 of 3 images do not exist, the first is 'b', looked for as .*b; corr"
    ):
        check_photographs(found)
