"""``ealn search judge``, and where and when in a search, on rendered vehicles: the figures of ``ealn evaluate``."""

import json

import numpy as np
import pytest

from ealn_plugin.data import VeRi776
from ealn_plugin.data.times import TIMES
from ealn_plugin.evaluation import calibration
from ealn_plugin.evaluation.spatio_temporal import TransitionTimes
from ealn_plugin.search import SearchIndex
from tests.helpers.tool_modules import load_tool

pytest.importorskip("lance")
search, evaluate = load_tool("search"), load_tool("evaluate")


@pytest.fixture(scope="module")
def index(rendered_root, run_folder, tmp_path_factory):
    """Folder of an index of the rendered gallery, which has learned transition times."""
    folder = tmp_path_factory.mktemp("index") / "gallery"
    here = ["--root", str(rendered_root), "--index", str(folder), "--device", "cpu"]
    assert search.main(["index", "veri776", *here, "--run", str(run_folder)]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "FEWEST", 1)
        assert search.main(["calibrate", "veri776", *here, "--split", "train", "--transitions"]) == 0
    return folder


@pytest.fixture(scope="module")
def evaluated(index, rendered_root, run_folder, tmp_path_factory):
    """Function of a form to the figures of ``ealn evaluate``, at the weight that 0.5 is against the search's distance:
    the evaluation's mean is that of queries and gallery, the search's that of the index. Features are extracted once.
    """
    out = tmp_path_factory.mktemp("evaluated")
    command = ["--run", run_folder, "-t", "veri776", "--root", rendered_root, "--workers", 0, "--device", "cpu"]
    command += ["--no-figures", "--normalize-feature", "--protocols", "veri_image", "--out", out]

    def figures(form):
        flags = []
        if form:
            stored = np.load(next(out.glob("features/*/veri776.npz")))
            features = stored["features"] / np.linalg.norm(stored["features"], axis=1, keepdims=True)
            queries, gallery = features[stored["is_query"]], features[~stored["is_query"]]
            mean = SearchIndex.open(index).manifest.places["mean_distance"]
            flags = ["--where-and-when", form, "--where-weight", 0.5 * mean / (1 - float((queries @ gallery.T).mean()))]
        assert evaluate.main([str(argument) for argument in (*command, *flags)]) == 0
        return json.loads((out / "results.json").read_text())["datasets"]["veri776"]["veri_image"]

    figures("")
    return figures


@pytest.mark.parametrize("form", ["", "distance", "transitions"])
def test_the_figures_are_those_of_the_evaluation(form, index, evaluated, rendered_root, tmp_path, capsys):
    root, expected = ["--root", str(rendered_root), "--device", "cpu"], evaluated(form)
    capsys.readouterr()
    command = ["judge", "veri776", "--split", "query", *root, "--index", str(index), "--json", str(tmp_path / "j.json")]
    assert search.main([*command, *(["--where-and-when", form] if form else [])]) == 0
    found = json.loads((tmp_path / "j.json").read_text())
    assert found["ranked_by"] == (form or "appearance") and found["hits"] == found["images"] == 16
    for key in ("mAP", "rank1", "rank5", "rank10"):
        assert found[key] == pytest.approx(expected[key], abs=1e-6), key
    assert f"mAP {100 * expected['mAP']:.1f}, rank 1 " in capsys.readouterr().out
    assert search.main([*command, "-k", "1"]) == 0
    few = json.loads((tmp_path / "j.json").read_text())
    assert few["hits"] == 1 and few["rank1"] == few["rank10"]


def test_what_the_index_keeps_is_what_the_data_says(index, rendered_root, capsys):
    data, places = VeRi776(root=str(rendered_root), verbose=False), SearchIndex.open(index).manifest.places
    lines = (rendered_root / "VeRi" / "camera_Dist.txt").read_text().splitlines()
    assert places["distance"]["distances"] == [[float(word) for word in line.split()] for line in lines]
    assert places["distance"]["cameras"] == ["1", "2", "3", "4"] and places["distance"]["source"] == "veri776"
    paths, pids, cameras = zip(*(item[:3] for item in data.train))
    fitted = TransitionTimes.fit(pids, cameras, TIMES.lookup(paths).tolist())
    labels = places["transitions"]["cameras"]
    for one, other, *values in places["transitions"]["own"]:
        pair = (-1, -1) if one < 0 else tuple(sorted(int(labels[number]) - 1 for number in (one, other)))
        np.testing.assert_allclose(values, fitted.own[pair])
    assert search.main(["info", "--index", str(index)]) == 0
    assert "where and when: distances of 4 cameras (veri776)" in capsys.readouterr().out


def test_a_query_by_where_and_when(index, rendered_root, tmp_path, capsys):
    """The time of an image that is not in the index comes from the times.csv of its dataset, unless given."""
    image = sorted((rendered_root / "VeRi" / "image_query").glob("*.jpg"))[0]
    command = ["query", str(image), "--index", str(index), "--json", str(tmp_path / "a.json"), "--csv"]
    command += [str(tmp_path / "a.csv"), "-k", "16", "--device", "cpu"]
    placed = ["--where-and-when", "transitions"]
    assert search.main([*command, *placed]) == 0
    query = json.loads((tmp_path / "a.json").read_text())["queries"][0]
    known = dict(line.split(",") for line in (rendered_root / "VeRi" / "times.csv").read_text().splitlines())
    assert float(query["time"]) == float(known[f"image_query/{image.name}"])
    assert query["camera"] == int(image.name[6:9]) and query["ranked_by"] == "transitions"
    scores = [hit["score"] for hit in query["nearest"]]
    assert scores == sorted(scores, reverse=True) and all(0 <= hit["fits"] <= 1 for hit in query["nearest"])
    assert " fits " in capsys.readouterr().out and "fits,score" in (tmp_path / "a.csv").read_text()
    assert search.main([*command, *placed, "--query-camera", "3", "--query-time", "77"]) == 0
    given = json.loads((tmp_path / "a.json").read_text())["queries"][0]
    assert (given["camera"], given["time"]) == (3, "77") and given["nearest"] != query["nearest"]
    assert search.main(command) == 0
    plain = json.loads((tmp_path / "a.json").read_text())["queries"][0]
    assert "ranked_by" not in plain and {hit["fits"] for hit in plain["nearest"]} == {None}
    similar = {hit["id"]: (hit["similarity"], hit["probability"]) for hit in plain["nearest"]}
    assert similar == {hit["id"]: (hit["similarity"], hit["probability"]) for hit in query["nearest"]}  # of looks alone


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--query-camera", "3"], "used with --where-and-when alone; add it"),
        (["--where-and-when", "distance", "--where-weight", "-1"], "where_weight is -1, expected 0 or more"),
        (["--where-and-when", "distance", "--query-time", "noon"], "time 'noon' is neither"),
        (["--where-and-when", "distance", "--query-camera", "9"], "the query's camera is '9', whose distances"),
    ],
)
def test_slips_get_one_sentence(flags, sentence, index, rendered_root, capsys):
    image = next((rendered_root / "VeRi" / "image_query").glob("*.jpg"))
    assert search.main(["query", str(image), "--index", str(index), "--device", "cpu", *flags]) == 1
    assert sentence in capsys.readouterr().err
