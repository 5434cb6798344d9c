"""ealn_plugin/evaluation/diagnostics.py: the probe on known cases, every number against a naive recomputation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ealn_plugin.evaluation import diagnostics
from ealn_plugin.evaluation.diagnostics import area_under_curve, diagnose, pixel_statistics, probe_auc
from ealn_plugin.losses import hinges

PIXELS = {"change": np.array([0.25]), "output_variety": 1.0, "change_variety": 0.5}


def unit(rng, *shape):
    values = rng.normal(size=shape)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_the_area_counts_pairs(higher, lower):
    wins = sum((h > low) + 0.5 * (h == low) for h in higher for low in lower)
    scores = np.array(higher + lower, dtype=float)
    positive = np.arange(len(scores)) < len(higher)
    assert area_under_curve(scores, positive) == pytest.approx(wins / (len(higher) * len(lower)))


def test_images_that_came_back_unchanged_cannot_be_told_apart():
    rng = np.random.default_rng(0)
    real, pids = unit(rng, 64, 128), np.arange(64) // 4
    assert probe_auc(real, real, pids, pids) == 0.5
    assert probe_auc(real, real[::2].copy(), pids, pids[::2]) == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("dim", [3, 200])
def test_a_shift_in_one_direction_is_found_and_noise_is_not(dim):
    rng = np.random.default_rng(1)
    real, other, pids = rng.normal(size=(64, dim)), rng.normal(size=(64, dim)), np.arange(64) // 4
    shift = np.zeros(dim)
    shift[0] = 6.0
    assert probe_auc(real, other + shift, pids, pids) > 0.97
    assert 0.3 < probe_auc(real, other, pids, pids) < 0.7


def test_the_probe_is_scored_on_vehicles_that_it_has_not_seen():
    """Each vehicle's fakes lie beside it in a direction of its own: learned by heart easily, of no use for others."""
    rng = np.random.default_rng(2)
    real = np.repeat(rng.normal(size=(16, 300)), 4, axis=0)
    fake = real + np.repeat(rng.normal(size=(16, 300)), 4, axis=0)
    pids = np.arange(64) // 4
    assert probe_auc(real, fake, pids, pids) < 0.85
    assert math.isnan(probe_auc(real[:4], fake[:4], pids[:4], pids[:4]))


def test_the_fit_minimises_the_penalised_log_loss():
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(30, 50)), rng.random(30) < 0.5
    weights, bias = diagnostics._fit_logistic(features, labels)
    w = torch.tensor(weights, requires_grad=True)
    b = torch.tensor(float(bias), dtype=torch.float64, requires_grad=True)
    logits = torch.tensor(features) @ w + b
    loss = (
        torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(labels, dtype=torch.float64), reduction="sum"
        )
        + diagnostics.PENALTY / 2 * w.pow(2).sum()
    )
    loss.backward()
    assert w.grad.abs().max() < 1e-6 and abs(float(b.grad)) < 1e-6


@pytest.mark.parametrize("kind", ["squared", "euclidean"])
@pytest.mark.parametrize("margins", [{"alpha": 0.6, "beta1": 1.2, "beta2": 0.3}, {"alpha": 0.4}])
def test_every_number_against_loops(kind, margins):
    rng = np.random.default_rng(4)
    real, fake = unit(rng, 12, 3), unit(rng, 9, 3)
    pids, anchor = np.array([5, 5, 5, 7, 7, 7, 9, 9, 9, 9, 11, 12]), np.arange(9) + 3
    found = diagnose(real, pids, fake, anchor, PIXELS, margins, kind)

    def d(a, b):
        squared = float(((a - b) ** 2).sum())
        return squared if kind == "squared" else math.sqrt(squared)

    lists = {name: [] for name in ("lower", "upper", "push", "near", "nearest", "positive", "d", "inside")}
    for made, row in zip(fake, anchor):
        own = d(real[row], made)
        positives = [d(real[row], real[i]) for i in range(12) if pids[i] == pids[row] and i != row]
        negatives = [d(real[row], real[i]) for i in range(12) if pids[i] != pids[row]]
        lists["d"].append(own)
        lists["nearest"].append(min(negatives))
        lists["inside"].append(own < min(negatives))
        lists["lower"].append(own < margins.get("beta1", 0))
        lists["upper"].append(np.mean([own + margins.get("beta2", 0) > n for n in negatives]))
        lists["near"].append(np.mean([own + margins["alpha"] > n for n in negatives]))
        if positives:
            lists["positive"].append(np.mean(positives))
            lists["push"].append(np.mean([p + margins["alpha"] > own for p in positives]))
    means = {name: np.mean(values) for name, values in lists.items()}
    expected = {
        "distance": means["d"],
        "nearest_negative": means["nearest"],
        "inside_negatives": means["inside"],
        "positive": means["positive"],
        "change": 0.25,
        "output_variety": 1.0,
        "change_variety": 0.5,
    }
    expected |= (
        {"eq4_lower": means["lower"], "eq4_upper": means["upper"], "eq5": means["push"]}
        if "beta1" in margins
        else {"eq9": means["near"], "eq10": means["push"]}
    )
    assert found.keys() == {*expected, "probe_auc"}
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-6)


def test_a_hinge_is_active_where_the_training_loss_is_not_zero():
    rng = np.random.default_rng(5)
    real, fake = unit(rng, 2, 4), unit(rng, 1, 4)
    found = diagnose(real, np.array([1, 2]), fake, np.array([0]), PIXELS, {"alpha": 0.6, "beta1": 0.6, "beta2": 0.3})
    d_fake, d_negative = (torch.tensor([((a - real[0]) ** 2).sum()]) for a in (fake[0], real[1]))
    loss = hinges.hard_generator_loss(d_fake, d_negative, 0.6, 0.3)
    assert (found["eq4_lower"] + found["eq4_upper"] > 0) == bool(loss > 0)
    assert math.isnan(found["eq5"]) and math.isnan(found["positive"])  # no vehicle has two images


def test_pixel_statistics_of_known_generators():
    torch.manual_seed(0)
    inputs = torch.rand(6, 3, 8, 8) - 0.5
    same = pixel_statistics(inputs, inputs)
    assert same["change"].tolist() == [0.0] * 6 and same["output_variety"] == 1.0 and same["change_variety"] == 0.0
    blotch = torch.zeros(3, 8, 8)
    blotch[:, :2] = 0.4
    stamped = pixel_statistics(inputs, inputs + blotch)
    assert stamped["change"] == pytest.approx([0.1] * 6) and stamped["change_variety"] == pytest.approx(0, abs=1e-6)
    assert stamped["output_variety"] == pytest.approx(1.0)
    collapsed = pixel_statistics(inputs, inputs[:1].expand_as(inputs))
    assert collapsed["output_variety"] == 0.0 and collapsed["change_variety"] > 0.4
