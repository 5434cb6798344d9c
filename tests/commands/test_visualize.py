"""ealn_plugin/commands/visualize.py: every figure from real runs on stand-in data, and the numbers beside it."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ealn_plugin.evaluation.twins import UNMARKED_TWINS, ssim
from ealn_plugin.reports.exhibits import HARD, OTHER_VIEW, ExhibitedRun, FigureUnavailable
from ealn_plugin.reports.figures import write_figures
from ealn_plugin.reports.picture_figures import cross_view_scores
from ealn_plugin.reports.subjects import RunSubject
from tests.helpers.standins import make_veri_folder, use_tiny_backbone
from tests.helpers.tool_modules import load_tool

visualize, train = load_tool("visualize"), load_tool("train_ealn")


@pytest.fixture(scope="module", autouse=True)
def tiny():
    """A small network under a known model name."""
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_backbone(patch, "resnet18")
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Stand-in data with twins: the front of a vehicle is the twin of its rear and the other way round."""
    root = make_veri_folder(tmp_path_factory.mktemp("visualize"), train=4, test=4)
    folder, lines = root / "VeRi", ["image,twin"]
    (folder / "image_twin").mkdir()
    for split in ("image_query", "image_test"):
        for path in sorted((folder / split).iterdir()):
            other = next(folder.glob(f"image_test/{path.name[:10]}*_{1 - int(path.stem[-1])}.jpg"))
            shutil.copy(other, folder / "image_twin" / path.name)
            lines.append(f"{split}/{path.name},image_twin/{path.name}")
    (folder / "twins.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Three short runs: no generators, all of them, and all with another beta1."""
    folder = tmp_path_factory.mktemp("runs")
    for name, *options in (
        ("en", "ealn.scheme", "en"),
        ("hard_view", "train.print_freq", "2"),
        ("other", "ealn.beta1", "0.9"),
    ):
        assert (
            train.main(
                [
                    "--root",
                    str(root),
                    "model.name",
                    "resnet18",
                    "model.pretrained",
                    "False",
                    "use_gpu",
                    "False",
                    "data.height",
                    "32",
                    "data.width",
                    "32",
                    "data.workers",
                    "0",
                    "train.max_epoch",
                    "2",
                    "train.batch_size",
                    "8",
                    "train.print_freq",
                    "1",
                    "ealn.test_untrained",
                    "False",
                    "ealn.generator.filters",
                    "2",
                    "ealn.generator.blocks",
                    "1",
                    "ealn.discriminator.filters",
                    "2",
                    "ealn.discriminator.layers",
                    "1",
                    "data.save_dir",
                    str(folder / name),
                    *options,
                ]
            )
            == 0
        )
    return folder


def flags(root, out, *more):
    return [
        "--root",
        str(root),
        "--workers",
        "0",
        "--device",
        "cpu",
        "--images",
        "16",
        "--out",
        str(out),
        *map(str, more),
    ]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def drawn(runs, root, tmp_path_factory):
    """All figures of the three runs."""
    out = tmp_path_factory.mktemp("figures")
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    assert visualize.main(flags(root, out, "--run", runs / "hard_view", runs / "en", runs / "other")) == 0
    assert before == {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    return out


@pytest.fixture
def run(runs, root):
    subject = RunSubject(str(runs / "hard_view"), "hard_view", ["data.root", str(root), "data.workers", 0])
    return ExhibitedRun(subject, 16)


def test_every_figure_has_its_numbers(drawn):
    found = {path.stem for path in drawn.glob("figure_*.png")}
    assert {stem[:9] for stem in found} == {f"figure_{number:02d}" for number in range(4, 12)}
    assert {path.stem for path in drawn.glob("figure_*.csv")} == found | {"figure_06_scores"}
    for stem in found:
        assert min(Image.open(drawn / f"{stem}.png").size) > 250
        assert len(rows(drawn / f"{stem}.csv")) > 1


def test_hard_negatives_and_their_distances(drawn, run):
    lines = rows(drawn / "figure_05_hard_negatives_hard_view.csv")
    assert [line["view"] for line in lines[:2]] == ["front", "rear"]
    fixed, made = run.fixed, run.generated[HARD]
    for line in lines:
        row = fixed.names.index(line["image"])
        real = run.embeddings
        assert float(line["d_generated"]) == pytest.approx(
            float((real[row] - made.embeddings[row]).pow(2).sum()), abs=1e-5
        )
        positives = [i for i in range(len(real)) if fixed.pids[i] == fixed.pids[row] and i != row]
        expected = np.mean([float((real[row] - real[i]).pow(2).sum()) for i in positives])
        assert float(line["d_real"]) == pytest.approx(expected, abs=1e-5)
        assert float(line["mean_change"]) == pytest.approx(
            float((made.images[row] - run.images[row]).abs().mean()), abs=1e-6
        )


def test_cross_views_against_their_twins(drawn, run):
    scores = cross_view_scores(run)
    assert scores["twin"]["ssim"] == pytest.approx(1) and scores["twin"]["distance"] == 0
    assert scores["twin"]["psnr"] == 100 and scores["generated"]["ssim"] < 1
    lines = {(line["run"], line["query"]): line for line in rows(drawn / "figure_06_scores.csv")}
    assert set(lines) == {(name, query) for name in ("hard_view", "other") for query in scores}
    for query, found in scores.items():
        assert {name: float(lines["hard_view", query][name]) for name in found} == pytest.approx(found)
    made, row = run.generated[OTHER_VIEW], 0
    twin = run.twins([row])
    line = next(line for line in rows(drawn / "figure_06_cross_views.csv") if line["image"] == run.fixed.names[row])
    assert float(line["ssim_to_twin"]) == pytest.approx(
        float(ssim((made.images[:1] + 1) / 2, (twin + 1) / 2)), abs=1e-5
    )


def test_cross_views_against_their_twins_without_marks(runs, rendered_root, run):
    assert "unmarked twin" not in cross_view_scores(run), "this data set has none"
    subject = RunSubject(str(runs / "hard_view"), "run", ["data.root", str(rendered_root), "data.workers", 0])
    other = ExhibitedRun(subject, 16)
    scores = cross_view_scores(other)
    assert list(scores) == ["generated", "input", "twin", "unmarked twin"]
    assert 0.5 < scores["unmarked twin"]["ssim"] < 1 and scores["unmarked twin"]["distance"] > 0
    rows_shown = other.generated[OTHER_VIEW].anchor.tolist()
    assert not torch.equal(other.twins(rows_shown), other.twins(rows_shown, UNMARKED_TWINS))


def test_training_pictures_are_those_that_were_saved(drawn, run):
    grids = run.sample_grids()
    assert list(grids) == [1, 2] and grids[1].shape == (3, 8, 3, 32, 32)
    torch.testing.assert_close(grids[1][0], grids[2][0])
    change = (grids[2][1] - grids[2][0]).abs().mean(dim=(1, 2, 3))
    line = rows(drawn / "figure_07_training_hard_view.csv")[1]
    assert line["epoch"] == "2" and float(line["mean_change_1"]) == pytest.approx(float(change[0]), abs=1e-6)


def test_the_numbers_of_the_plots(drawn, run):
    shares = {}
    for line in rows(drawn / "figure_09_distances_hard_view.csv"):
        shares.setdefault((line["panel"], line["distances"]), []).append(float(line["share"]))
    assert len(shares) == 8 and all(sum(values) == pytest.approx(1) for values in shares.values())
    sweep = rows(drawn / "figure_10_sensitivity.csv")
    assert [line["beta1"] for line in sweep] == ["0.6", "0.9", ""] and float(sweep[0]["mAP"]) == run.primary_map()
    losses = rows(drawn / "figure_11_losses.csv")
    assert {line["run"] for line in losses} == {"hard_view", "en", "other"}
    assert {line["loss"] for line in losses} == {"loss/E", "loss/E_triplet", "loss/E_identity"}
    responses = rows(drawn / "figure_08_responses.csv")
    assert {line["run"] for line in responses} == {"hard_view", "en", "other"}


def test_a_single_run_draws_what_it_can(runs, root, tmp_path, capsys):
    assert visualize.main(flags(root, tmp_path / "all", "--run", runs / "en")) == 0
    assert {path.name[:9] for path in (tmp_path / "all").glob("*.png")} == {"figure_04", "figure_09", "figure_11"}
    assert visualize.main(flags(root, tmp_path / "some", "--run", runs / "en", "--figures", "5", "11")) == 1
    assert "figure 5: none of en makes hard negatives" in capsys.readouterr().err


def test_data_without_views_or_twins(runs, tmp_path):
    data = make_veri_folder(tmp_path / "data", train=4, test=4)
    (data / "VeRi" / "viewpoints.csv").unlink()
    subject = RunSubject(str(runs / "hard_view"), "run", ["data.root", str(data), "data.workers", 0])
    run = ExhibitedRun(subject, 16)
    found = write_figures([run], [5, 6, 9], str(tmp_path))
    assert isinstance(found[5], list) and isinstance(found[9], list) and "none of run makes other views" in found[6]
    assert {line["view"] for line in rows(tmp_path / "figure_05_hard_negatives_run.csv")} == {"unknown view"}
    make_veri_folder(tmp_path / "again", train=4, test=4)
    subject = RunSubject(str(runs / "hard_view"), "run", ["data.root", str(tmp_path / "again"), "data.workers", 0])
    with pytest.raises(FigureUnavailable, match="has no twins.csv"):
        cross_view_scores(ExhibitedRun(subject, 16))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--run", "/no/run"], "'/no/run' has no config.yaml"),
        (["--run", "x", "--images", "3"], "--images is 3"),
        (["--run", "x", "--device", "cuda"], "torch sees no GPU"),
    ],
)
def test_bad_input_gets_one_sentence(arguments, sentence, capsys):
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert visualize.main(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error
