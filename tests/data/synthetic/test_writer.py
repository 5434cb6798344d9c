import csv
import errno
import json
import multiprocessing
import os
import pathlib
import signal
import time
from xml.etree import ElementTree

import cv2
import pytest

from ealn_plugin.data.synthetic import contact_sheet, is_complete, layouts, population, presets, renderer, writer

PRESET = presets.Preset(
    train_vehicles=6,
    train_images=30,
    train_tracks=14,
    test_vehicles=4,
    test_images=16,
    test_tracks=9,
    cameras=4,
    models=7,
    image_size=40,
)


def _render(root, **changes):
    options = dict(layout="veri776", preset=PRESET, seed=1, processes=1, progress=False)
    return writer.render_dataset(root, **{**options, **changes})


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def veri(tmp_path_factory):
    return _render(tmp_path_factory.mktemp("veri"))


@pytest.fixture(scope="module")
def vehicleid(tmp_path_factory):
    return _render(tmp_path_factory.mktemp("vehicleid"), layout="vehicleid")


def _lines(path):
    return path.read_text(encoding="ascii").splitlines()


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("layout", ["veri776", "vehicleid"])
def test_same_bytes_with_any_number_of_processes(tmp_path, layout, request):
    one = request.getfixturevalue("veri" if layout == "veri776" else "vehicleid")
    three = _render(tmp_path, layout=layout, processes=3)
    assert _contents(one) == _contents(three)


def test_another_seed_gives_other_pictures(veri, tmp_path):
    other = _render(tmp_path, seed=2)
    assert _lines(other / "name_train.txt") != _lines(veri / "name_train.txt")


def test_veri_lists_match_the_folders(veri):
    for part, count in (("train", 30), ("query", 9), ("test", 16)):
        names = _lines(veri / f"name_{part}.txt")
        assert names == sorted(os.listdir(veri / f"image_{part}"))
        assert len(names) == count
    for name in _lines(veri / "name_query.txt"):
        assert (veri / "image_query" / name).read_bytes() == (veri / "image_test" / name).read_bytes()
    image = cv2.imread(str(veri / "image_query" / name))
    assert image.shape == (40, 40, 3)


@pytest.mark.parametrize("part", ["train", "test"])
def test_veri_xml_is_gb2312_with_the_release_attributes(veri, part):
    raw = (veri / f"{part}_label.xml").read_bytes()
    assert b'encoding="gb2312"' in raw.splitlines()[0]
    root = ElementTree.fromstring(raw.decode("gb2312").split("?>", 1)[1])
    items = list(root.iter("Item"))
    assert [item.get("imageName") for item in items] == _lines(veri / f"name_{part}.txt")
    vehicles = {row["vehicle"]: row for row in _rows(veri / "attributes.csv")}
    for item in items:
        assert item.get("imageName").startswith(f"{item.get('vehicleID')}_{item.get('cameraID')}_")
        row = vehicles[item.get("vehicleID")]
        assert population.COLOURS[row["colour"]][0] == int(item.get("colorID"))
        assert layouts.VERI_TYPES[int(item.get("typeID")) - 1] == row["type"]


def test_veri_index_files_point_into_the_sorted_gallery(veri):
    gallery, queries = _lines(veri / "name_test.txt"), _lines(veri / "name_query.txt")
    for query, good, junk in zip(queries, _lines(veri / "gt_index.txt"), _lines(veri / "jk_index.txt")):
        vehicle, camera = query.split("_")[:2]
        expected_good = [k for k, name in enumerate(gallery, 1) if name[:4] == vehicle and name[5:9] != camera]
        expected_junk = [k for k, name in enumerate(gallery, 1) if name[:4] == vehicle and name[5:9] == camera]
        assert [int(k) for k in good.split()] == expected_good != []
        assert [int(k) for k in junk.split()] == expected_junk != []


def test_veri_tracks_are_one_vehicle_in_one_camera_and_cover_the_gallery(veri):
    tracks = [line.split() for line in _lines(veri / "test_track.txt")]
    assert sorted(name for names in tracks for name in names) == _lines(veri / "name_test.txt")
    assert len(tracks) == 9
    assert all(len({name[:9] for name in names}) == 1 for names in tracks)


def test_key_point_lines_agree_with_the_view_labels(veri):
    views = {row["image"]: row["view"] for row in _rows(veri / "viewpoints.csv")}
    names = {0: "front", 3: "front", 6: "front", 1: "rear", 4: "rear", 7: "rear", 2: "side", 5: "side"}
    seen = 0
    for part in ("train", "test"):
        for line in _lines(veri / f"keypoint_{part}.txt"):
            fields = line.split()
            assert len(fields) == 42
            numbers = [int(value) for value in fields[1:]]
            assert all(-1 <= value < 40 for value in numbers[:40])
            assert views[fields[0].removeprefix("VeRi/")] == names[numbers[40]]
            seen += 1
    assert seen == len(views) == 30 + 9 + 16


@pytest.mark.parametrize("layout", ["veri", "vehicleid"])
def test_twins_are_the_opposite_view_of_every_test_image(layout, request):
    folder = request.getfixturevalue(layout)
    rows = _rows(folder / "twins.csv")
    views = {row["image"]: row["view"] for row in _rows(folder / "viewpoints.csv")}
    train = {row["image"] for row in _rows(folder / "viewpoints.csv")} - {row["image"] for row in rows}
    assert len(train) == 30 and all(row["image"] in views for row in rows)
    for row in rows:
        assert (folder / row["twin"]).read_bytes() != (folder / row["image"]).read_bytes()
    files = [f"image_twin/{name}" for name in os.listdir(folder / "image_twin")]
    assert sorted({row["twin"] for row in rows}) == sorted(files)


def test_twin_is_the_shot_turned_around(veri):
    drawn = population.draw_population(PRESET, 1)
    studio = renderer.Renderer(1, drawn.cameras, 40)
    identity = next(one for one in drawn.identities if one.split == "test")
    names = layouts.Veri776Layout().names(drawn)[identity.number - 1]
    mesh, size = population.build_mesh(identity)
    for picture, paths in zip(drawn.pictures[identity.number - 1][:2], names):
        twin = studio.render(mesh, size, picture.camera, picture.shot.turned()).image
        written = cv2.imread(str(veri / layouts.twin_path(paths[0])))
        assert abs(twin.astype(int) - written).mean() < 8  # all that JPEG changes


def test_vehicleid_lists(vehicleid):
    images = {path.stem for path in (vehicleid / "image").iterdir()}
    train = [line.split() for line in _lines(vehicleid / "train_test_split" / "train_list.txt")]
    full = [line.split() for line in _lines(vehicleid / "train_test_split" / "test_list_13164.txt")]
    assert {name for name, _ in train + full} == images and len(images) == 46
    assert not {vehicle for _, vehicle in train} & {vehicle for _, vehicle in full}
    sizes = [
        len({line.split()[1] for line in _lines(vehicleid / "train_test_split" / f"test_list_{name}.txt")})
        for name in ("800", "1600", "2400")
    ]
    assert sizes == [1, 3, 4]
    assert sorted(_lines(vehicleid / "attribute" / "img2vid.txt")) == sorted(" ".join(row) for row in train + full)
    for name in ("model_attr", "color_attr"):
        assert len(_lines(vehicleid / "attribute" / f"{name}.txt")) == 10
    assert {row["view"] for row in _rows(vehicleid / "viewpoints.csv")} <= {"front", "rear"}


def test_attributes_list_marks(veri):
    rows = _rows(veri / "attributes.csv")
    assert len(rows) == 10
    assert all(len(row["marks"].split(";")) >= 4 and "@front:" in row["marks"] for row in rows)


def test_finished_folder_is_returned_at_once_and_others_are_refused(veri, tmp_path):
    stamp = (veri / writer.MARKER).stat().st_mtime_ns
    assert _render(veri.parent) == veri
    assert (veri / writer.MARKER).stat().st_mtime_ns == stamp and is_complete(veri)
    with pytest.raises(FileExistsError, match="another seed"):
        _render(veri.parent, seed=9)
    (tmp_path / "VeRi").mkdir()
    with pytest.raises(FileExistsError, match="not rendered by this program"):
        _render(tmp_path)
    assert not is_complete(tmp_path / "VeRi")


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(layout="market"), "layout 'market' is unknown"),
        (dict(preset="huge"), "preset 'huge' is unknown"),
        (dict(seed=-1), "seed is -1"),
        (dict(image_size=31), "image_size is 31"),
        (dict(processes=0), "processes is 0"),
        (dict(seed=1.5), "seed is 1.5"),
        (dict(image_size=True), "image_size is True"),
    ],
)
def test_wrong_arguments_give_one_sentence(tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        _render(tmp_path / "new", **changes)
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, processes):
    def full(self, image, paths, quality):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer._Worker, "_save", full)
    with pytest.raises(RuntimeError, match="No space left on device.*run again"):
        _render(tmp_path, processes=processes)
    assert [path.name for path in tmp_path.iterdir()] == [".VeRi.lock"]


def test_worker_failure_surfaces_as_its_message(tmp_path, monkeypatch):
    def broken(self, task):
        raise ValueError(f"vehicle {task.identity.number} has square wheels")

    monkeypatch.setattr(writer._Worker, "render", broken)
    with pytest.raises(ValueError, match="has square wheels"):
        _render(tmp_path, processes=2)
    assert not (tmp_path / "VeRi").exists()


def _die(self, task):
    os._exit(3)


def test_dead_worker_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(writer._Worker, "render", _die)
    with pytest.raises(RuntimeError, match="ended unexpectedly"):
        _render(tmp_path, processes=2)
    assert not (tmp_path / "VeRi").exists()


def _render_slowly(root):
    original = writer._Worker.render

    def slow(self, task):
        time.sleep(0.2)
        return original(self, task)

    writer._Worker.render = slow
    _render(root, processes=2)


def test_killed_run_leaves_nothing_finished_and_the_next_run_cleans_up(tmp_path, veri):
    process = multiprocessing.get_context("fork").Process(target=_render_slowly, args=(tmp_path,))
    process.start()
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".VeRi.partial-*/image_train/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(tmp_path.glob(".VeRi.partial-*")) and not (tmp_path / "VeRi").exists()
    folder = _render(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".VeRi.lock", "VeRi"]
    assert _contents(folder) == _contents(veri)


def test_marker_holds_parameters_and_counts(veri):
    content = json.loads((veri / writer.MARKER).read_text(encoding="utf-8"))
    assert content["parameters"]["seed"] == 1 and content["parameters"]["preset"]["cameras"] == 4
    assert content["counts"] == {
        "train_images": 30,
        "train_vehicles": 6,
        "test_images": 16,
        "test_vehicles": 4,
        "tracks": 9,
        "twins": 16,
        "rendered": 62,
    }
    (veri.parent / "broken").mkdir(exist_ok=True)
    (veri.parent / "broken" / writer.MARKER).write_text("{", encoding="utf-8")
    assert writer.read_marker(veri.parent / "broken") is None


def test_contact_sheet(tmp_path):
    path = contact_sheet.write_contact_sheet(tmp_path / "new" / "sheet.png", PRESET, 1)
    image = cv2.imread(str(path))
    assert image.shape[1] == contact_sheet.WIDTH and image.shape[0] > 1000
    assert [one.name for one in pathlib.Path(tmp_path / "new").iterdir()] == ["sheet.png"]
