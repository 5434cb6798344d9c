"""A folder of photographs: vehicles, splits and cameras from the names of folders."""

import pytest

from ealn_plugin.data.own.folder import read_folder
from ealn_plugin.data.own.photographs import Photograph


def made(tmp_path, *images):
    for image in images:
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image).touch()
    return read_folder(str(tmp_path))


def test_a_folder_for_each_vehicle(tmp_path):
    found = made(tmp_path, "red golf/1.jpg", "red golf/2.PNG", "7/1.jpg", "7/notes.txt", ".hidden/3.jpg")
    assert found.items == [
        Photograph("7/1.jpg", "7"),
        Photograph("red golf/1.jpg", "red golf"),
        Photograph("red golf/2.PNG", "red golf"),
    ]


def test_splits_around_the_vehicles(tmp_path):
    found = made(tmp_path, "Train/7/1.jpg", "query/8/1.jpg", "gallery/8/2.jpg")
    assert [(item.vehicle, item.split) for item in found.items] == [("7", "train"), ("8", "gallery"), ("8", "query")]


def test_a_folder_between_vehicle_and_image_is_a_camera(tmp_path):
    found = made(tmp_path, "train/7/gate/1.jpg", "train/7/2.jpg")
    assert [(item.vehicle, item.camera) for item in found.items] == [("7", ""), ("7", "gate")]


@pytest.mark.parametrize(
    "images, expected",
    [
        (["train/7/1.jpg", "8/1.jpg"], "holds 'train' beside '8', expected either folders called train, query"),
        (["7/1.jpg", "8.jpg"], "the image '8.jpg' lies at no place where its vehicle is known, expected VEHICLE/IMAGE"),
        (["train/7/1.jpg", "train/8.jpg"], "'train/8.jpg' lies at no place where its vehicle is known, expected SPLIT"),
        (["7/gate/noon/1.jpg"], "'7/gate/noon/1.jpg' lies at no place"),
    ],
)
def test_an_image_out_of_place_is_named(tmp_path, images, expected):
    with pytest.raises(ValueError) as error:
        made(tmp_path, *images)
    assert expected in str(error.value)


def test_no_folder_and_no_image(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_folder(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="holds no image"):
        read_folder(str(tmp_path))
