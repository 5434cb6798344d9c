"""ealn_plugin/search/facts.py: labels, times, colours, types and tracks of datasets and of photographs."""

import math

import numpy as np
from PIL import Image

from ealn_plugin.data.times import time_text
from ealn_plugin.search.facts import exif_time
from ealn_plugin.search.gallery import images_of


def test_what_veri776_says_of_its_images(veri_root):
    folder = veri_root / "VeRi"
    items = ['<?xml version="1.0" encoding="gb2312"?>', "<TestImages><Items>"]
    names = sorted(path.name for path in (folder / "image_test").iterdir())
    items += [
        f'<Item imageName="{name}" vehicleID="{name[:4]}" cameraID="{name[5:9]}" colorID="{1 + (name[3] == "8")}" '
        'typeID="7" />'
        for name in names
    ]
    made = [folder / "test_label.xml", folder / "list_color.txt", folder / "test_track.txt"]
    made[0].write_text("\n".join([*items, "</Items></TestImages>"]), encoding="gb2312")
    made[1].write_text("1 yellow\n2 dark red\n")
    made[2].write_text(f"0007_c001_1 {names[0]} {names[1]}\n{names[2]}\n")
    try:
        found = images_of(["veri776"], str(veri_root), ["gallery", "train"])
    finally:
        for path in made:
            path.unlink()
    gallery = found.take(np.arange(len(names)))
    assert [path.rpartition("/")[2] for path in gallery.paths] == names
    assert gallery.times.tolist() == [int(name.split("_")[2]) for name in names] and not gallery.dated.any()
    assert gallery.cameras.tolist() == [str(int(name[6:9])) for name in names]
    assert gallery.colours.tolist() == ["dark red" if name[3] == "8" else "yellow" for name in names]
    assert set(gallery.types) == {"7"}  # there is no list_type.txt
    assert gallery.tracks[:4].tolist() == ["test 1", "test 1", "test 2", ""] and set(found.sources) == {"veri776"}
    train = found.take(np.arange(len(names), len(found)))
    assert train.vehicles.tolist() == [str(int(path.rpartition("/")[2][:4])) for path in train.paths]
    assert train.vehicles.tolist() != [str(pid) for pid in train.pids]  # which torchreid numbers anew


def test_labels_and_times_of_a_csv_are_texts(tmp_path, caplog):
    rows = [("red golf", "north gate"), ("red golf", "south"), ("HH 1", "north gate"), ("HH 1", "south")]
    times = ["2024-05-01T16:30", "17", "", "noon"]
    lines = ["path,pid,camid,time"]
    for number, (row, time) in enumerate(zip(rows, times)):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{number}.jpg")
        lines.append(f"{number}.jpg,{row[0]},{row[1]},{time}")
    (tmp_path / "my cars.csv").write_text("\n".join(lines) + "\n")
    found = images_of([f"csv:{tmp_path / 'my cars.csv'}"], splits=("train", "query", "gallery"))
    order = np.argsort(found.paths)
    found = found.take(order)
    assert list(zip(found.vehicles, found.cameras)) == rows and set(found.sources) == {"my_cars"}
    shown = [time_text(number, dated) for number, dated in zip(found.times, found.dated)]
    assert shown == ["2024-05-01 16:30:00", "17", "", ""] and "time of 1 image(s) is not known" in caplog.text


def test_rendered_vehicles_bring_their_colour_and_type(veri_root):
    attributes = veri_root / "VeRi" / "attributes.csv"
    attributes.write_text("vehicle,model,type,colour,marks\n0007,a,van,white,\n0008,b,sedan,red,\n")
    try:
        found = images_of(["veri776"], str(veri_root))
    finally:
        attributes.unlink()
    known = {vehicle: (c, t) for vehicle, c, t in zip(found.vehicles, found.colours, found.types)}
    assert known == {"7": ("white", "van"), "8": ("red", "sedan"), "9": ("", ""), "10": ("", "")}


def test_the_time_of_a_photograph_is_its_exif(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 16:30:05"
    exif[0x0132] = "2025:01:01 00:00:00"
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg", exif=exif)
    only = Image.Exif()
    only[0x0132] = "2025:01:01 00:00:00"
    Image.new("RGB", (9, 9)).save(tmp_path / "b.jpg", exif=only)
    wrong = Image.Exif()
    wrong[0x0132] = "0000:00:00 00:00:00"
    Image.new("RGB", (9, 9)).save(tmp_path / "c.jpg", exif=wrong)
    Image.new("RGB", (9, 9)).save(tmp_path / "d.png")
    assert time_text(*exif_time(str(tmp_path / "a.jpg"))) == "2024-05-01 16:30:05"
    assert time_text(*exif_time(str(tmp_path / "b.jpg"))) == "2025-01-01 00:00:00"
    for name in ("c.jpg", "d.png", "no.jpg"):
        assert math.isnan(exif_time(str(tmp_path / name))[0])
