"""Images with other endings than the lists give them are used; links to nothing are named, not dropped."""

import os

import pytest
from PIL import Image

from ealn_plugin.data import VehicleID, VeRi776
from ealn_plugin.data.annotations import VIEWPOINTS
from ealn_plugin.data.folders import images_of_folder
from ealn_plugin.data.viewpoints import View
from tests.helpers.releases import keypoint_line
from tests.helpers.standins import make_veri_folder

ENDINGS = [".JPG", ".png", ".webp", ".jpeg", ".PNG", ".bmp", ".tif", ".tiff"]


def with_ending(folder, ending):
    """Save every image of a folder anew with another ending."""
    for path in sorted(folder.iterdir()):
        image = Image.open(path).convert("RGB")
        path.unlink()
        image.save(path.with_suffix(ending))


@pytest.mark.parametrize("ending", ENDINGS)
def test_veri776(tmp_path, ending, caplog):
    caplog.set_level("INFO")
    root = make_veri_folder(tmp_path)
    folder = root / "VeRi"
    whole = VeRi776(root)
    views = VIEWPOINTS.lookup([item[0] for item in whole.train]).tolist()
    assert set(views) == {0, 1}
    for split in ("train", "query", "test"):
        names = sorted(path.name for path in (folder / f"image_{split}").iterdir())
        (folder / f"name_{split}.txt").write_text("".join(f"{name}\n" for name in names))
        with_ending(folder / f"image_{split}", ending)
    found = VeRi776(root)
    for split in ("train", "query", "gallery"):
        assert [item[1:] for item in getattr(found, split)] == [item[1:] for item in getattr(whole, split)]
        assert all(os.path.exists(item[0]) and item[0].endswith(ending) for item in getattr(found, split))
    assert VIEWPOINTS.lookup([item[0] for item in found.train]).tolist() == views  # viewpoints.csv says .jpg
    assert "36 image(s) have another ending than the list says" in caplog.text
    (folder / "viewpoints.csv").unlink()
    first = os.path.basename(whole.train[0][0])
    (folder / "keypoint_train.txt").write_text(keypoint_line(f"VeRi/image_train/{first}", 1))
    assert VIEWPOINTS.get(VeRi776(root).train[0][0]) == View.REAR


@pytest.mark.parametrize("ending", ENDINGS)
def test_vehicleid(tmp_path, ending):
    folder = tmp_path / "VehicleID"
    (folder / "image").mkdir(parents=True)
    (folder / "train_test_split").mkdir()
    for number in range(8):
        Image.new("RGB", (4, 4)).save(folder / "image" / f"000000{number}.jpg")
    with_ending(folder / "image", ending)
    for name, numbers in (("train_list", range(4)), ("test_list_800", range(4, 8))):
        text = "".join(f"000000{number} {number // 2} 1\n" for number in numbers)
        (folder / "train_test_split" / f"{name}.txt").write_text(text)
    found = VehicleID(tmp_path)
    assert [len(found.train), len(found.query), len(found.gallery)] == [4, 2, 2]
    for path, *_ in found.train + found.query + found.gallery:
        assert os.path.exists(path) and path.endswith(ending) and VIEWPOINTS.get(path) == View.REAR


def test_the_name_in_the_list_comes_first(tmp_path):
    root = make_veri_folder(tmp_path)
    folder = root / "VeRi" / "image_train"
    names = sorted(path.name for path in folder.iterdir())
    (root / "VeRi" / "name_train.txt").write_text("".join(f"{name}\n" for name in names))
    Image.new("RGB", (4, 4)).save((folder / names[0]).with_suffix(".bmp"))
    assert all(item[0].endswith(".jpg") for item in VeRi776(root).train)


@pytest.mark.parametrize("split", ["image_train", "image_query", "image_test"])
@pytest.mark.parametrize("listed", [True, False])
def test_links_to_nothing_are_named(tmp_path, split, listed):
    root = make_veri_folder(tmp_path)
    folder = root / "VeRi" / split
    path = sorted(folder.iterdir())[0]
    if listed:
        names = "".join(f"{each.name}\n" for each in sorted(folder.iterdir()))
        (root / "VeRi" / f"name_{split.removeprefix('image_')}.txt").write_text(names)
    path.rename(tmp_path / "elsewhere.jpg")
    path.symlink_to(tmp_path / "elsewhere.jpg")
    VeRi776(root)
    (tmp_path / "elsewhere.jpg").unlink()
    for read in (lambda: VeRi776(root), lambda: images_of_folder(folder)):
        with pytest.raises(
            FileNotFoundError, match=f"{path.name} is a link to '.*elsewhere.jpg', which does not exist"
        ):
            read()
