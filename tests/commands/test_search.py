"""ealn_plugin/commands/search.py as a user runs it: index, query, add, remove, and what it refuses."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from ealn_plugin import FeatureExtractor
from ealn_plugin.evaluation.ranking import evaluate_rank
from tests.helpers.tool_modules import load_tool

pytest.importorskip("lance")

search = load_tool("search")


@pytest.fixture(scope="module")
def built(veri_root, run_folder, tmp_path_factory):
    """An index of the stand-in VeRI-776's gallery."""
    folder = tmp_path_factory.mktemp("index") / "gallery"
    assert (
        search.main(
            [
                "index",
                "veri776",
                "--root",
                str(veri_root),
                "--run",
                str(run_folder),
                "--index",
                str(folder),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    return folder


@pytest.fixture
def index(built, tmp_path):
    """A copy of it that a test may change."""
    shutil.copytree(built, tmp_path / "index")
    return str(tmp_path / "index")


def run(capsys, *arguments):
    """Exit code, stdout and stderr of one command."""
    capsys.readouterr()
    code = search.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_without_a_network_the_shipped_one_is_used_and_the_query_needs_none(veri_root, tmp_path, capsys):
    images = sorted((veri_root / "VeRi" / "image_test").iterdir())[:4]
    here = ("--index", tmp_path / "index", "--device", "cpu")
    code, out, error = run(capsys, "index", *images[1:], *here)
    assert code == 0 and "3 images added" in out
    assert "on rendered vehicles and never on photographs of vehicles; real scenes will be worse" in error
    code, out, error = run(capsys, "query", images[1], *here)
    assert code == 0 and "note" not in error and str(images[1]) in out
    code, out, error = run(capsys, "query", images[1], *here, "--weights", "shipped")
    assert code == 0 and str(images[1]) in out


def answers(capsys, tmp_path, images, index, *more):
    code, out, _ = run(
        capsys, "query", *images, "--index", index, "--json", tmp_path / "found.json", "--device", "cpu", *more
    )
    assert code == 0
    return json.loads((tmp_path / "found.json").read_text()), out


def test_the_whole_gallery_is_ranked_as_the_evaluation_ranks_it(capsys, tmp_path, veri_root, run_folder, index):
    queries = sorted(str(path) for path in (veri_root / "VeRi" / "image_query").iterdir())
    found, out = answers(capsys, tmp_path, queries, index, "--topk", 24)
    assert found["images"] == 24 and found["kind"] == "flat" and [q["image"] for q in found["queries"]] == queries
    paths = sorted(str(path) for path in (veri_root / "VeRi" / "image_test").iterdir())
    extractor = FeatureExtractor(run_folder, device="cpu")
    similarity = (extractor(queries) @ extractor(paths).T).numpy()
    for query, row in zip(found["queries"], similarity):
        order = [paths.index(hit["image"]) for hit in query["nearest"]]
        assert sorted(order) == list(range(24)) and [hit["rank"] for hit in query["nearest"]] == list(range(1, 25))
        np.testing.assert_allclose(row[order], np.sort(row)[::-1], atol=2e-6)
        np.testing.assert_allclose([hit["similarity"] for hit in query["nearest"]], row[order], atol=2e-6)
        first = query["nearest"][0]
        assert os.path.basename(first["image"]) == os.path.basename(query["image"])  # the same picture, by its pixels
        assert first["vehicle"] == int(os.path.basename(query["image"])[:4]) and first["similarity"] > 0.999
        assert query["view"] == first["view"] and first["camera"] == 1  # c001
    pids, g_pids = ([int(os.path.basename(path)[:4]) for path in group] for group in (queries, paths))
    camids, g_camids = ([int(os.path.basename(path)[6:9]) - 1 for path in group] for group in (queries, paths))
    cmc, _ = evaluate_rank(1 - similarity, np.array(pids), np.array(g_pids), np.array(camids), np.array(g_camids), 1)
    right = [
        next(hit["vehicle"] for hit in query["nearest"] if (hit["vehicle"], hit["camera"] - 1) != (pid, camid)) == pid
        for query, pid, camid in zip(found["queries"], pids, camids)
    ]
    assert np.mean(right) == pytest.approx(cmc[0])
    assert f"{queries[0]} (front)" in out and "similarity  vehicle  camera  view" in out


def test_the_sheet_and_an_approximate_search(capsys, tmp_path, veri_root, run_folder):
    folder, image = tmp_path / "ivf index", next((veri_root / "VeRi" / "image_query").iterdir())
    code, out, _ = run(
        capsys,
        "index",
        veri_root / "VeRi" / "image_train",
        "--run",
        run_folder,
        "--index",
        folder,
        "--kind",
        "ivf",
        "--nlist",
        4,
        "--device",
        "cpu",
        "--batch-size",
        7,
    )
    assert code == 0 and "36 images added" in out and "of 4 lists; recall@10 against exact search" in out
    sheet = tmp_path / "found.png"
    found, _ = answers(capsys, tmp_path, [image, image], folder, "--sheet", sheet, "-k", 3, "--nprobe", 2)
    assert (found["kind"], found["nlist"], found["nprobe"]) == ("ivf", 4, 2)
    assert len(found["queries"]) == 2 and len(found["queries"][1]["nearest"]) == 3
    assert found["queries"][0]["nearest"][0]["vehicle"] is None
    assert Image.open(sheet).width > 480 and Image.open(sheet).height > 300
    assert answers(capsys, tmp_path, [image], folder, "--kind", "flat")[0]["kind"] == "flat"


def test_add_and_remove(capsys, tmp_path, veri_root, index):
    new = tmp_path / "new cars"
    new.mkdir()
    for number, name in enumerate(("é x.jpg", "two\nlines.jpg", "z.jpg")):
        Image.new("RGB", (30, 20), (0, 90 * number, 250)).save(new / name)
    (new / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    code, _, err = run(capsys, "add", new, "--index", index, "--device", "cpu")
    assert code == 1 and "cut.jpg' cannot be decoded" in err.splitlines()[-1]
    code, out, err = run(capsys, "add", new, "--index", index, "--device", "cpu", "--skip-unreadable")
    assert code == 0 and "3 images added, 0 were there before, 1 could not be read" in out and "left out: image" in err
    assert "27 images" in out
    code, out, _ = run(capsys, "add", new, "veri776", "--root", veri_root, "--index", index, "--skip-unreadable")
    assert code == 0 and "0 images added, 27 were there before, 1 could not be read" in out
    found, out = answers(capsys, tmp_path, [new / "two\nlines.jpg"], index, "--query-view", "front")
    assert found["queries"][0]["view"] == "front" and found["queries"][0]["image"] == str(new / "two\nlines.jpg")
    assert "two\\nlines.jpg" in out
    os.unlink(new / "z.jpg")
    code, out, _ = run(capsys, "remove", new / "é x.jpg", "--missing", "--pid", 7, 8, "--index", index)
    assert code == 0 and "14 images removed" in out and "13 images" in out
    found, _ = answers(capsys, tmp_path, [new / "two\nlines.jpg"], index, "--topk", 99)
    assert {hit["vehicle"] for hit in found["queries"][0]["nearest"]} == {None, 9, 10}
    code, _, err = run(capsys, "remove", "/no.jpg", "--index", index)
    assert code == 1 and "'/no.jpg' is not in the index" in err
    code, out, _ = run(capsys, "info", "--index", index)
    assert code == 0 and "13 images, 1024 numbers each" in out and "search: exact" in out
    assert "camera: 1 (4), 2 (4), 3 (4)" in out and "vehicle: 9 (6), 10 (6)" in out
    code, out, _ = run(capsys, "verify", "--index", index)
    assert code == 0 and "13 images, every checksum is right" in out


def test_filters_and_groups(capsys, tmp_path, veri_root, index):
    """24 images: vehicles 7 to 10, cameras 1 to 3, times 100 x camera + number, front first."""
    image = veri_root / "VeRi" / "image_query" / "0008_c001_00000100_0.jpg"
    asked = ["--topk", 99]

    def found(*flags):
        answer, out = answers(capsys, tmp_path, [image], index, *asked, *flags)
        return answer["queries"][0]["nearest"], out

    everything, _ = found()
    for flags, wanted in (
        (["--camera", 1, 3], lambda hit: hit["camera"] in (1, 3)),
        (["--view", "rear"], lambda hit: hit["view"] == "rear"),
        (["--after", 200, "--before", 300], lambda hit: 200 <= int(hit["time"]) <= 300),
        (["--vehicle", 8, "--view", "front", "--camera", 2], lambda hit: (hit["vehicle"], hit["camera"]) == (8, 2)),
        (["--source", "veri776"], lambda hit: True),
        (["--after", "2020-01-01"], lambda hit: False),
    ):
        hits, _ = found(*flags)
        naive = [hit for hit in everything if wanted(hit) and ("front" not in flags or hit["view"] == "front")]
        assert [hit["id"] for hit in hits] == [hit["id"] for hit in naive], flags
    groups, out = found("--group-by", "vehicle", "--csv", tmp_path / "found.csv", "--sheet", tmp_path / "found.png")
    assert [hit["vehicle"] for hit in groups][0] == 8 and {hit["vehicle"] for hit in groups} == {7, 8, 9, 10}
    assert [hit["more"] for hit in groups] == [5] * 4 and "more" in out and "time" in out
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert lines[0].startswith("query,rank,similarity,id,image,vehicle,camera,view,time") and len(lines) == 5
    assert (tmp_path / "found.png").stat().st_size > 1000
    code, out, _ = run(capsys, "remove", "--vehicle", 7, 9, "--index", index)
    assert code == 0 and "12 images removed" in out


def test_another_network_is_refused(capsys, tmp_path, veri_root, run_folder, index):
    image = next((veri_root / "VeRi" / "image_query").iterdir())
    weights = run_folder / "model" / "model-last.pth.tar"
    model = ["--model", "squeezenet1_1", "--weights", weights, "--height", 32, "--width", 32, "--device", "cpu"]
    for command in (["query", image], ["add", image]):
        code, _, err = run(capsys, *command, "--index", index, *model)
        assert code == 1 and "holds features of another model" in err and str(run_folder) in err
    code, _, _ = run(
        capsys, "index", "veri776", "--root", veri_root, "--split", "query", "--index", tmp_path / "own", *model
    )
    assert code == 0 and answers(capsys, tmp_path, [image], tmp_path / "own")[0]["images"] == 8


def test_slips_get_one_sentence(capsys, tmp_path, veri_root, run_folder, index):
    image = next((veri_root / "VeRi" / "image_query").iterdir())
    here = ["--index", index, "--device", "cpu"]
    for arguments, sentence in (
        (["query", image, "--index", tmp_path / "no"], "holds no index; make one with ealn search index"),
        (["query", "/no.jpg", *here], "image '/no.jpg' does not exist"),
        (["query", image, *here, "-k", 0], "--topk is 0"),
        (["query", image, *here, "--json", tmp_path / "no" / "a.json"], "of --json does not exist"),
        (["query", image, *here, "--run", run_folder, "--model", "resnet18"], "are both given"),
        (["query", image, *here, "--model", "resnet18"], "without --weights, expected both"),
        (["query", image, *here, "--kind", "ivf"], "has no inverted lists"),
        (["index", "veri776", "--root", veri_root, "--run", run_folder, *here], "holds a finished index of 24"),
        (
            ["index", "veri776", "--root", veri_root, "--run", run_folder, "--index", tmp_path / "a", "--nlist", -1],
            "nlist is -1",
        ),
        (["add", tmp_path / "no", *here], "there is no file or folder"),
        (["remove", *here[:2]], "there is nothing to remove"),
        (["remove", "--pid", -1, *here[:2]], "--pid holds -1"),
        (["query", image, *here, "--after", "noon"], "time 'noon' is neither a number nor a date"),
        (["query", image, *here, "--after", "9", "--before", "2024-01-01"], "expected two numbers or two dates"),
        (["query", image, *here, "--csv", tmp_path / "no" / "a.csv"], "of --csv does not exist"),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 1 and sentence in err and err.splitlines()[-1].startswith("error: "), err


def test_without_the_engine_the_command_says_what_to_install(capsys, monkeypatch, index):
    monkeypatch.setitem(sys.modules, "lance", None)
    for command in (["query", "a.jpg"], ["index", "a"], ["add", "a"], ["remove", "a"]):
        code, _, err = run(capsys, *command, "--index", index)
        assert code == 1 and '".[search]"' in err


def test_queries_that_are_no_images(capsys, tmp_path, index):
    """The file is at fault, not a dataset."""
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    code, _, err = run(capsys, "query", tmp_path / "nope.jpg", "--index", index, "--device", "cpu")
    assert code == 1 and err.splitlines()[-1].endswith("nope.jpg' does not exist; give the path of an image file")
    code, _, err = run(capsys, "query", notes, "--index", index, "--device", "cpu")
    assert code == 1 and "notes.txt' cannot be decoded" in err and err.strip().endswith("; give an image file")
    assert "dataset" not in err and "data.root" not in err


def test_numbers_of_one(capsys, tmp_path, index):
    (tmp_path / "one").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "one" / "a.png")
    code, out, _ = run(capsys, "add", tmp_path / "one", "--index", index, "--device", "cpu")
    assert code == 0 and "1 image added, 0 were there before, 0 could not be read" in out
    code, out, _ = run(capsys, "add", tmp_path / "one", "--index", index, "--device", "cpu")
    assert code == 0 and "0 images added, 1 was there before, 0 could not be read" in out
    code, out, _ = run(capsys, "remove", tmp_path / "one" / "a.png", "--index", index)
    assert code == 0 and "1 image removed" in out
