"""ealn_plugin/reports/bounds.py: fused truth against loops over single images, and the tables by hand."""

import json
import math
import os
import pathlib

import numpy as np
import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.evaluation.bounds import Share
from ealn_plugin.evaluation.twins import TWINS, UNMARKED_TWINS, read_twins
from ealn_plugin.reports import bounds
from ealn_plugin.reports.paper_tables import Grid
from ealn_plugin.reports.subjects import RunSubject
from ealn_plugin.runs.grid import GridCell
from tests.helpers.standins import train_run
from tests.reports.test_paper_tables import results


@pytest.fixture(scope="module")
def run_on_truth(rendered_root, tmp_path_factory):
    """Folder of a run of EN on rendered vehicles."""
    return train_run(tmp_path_factory.mktemp("run"), rendered_root, "en")


def embedding_of(engine, dataset, path):
    image = dataset.transform(toolkit.read_image(path))[None]
    with torch.no_grad():
        feature = engine.model.eval()(image)[0].double()
    return (feature / feature.norm()).numpy()


@pytest.mark.parametrize("listed", [TWINS, UNMARKED_TWINS])
def test_fused_with_the_truth_image_by_image(run_on_truth, rendered_root, listed):
    found = bounds.fused_with_twins(str(run_on_truth), "veri776", listed)["datasets"]["veri776"]
    engine = RunSubject(str(run_on_truth), "x").engine()
    twin_of = read_twins(os.path.join(rendered_root, "VeRi"), listed)
    rows = {"query": [], "gallery": []}
    for split, loader in engine.test_loader["veri776"].items():
        for path, pid, camid, _ in loader.dataset.data:
            own, other = (embedding_of(engine, loader.dataset, one) for one in (path, twin_of[os.path.abspath(path)]))
            view = int(engine.views_of([path])[0])
            halves = {View.FRONT: (own, other), View.REAR: (other, own)}.get(view, (own, own))
            rows[split].append((np.concatenate(halves) / math.sqrt(2), pid, camid))
    precisions = []
    for feature, pid, camid in rows["query"]:
        kept = [
            (((feature - one) ** 2).sum(), same == pid)
            for one, same, cam in rows["gallery"]
            if (same, cam) != (pid, camid)
        ]
        order = [good for _, good in sorted(kept, key=lambda pair: pair[0])]
        places = [place for place, good in enumerate(order, 1) if good]
        precisions.append(np.mean([number / place for number, place in enumerate(places, 1)]))
    assert found["veri_image"]["mAP"] == pytest.approx(np.mean(precisions), abs=1e-6)
    assert {"rank1", "rank5", "rank10"} <= found["cross_view"].keys()


def test_the_truth_of_the_other_view_is_not_the_unmarked_one(run_on_truth):
    true, bare = (bounds.fused_with_twins(str(run_on_truth), "veri776", listed) for listed in (TWINS, UNMARKED_TWINS))
    assert true != bare


def test_datasets_without_twins_are_named(run_folder):
    with pytest.raises(ValueError, match="has no twin in .*unmarked_twins.csv'; render the dataset"):
        bounds.fused_with_twins(str(run_folder), "veri776", UNMARKED_TWINS)


def test_bounds_of_a_grid(run_on_truth):
    content = json.loads((pathlib.Path(run_on_truth) / "results.json").read_text())
    grid = Grid({("en", 1): content, (bounds.TRUTH, 1): content})
    runs = [GridCell(scheme, 1, scheme, str(run_on_truth), ()) for scheme in ("en", bounds.TRUTH)]
    found = bounds.measure_bounds(grid, runs)
    assert found.values("en", "veri_image", "mAP") == grid.values("en", "veri_image", "mAP")
    assert found.results[bounds.TRUTH_TWIN, 1] == found.results[bounds.TRUE_TWIN, 1]
    known = found.values(bounds.APPEARANCE, "veri_image", "mAP")[1]
    assert 0.3 < known <= 1.0
    (one,) = bounds.bounds_tables(found).values()  # no scheme whose gain could be a share
    assert [row["network"] for row in one] == [bounds.LABELS[name] for name in bounds._ROWS]
    assert one[1]["source"] == "known, no network" and one[0]["source"] == "measured, 1 seed(s)"
    assert one[1]["mAP"] == f"{100 * known:.1f}" and one[1]["cross view"]


def grid_of(**schemes):
    """A Grid from {scheme: mAP by seed}."""
    return Grid(
        {(scheme, seed): results(value) for scheme, values in schemes.items() for seed, value in enumerate(values, 1)}
    )


def test_gains_stand_beside_their_room():
    twins = {bounds.TRUE_TWIN: [0.45, 0.47, 0.46], bounds.TRUTH_TWIN: [0.50, 0.53, 0.52]}
    found = grid_of(
        en=[0.30, 0.32, 0.31],
        hard=[0.33, 0.35, 0.345],
        hard_truth=[0.35, 0.38, 0.36],
        view=[0.29, 0.31, 0.305],
        hard_view=[0.35, 0.37, 0.36],
        en_mix=[0.30, 0.325, 0.31],
        **twins,
    )
    one, two = bounds.bounds_tables(found).values()
    assert [row["network"] for row in one] == [bounds.LABELS[n] for n in ("en", "hard_truth", *twins)]
    assert one[1]["mAP - EN"].startswith("+5.3 ± ")
    rows = {row["network"]: row for row in two}
    assert list(rows) == ["Hard-EALN", "View-EALN", "Hard-View-EALN", "en_mix"]
    share = bounds.share_in(found, "hard", "veri_image", "mAP")
    assert share.value == pytest.approx((0.03 + 0.03 + 0.035) / (0.05 + 0.06 + 0.05))
    assert rows["Hard-EALN"]["mAP"] == bounds.share_text(share)
    assert rows["Hard-EALN"]["source"] == "of Hard, renderer's fakes"
    assert rows["View-EALN"]["mAP"].startswith("-6% (-10 to -1)") and rows["View-EALN"]["source"].endswith(
        "true other view"
    )
    assert rows["Hard-View-EALN"]["mAP"].startswith("24% (")
    assert set(rows["en_mix"]) == {"network", "source", "mAP", "rank 1", "cross view"}


def test_only_seeds_with_all_three_count():
    found = grid_of(en=[0.3, 0.3], hard=[0.32, 0.34], hard_truth=[0.34])
    assert bounds.share_in(found, "hard", "veri_image", "mAP").value == pytest.approx(0.5)
    assert bounds.share_text(bounds.share_in(found, "view", "veri_image", "mAP")) == "no room"


def test_shares_as_text():
    assert bounds.share_text(Share(0.614, 0.402, 0.85)) == "61% (40 to 85)"
    assert bounds.share_text(Share(0.614)) == "61%"
    assert bounds.share_text(Share(-0.1, -0.3, 0.1)) == "-10% (-30 to 10)"
    assert bounds.share_text(Share(math.nan)) == "no room"


@pytest.mark.parametrize(
    "scheme, room",
    [
        ("hard", bounds.TRUTH),
        ("en_perturb", bounds.TRUTH),
        ("view", bounds.TRUE_TWIN),
        ("stargan", bounds.TRUE_TWIN),
        ("hard_cyclegan", bounds.TRUTH_TWIN),
    ],
)
def test_a_gain_is_read_beside_what_the_truth_gives_in_the_same_place(scheme, room):
    assert bounds.room_of(scheme) == room
