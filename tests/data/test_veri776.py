import logging

import pytest

from ealn_plugin.data import APPEARANCE, VIEWPOINTS, VeRi776, View
from ealn_plugin.data.veri776 import parse_image_name, read_appearance
from tests.helpers.releases import VERI, keypoint_line

XML = """<?xml version="1.0" encoding="gb2312"?>
<TrainingImages Version="1.0">
  <!-- {comment} -->
  <Items number="2">
    <Item imageName="0001_c001_00016450_0.jpg" vehicleID="0001" cameraID="c001" colorID="1" typeID="4" />
    <Item imageName="0003_c001_00016470_1.jpg" vehicleID="0003" cameraID="c001" colorID="1" typeID="4" />
    <Item imageName="0002_c002_00030600_0.jpg" vehicleID="0002" cameraID="c002" colorID="10" typeID="9" />
    <Item imageName="0776_c005_00000001_0.jpg" vehicleID="0776" cameraID="c005" />
  </Items>
</TrainingImages>
"""


def names(items):
    return [path.rpartition("/")[2] for path, *_ in items]


def write_xml(folder, text=XML, encoding="gb2312", comment="车辆颜色"):
    (folder / "train_label.xml").write_bytes(text.replace("{comment}", comment).encode(encoding))


@pytest.mark.parametrize("name", VeRi776.folder_names)
def test_three_image_folders_are_enough_under_every_folder_name(make_veri, name):
    folder = make_veri(name)
    dataset = VeRi776(str(folder.parent))
    assert dataset.dataset_dir == str(folder)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (5, 2, 5)
    assert (dataset.num_train_pids, dataset.num_train_cams) == (3, 4)
    assert [item[1:3] for item in dataset.train] == [(0, 0), (0, 1), (1, 0), (1, 19), (2, 4)]
    assert [item[1:3] for item in dataset.query] == [(2, 1), (5, 2)]
    assert set(VIEWPOINTS.lookup([path for path, *_ in dataset.train]).tolist()) == {View.UNKNOWN}


def test_root_may_be_the_dataset_folder_itself(make_veri):
    folder = make_veri("some-other-name")
    assert len(VeRi776(folder).train) == 5


def test_arguments_for_other_datasets_are_ignored(make_veri):
    dataset = VeRi776(
        make_veri(),
        split_id=3,
        cuhk03_labeled=True,
        cuhk03_classic_split=True,
        market1501_500k=True,
        mode="gallery",
        verbose=False,
    )
    assert len(dataset) == 5


def test_junk_files_are_passed_over(make_veri):
    folder = make_veri()
    for junk in ("Thumbs.db", ".DS_Store", "._0001_c001_00016450_0.jpg", "readme.txt"):
        (folder / "image_train" / junk).write_bytes(b"junk")
    assert len(VeRi776(folder).train) == 5


def test_the_gallery_is_sorted_whatever_the_list_says_and_lists_keep_their_order(make_veri):
    folder = make_veri(lists=True)
    (folder / "name_test.txt").write_text("\n".join(reversed(VERI["image_test"])))
    (folder / "name_query.txt").write_text("\n".join(reversed(VERI["image_query"])))
    dataset = VeRi776(folder)
    assert names(dataset.gallery) == sorted(VERI["image_test"])
    assert names(dataset.query) == VERI["image_query"][::-1]


def test_lists_choose_the_images_and_left_over_images_are_reported(make_veri, caplog):
    folder = make_veri(lists=True)
    kept = VERI["image_train"][:3]
    (folder / "name_train.txt").write_bytes("".join(f"{name}\r\n" for name in [*kept, kept[0]]).encode())
    with caplog.at_level(logging.WARNING):
        dataset = VeRi776(folder)
    assert names(dataset.train) == kept
    assert "name_train.txt: 2 image(s) in image_train are not listed and are left out" in caplog.text


def test_keypoints_fill_the_views_with_quirks(make_veri):
    folder = make_veri()
    first, second, third, *_ = VERI["image_test"]
    (folder / "keypoint_test.txt").write_text(
        keypoint_line(f"VeRi/image_test/{first}", 6)
        + keypoint_line(f"VeRi/image_test/{second}", 5)
        + keypoint_line(f"VeRi/image_test/{first}", 6, point="-1 -1")
        + keypoint_line(f"VeRi/image_test/{third}", 0)
        + keypoint_line(f"VeRi/image_test/{third}", 1)
    )
    dataset = VeRi776(folder)
    views = VIEWPOINTS.lookup([path for path, *_ in dataset.gallery]).tolist()
    assert names(dataset.gallery) == sorted(VERI["image_test"])
    assert views == [View.FRONT, View.SIDE, View.UNKNOWN, View.UNKNOWN, View.UNKNOWN]
    assert VIEWPOINTS.get(dataset.query[0][0]) == View.FRONT  # the same file name as in the gallery
    assert VIEWPOINTS.get(dataset.train[0][0]) == View.UNKNOWN  # no training file


def test_viewpoints_csv_overrides_the_keypoints(make_veri):
    folder = make_veri()
    image = VERI["image_train"][0]
    (folder / "keypoint_train.txt").write_text(keypoint_line(f"VeRi/image_train/{image}", 0))
    (folder / "viewpoints.csv").write_text(f"image,view\nimage_train/{image},rear\n")
    dataset = VeRi776(folder)
    assert VIEWPOINTS.get(dataset.train[0][0]) == View.REAR


@pytest.mark.parametrize("encoding, comment", [("gb2312", "车辆颜色"), ("gb18030", "車輛€𠀀"), ("gb18030", "plain")])
def test_chinese_xml_gives_colour_and_type(make_veri, encoding, comment):
    folder = make_veri()
    write_xml(folder, encoding=encoding, comment=comment)
    dataset = VeRi776(folder)
    same, other_car, unnamed = (APPEARANCE.get(dataset.train[number][0]) for number in (0, 2, 4))
    assert same == other_car >= 0
    assert unnamed == -1
    assert APPEARANCE.get(dataset.query[0][0]) not in (same, -1)
    assert APPEARANCE.get(dataset.query[0][0]) == APPEARANCE.get(dataset.gallery[0][0])


def test_utf8_xml_is_read_too(make_veri):
    folder = make_veri()
    write_xml(folder, XML.replace('"gb2312"', '"utf-8"'), encoding="utf-8")
    assert len(read_appearance(folder / "train_label.xml")) == 3


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('typeID="9" />', 'typeID="9" >', r":9: found 'mismatched tag', expected well-formed XML"),
        ('colorID="10"', 'colorID="red"', r":7: found \['red', '9'\], expected colorID and typeID as numbers"),
        ('imageName="0003_c001_00016470_1.jpg"', "", r":6: found .*expected an Item with the attribute imageName"),
    ],
)
def test_malformed_xml_is_named_with_its_line(make_veri, old, new, message):
    folder = make_veri()
    write_xml(folder, XML.replace(old, new))
    with pytest.raises(ValueError, match=r"train_label\.xml" + message):
        VeRi776(folder)


def test_xml_bytes_that_are_no_text_are_named(make_veri):
    folder = make_veri()
    (folder / "test_label.xml").write_bytes(b'<?xml version="1.0" encoding="gb2312"?>\n<A>\n\xff\xff</A>')
    with pytest.raises(ValueError, match=r"test_label\.xml:3: found b'\\xff', expected text encoded as gb18030"):
        VeRi776(folder)


@pytest.mark.parametrize(
    "name", ["copy of 0001.jpg", "0001_c001_0_0_extra.jpg", "c001_0001_00016450_0.jpg", "0001_c000_00016450_0.jpg"]
)
def test_a_malformed_image_name_is_a_sentence(make_veri, name):
    folder = make_veri()
    (folder / "image_train" / name).touch()
    with pytest.raises(ValueError, match=f"{name} is not a name like 0001_c001_00016450_0.jpg"):
        VeRi776(folder)
    assert parse_image_name(name) is None


def test_a_malformed_list_line_is_named(make_veri):
    folder = make_veri(lists=True)
    (folder / "name_query.txt").write_text(f"{VERI['image_query'][0]}\nimage_query/other.jpg\n")
    with pytest.raises(ValueError, match=r"name_query\.txt:2: found 'image_query/other.jpg', expected a name like"):
        VeRi776(folder)


def test_a_listed_image_that_does_not_exist_is_a_sentence(make_veri):
    folder = make_veri(lists=True)
    (folder / "image_test" / VERI["image_test"][1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"name_test\.txt:2: the image 0002_c003_00030610_0.jpg is listed but"):
        VeRi776(folder)


def test_a_malformed_viewpoint_line_is_named(make_veri):
    folder = make_veri()
    (folder / "keypoint_train.txt").write_text("VeRi/image_train/0001_c001_00016450_0.jpg 1 2 3\n")
    with pytest.raises(ValueError, match=r"keypoint_train\.txt:1: found"):
        VeRi776(folder)


def test_an_empty_split_and_a_missing_dataset_are_sentences(make_veri, tmp_path):
    with pytest.raises(FileNotFoundError, match="VeRi776 was not found.*veri-776.*see datasets.md"):
        VeRi776(tmp_path)
    folder = make_veri()
    for image in (folder / "image_query").iterdir():
        image.unlink()
    with pytest.raises(ValueError, match="found 0 images for the query split"):
        VeRi776(tmp_path)


def test_a_query_set_without_a_match_is_a_sentence(make_veri):
    folder = make_veri()
    for name in ("0002_c003_00030610_0.jpg", "0005_c017_00000090_0.jpg"):
        (folder / "image_test" / name).unlink()
    with pytest.raises(ValueError, match="a query set without a match"):
        VeRi776(folder)


def test_torchreid_loads_batches_and_its_loaders_agree_with_the_tables(make_veri, data_manager):
    folder = make_veri()
    (folder / "viewpoints.csv").write_text(
        "image,view\n" + "".join(f"image_train/{name},front\n" for name in VERI["image_train"])
    )
    manager = data_manager(folder.parent, "veri776")
    batch = next(iter(manager.train_loader))
    assert batch["img"].shape == (2, 3, 16, 16)
    assert VIEWPOINTS.lookup(batch["impath"]).tolist() == [View.FRONT, View.FRONT]
    assert manager.num_train_pids == 3
    gallery = [path for batch in manager.test_loader["veri776"]["gallery"] for path in batch["impath"]]
    assert [path.rpartition("/")[2] for path in gallery] == sorted(VERI["image_test"])


def test_combineall_through_torchreid(make_veri, data_manager):
    manager = data_manager(make_veri().parent, "veri776", combineall=True)
    assert manager.num_train_pids == 5
    assert len(manager.train_loader.dataset) == 12
