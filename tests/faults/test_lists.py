"""List files, XML and CSV with anything in them: they are read, or refused in one sentence that names the file."""

import logging
import re
import string
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ealn_plugin.data.lookalike_lists import read_lookalikes
from ealn_plugin.data.vehicleid import VehicleID, _read_attribute, read_list
from ealn_plugin.data.veri776 import VeRi776, read_appearance
from ealn_plugin.data.viewpoints import read_keypoints, read_viewpoints_csv, viewpoints_csv
from ealn_plugin.engine.monitoring.observer import read_table
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.twins import read_twins
from ealn_plugin.evaluation.veri_lists import GOOD_FILE, JUNK_FILE, TRACK_FILE, gallery_tracks, verify_veri_index
from tests.helpers.fault_injection import inject
from tests.helpers.standins import make_veri_folder

QUERIES = ["0002_c002_00000100_0.jpg", "0005_c001_00000200_0.jpg"]
GALLERY = ["0002_c001_00000010_0.jpg", "0002_c002_00000020_0.jpg", "0005_c003_00000300_0.jpg"]
POINTS = " ".join(["-1 -1"] * 20)


def tracks(path):
    names = [str(path.parent / "image_test" / name) for name in GALLERY]
    gallery_tracks(Features(np.zeros((3, 1)), [2, 2, 5], [0, 1, 2], [0] * 3, [False] * 3, names))


def index(path):
    (path.parent / (JUNK_FILE if path.name == GOOD_FILE else GOOD_FILE)).write_text("1\n2\n")
    verify_veri_index(path.parent, QUERIES, GALLERY)


# name of a file: (how it is read, what it looks like)
FILES = {
    "train_label.xml": (
        read_appearance,
        '<?xml version="1.0" encoding="gb2312"?>\n<A><Items number="1">'
        '<Item imageName="0001_c001_00016450_0.jpg" vehicleID="0001" colorID="1" typeID="4" />'
        "</Items></A>\n",
    ),
    "keypoint_train.txt": (read_keypoints, f"VeRi/image_train/0001_c001_00016450_0.jpg {POINTS} 3\n"),
    "viewpoints.csv": (read_viewpoints_csv, "image,view,confidence\na.jpg,front,0.5\nb.jpg,rear\n"),
    "twins.csv": (lambda path: read_twins(path.parent), "image,twin\na/b.jpg,c/d.jpg\n"),
    "lookalikes.csv": (lambda path: read_lookalikes(str(path.parent)), "image,lookalike,kind\na/b.jpg,c/d.jpg,x\n"),
    "diagnostics.csv": (lambda path: read_table(path.parent), "epoch,step,hard/x\n1,2,0.5\n"),
    "train_list.txt": (read_list, "0000001 42\n0000002 43 0\n0000003 43 -1\n"),
    "color_attr.txt": (_read_attribute, "42 7\n43 8\n"),
    TRACK_FILE: (tracks, f"{GALLERY[0]}\n{GALLERY[1]}\n"),
    GOOD_FILE: (index, "1\n3\n"),
    JUNK_FILE: (index, "1\n3\n"),
}
CHARACTERS = st.sampled_from([*"0123456789 _-.,;\"'<>&/\\\t\r\n\0ü中\ufeff９\x1c\u2028x"])
PIECES = st.one_of(
    CHARACTERS,
    st.text(string.printable, max_size=10),
    st.just("9" * 5000),
    st.just("-"),
    st.just("1e999"),
    st.just("nan"),
    st.just("<Item"),
    st.just('<!DOCTYPE A [<!ENTITY a "b">]>'),
    st.just("&a;"),
    st.just("0 " * 45),
    st.just('"' + "x" * 140_000 + '"'),
    st.just("front"),
    st.just("unknown"),
)


def assert_read_or_refused(path, content):
    """Reading a file of that content gives a table or, on one line, an error that names the file or an image."""
    path.write_bytes(content)
    started = time.monotonic()
    try:
        FILES[path.name][0](path)
    except (ValueError, FileNotFoundError) as error:
        assert path.name in str(error) or ".jpg" in str(error), repr(error)
    assert time.monotonic() - started < 60, "it hangs"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_anything_in_a_list(tmp_path, name, examples, caplog):
    """The true file with pieces put in, taken out or exchanged, and bytes that make no sense at all."""
    caplog.set_level(logging.CRITICAL)
    true = FILES[name][1]
    FILES[name][0](write(tmp_path / name, true.encode()))

    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        pieces=st.lists(st.tuples(st.integers(0, len(true)), st.integers(0, 12), PIECES), max_size=5),
        junk=st.binary(max_size=12),
        encoding=st.sampled_from(["utf-8", "gb18030", "utf-16", "latin-1"]),
        place=st.integers(0, len(true)),
    )
    def test(pieces, junk, encoding, place):
        text = true
        for start, length, piece in pieces:
            text = text[:start] + piece + text[start + length :]
        content = text.encode(encoding, "replace")
        assert_read_or_refused(tmp_path / name, content[:place] + junk + content[place:])
        inject("list, XML or CSV with anything in it")

    test()


def write(path, content):
    path.write_bytes(content)
    return path


def test_entities_that_multiply(tmp_path):
    """Billion laughs: ten entities of ten each are refused where the first is declared."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    path = write(
        tmp_path / "train_label.xml",
        f'<?xml version="1.0"?>\n<!DOCTYPE A [{laughs}]>\n'
        '<A><Item imageName="&l9;" colorID="1" typeID="1"/></A>'.encode(),
    )
    with pytest.raises(ValueError, match=r"train_label.xml:2: found 'the entity l0', expected a file without entities"):
        read_appearance(path)
    secret = write(tmp_path / "secret", b"secret")
    path = write(
        tmp_path / "train_label.xml", f'<!DOCTYPE A [<!ENTITY s SYSTEM "file://{secret}">]><A>&s;</A>'.encode()
    )
    with pytest.raises(ValueError, match="the entity s"):
        read_appearance(path)
    inject("list, XML or CSV with anything in it")


@pytest.mark.parametrize(
    "name, line",
    [
        ("keypoint_train.txt", "x" + " 1" * 10**5),
        ("keypoint_train.txt", "x " + "-1 " * 41 + "9" * 10**5),
        ("train_list.txt", "1" * 10**6 + " x"),
        ("train_list.txt", " " * 10**6),
        (GOOD_FILE, "1 " * 10**5 + "\nx"),
        ("viewpoints.csv", "image,view\n" + '"' * 10**6),
        ("train_label.xml", "<A>" * 10**5),
    ],
)
def test_long_lines_take_no_time(tmp_path, name, line):
    assert_read_or_refused(tmp_path / name, line.encode())
    inject("list, XML or CSV with anything in it")


# ---------------------------------------------------------------------------------------------- whole datasets
@pytest.mark.parametrize(
    "name, text, message",
    [
        ("name_train.txt", "9" * 5000 + "_c001_1_1.jpg\n", r"name_train.txt:1: found .*, expected a name like"),
        ("name_query.txt", "0001_c001_1_1.jpg\0\n", r"name_query.txt:1"),
        ("name_test.txt", "../../../etc/passwd\n", r"name_test.txt:1: found '../../../etc/passwd', expected a name"),
        ("keypoint_test.txt", "x\n", r"keypoint_test.txt:1"),
        ("viewpoints.csv", "image;view\n", r"viewpoints.csv:1"),
        ("viewpoints.csv", 'image,view\n"a\nb",front\n"a\nb",rear\n', r"viewpoints.csv:5"),
    ],
)
def test_a_dataset_with_a_hostile_list(tmp_path, name, text, message):
    root = make_veri_folder(tmp_path)
    (root / "VeRi" / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        VeRi776(root)
    inject("list, XML or CSV with anything in it")


def test_vehicle_numbers_that_no_tensor_can_hold(tmp_path):
    (tmp_path / "VehicleID" / "image").mkdir(parents=True)
    (tmp_path / "VehicleID" / "train_test_split").mkdir()
    for name in ("train_list", "test_list_800"):
        (tmp_path / "VehicleID" / "train_test_split" / f"{name}.txt").write_text("1 99999999999999999999999\n")
    with pytest.raises(ValueError, match=r"train_list.txt:1: found '1 9+', expected IMAGE VEHICLE"):
        VehicleID(tmp_path)
    inject("list, XML or CSV with anything in it")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20), max_size=5, unique=True
    )
)
def test_names_of_any_kind_survive_a_csv(tmp_path, names):
    """Line ends of every kind, quotes, commas and spaces, as the writers of viewpoints.csv and twins.csv write them."""
    views = {name: (0, 1.0) for name in names}
    path = tmp_path / "viewpoints.csv"
    path.write_bytes(viewpoints_csv(views).encode())
    assert {name: (int(view), confidence) for name, (view, confidence) in read_viewpoints_csv(path).items()} == views
    assert not re.search(rb"(?<!\r)\r(?!\n)", viewpoints_csv({"a": (0, 1.0)}).encode())
