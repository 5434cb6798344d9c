"""Do the generated images teach anything? Numbers that tell the ways in which this family of methods fails.

Everything here is a function of arrays: embeddings of real images, embeddings of what was generated from some of
them, and how far the pixels moved. Nothing is drawn at random, so the same arrays always give the same numbers.

    probe_auc near 1, hinges inactive       the embedding network learned "looks generated": nothing left to learn
    change and distance near 0              the generator returns its input: a "negative" that is a positive
    output_variety near 0                   it makes one picture whatever it is given
    change_variety near 0                   it adds one blotch whatever it is given
"""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ealn_plugin.losses.distance import pairwise_distance

FOLDS = 5
PENALTY = 1.0
POSITIVES = ("neutral", "reconstruction")
"""Kinds of generated images that are to stay the vehicle: neutral edits and reconstructions."""
_NEWTON_STEPS = 50


# ---------------------------------------------------------------------------------------------- the linear probe
def probe_auc(
    real: NDArray[Any], fake: NDArray[Any], groups: NDArray[Any], fake_groups: NDArray[Any], folds: int = FOLDS
) -> float:
    """How well a linear classifier tells generated from real embeddings of vehicles that it has not seen.

    Logistic regression with an L2 penalty, fitted on all vehicles but one fold's and scored on that fold. An image
    and what was generated from it carry the same vehicle number and so never stand on both sides.

    Args:
        real: [n, dim] embeddings of real images; fake: [m, dim] of generated ones.
        groups, fake_groups: [n] and [m] vehicle numbers.
        folds: parts that the vehicles are dealt to, in the order of their numbers.
    Returns:
        Mean area under the ROC curve over the folds, in [0, 1]; 0.5: cannot be told apart. NaN with fewer than two
        vehicles in both sets.
    """
    features = np.concatenate([real, fake]).astype(np.float64)
    labels = np.concatenate([np.zeros(len(real), dtype=bool), np.ones(len(fake), dtype=bool)])
    vehicles = np.concatenate([groups, fake_groups])
    shared = np.intersect1d(groups, fake_groups)
    fold = np.full(len(vehicles), -1)
    for number, vehicle in enumerate(shared):
        fold[vehicles == vehicle] = number % min(folds, len(shared))
    if len(shared) < 2:
        return float("nan")
    areas = []
    for number in range(min(folds, len(shared))):
        test, train = fold == number, (fold != number) & (fold >= 0)
        scaled = _scaled(features, features[train])
        weights, bias = _fit_logistic(scaled[train], labels[train])
        areas.append(area_under_curve(scaled[test] @ weights + bias, labels[test]))
    return float(np.mean(areas))


def area_under_curve(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of scores [n] for labels positive [n] bool; ties count one half (Mann and Whitney)."""
    higher, lower = scores[positive], scores[~positive]
    difference = higher[:, None] - lower[None, :]
    # Scores of equal images differ in the last bits when matrix products take another path through the machine.
    difference[np.abs(difference) < 1e-9 * max(1.0, float(np.abs(scores).max()))] = 0.0
    return float((np.sign(difference) + 1).mean() / 2)


def _scaled(features: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features centred and scaled by one number, so that a dimension of ``reference`` has variance 1 on average."""
    spread = np.sqrt(reference.var(axis=0).mean())
    return (features - reference.mean(axis=0)) / max(spread, 1e-12)


def _fit_logistic(features: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Weights [dim] and bias that minimise sum log(1 + exp(-y z)) + PENALTY / 2 |w|^2, by Newton's method.

    The solution lies in the span of the rows, so the equations are solved there: at most as many unknowns as images.
    """
    _, singular, basis = np.linalg.svd(features, full_matrices=False)
    basis = basis[singular > 1e-10 * max(singular.max(initial=0.0), 1e-300)]
    design = np.hstack([features @ basis.T, np.ones((len(features), 1))])
    penalty = np.diag(np.append(np.full(len(basis), PENALTY), 1e-9))
    solution = np.zeros(design.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = _sigmoid(design @ solution)
        slope = design.T @ (chance - labels) + penalty @ solution
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, slope)
        step *= min(1.0, 5.0 / max(np.abs(design @ step).max(), 1e-300))  # a full step may overshoot at the start
        solution = solution - step
        if np.abs(step).max() < 1e-10:
            break
    return basis.T @ solution[:-1], solution[-1]


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


# ---------------------------------------------------------------------------------------------- pixels
def pixel_statistics(inputs: Tensor, outputs: Tensor) -> dict[str, Any]:
    """What a generator does to pixels.

    Args:
        inputs, outputs: tensors [n, 3, h, w] in [-1, 1].
    Returns:
        {"change": float32 [n], mean |G(x) - x| of each image in [0, 2],
         "output_variety": variance of the outputs across inputs, mean over pixels, as a share of the inputs',
         "change_variety": share of the change's energy that differs between inputs, in [0, 1]}, the last two float.
    """
    inputs, outputs = inputs.double(), outputs.double()
    change = outputs - inputs
    energy = change.pow(2).mean().item()
    spread = inputs.var(dim=0, correction=0).mean().item()
    return {
        "change": change.abs().mean(dim=(1, 2, 3)).float().cpu().numpy(),
        "output_variety": outputs.var(dim=0, correction=0).mean().item() / max(spread, 1e-12),
        "change_variety": change.var(dim=0, correction=0).mean().item() / energy if energy > 1e-12 else 0.0,
    }


# ---------------------------------------------------------------------------------------------- hinges and distances
def diagnose(
    real: NDArray[Any],
    pids: NDArray[Any],
    fake: NDArray[Any],
    anchor: NDArray[Any],
    pixels: Mapping[str, Any],
    margins: Mapping[str, float],
    kind: str = "squared",
    d_hard: NDArray[Any] | None = None,
) -> dict[str, float]:
    """Everything there is to say of one kind of generated images.

    x_p and x_n run over all other images of the set, every positive and every negative of an anchor with the same
    weight: the expectation of the paper's random draw, without drawing.

    Args:
        real: float [n, dim] embeddings of the set's real images, of length 1. pids: [n] vehicle numbers.
        fake: float [m, dim] embeddings of what was generated; anchor: [m] rows in ``real`` of their inputs.
        pixels: what ``pixel_statistics`` returned for them.
        margins: {"alpha", "beta1", "beta2"} for hard negatives (Eq. 4 and 5), {"alpha"} for other views (9 and 10).
        kind: d of Eq. 2, 'squared' or 'euclidean'.
        d_hard: [m] d of each input to the hard negative made of it, where the generated images are to stay positives;
            None: they are negatives.
    Returns:
        {name: float}: probe_auc; eq4_lower, eq4_upper, eq5 or eq9, eq10, the fractions of active hinges in [0, 1], of
        positives the single one twin, those not alpha nearer than their hard negative (L_twin, losses/hinges.py);
        distance, d(x, G(x)); nearest_negative, d to the nearest real image of another vehicle; inside_negatives,
        the fraction of generated images nearer than that; positive, d to other images of the vehicle; change,
        output_variety, change_variety.
    """
    apart = pairwise_distance(torch.as_tensor(real).double(), torch.as_tensor(real).double(), kind).numpy()[anchor]
    generated = np.asarray(fake, dtype=np.float64) - np.asarray(real, dtype=np.float64)[anchor]
    d_fake = (generated**2).sum(axis=1) if kind == "squared" else np.sqrt((generated**2).sum(axis=1))
    pids = np.asarray(pids)
    same = pids[anchor][:, None] == pids[None, :]
    positive, negative = same & (np.arange(len(pids))[None, :] != np.asarray(anchor)[:, None]), ~same
    nearest = np.where(negative, apart, np.inf).min(axis=1, initial=np.inf)
    values = {"probe_auc": probe_auc(real, fake, pids, pids[anchor])}
    if d_hard is None:
        values.update(_active_hinges(d_fake[:, None], apart, positive, negative, margins))
    else:
        values["twin"] = _mean(d_fake + margins["alpha"] > d_hard)
    values.update(
        distance=_mean(d_fake),
        nearest_negative=_mean(nearest[np.isfinite(nearest)]),
        inside_negatives=_mean(d_fake < nearest),
        positive=_mean(_row_means(apart, positive)),
        change=_mean(pixels["change"]),
        output_variety=float(pixels["output_variety"]),
        change_variety=float(pixels["change_variety"]),
    )
    return values


def _active_hinges(
    d_fake: NDArray[np.float64],
    apart: NDArray[np.float64],
    positive: NDArray[np.bool_],
    negative: NDArray[np.bool_],
    margins: Mapping[str, float],
) -> dict[str, float]:
    alpha = margins["alpha"]
    pushed_away = _share(apart + alpha > d_fake, positive)
    if "beta1" in margins:
        return {
            "eq4_lower": _mean(d_fake < margins["beta1"]),
            "eq4_upper": _share(d_fake + margins["beta2"] > apart, negative),
            "eq5": pushed_away,
        }
    return {"eq9": _share(d_fake + alpha > apart, negative), "eq10": pushed_away}


def _share(active: NDArray[np.bool_], counted: NDArray[np.bool_]) -> float:
    return _mean(_row_means(active, counted))


def _row_means(values: NDArray[Any], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of each row's counted entries; rows without any are left out."""
    rows = counted.any(axis=1)
    return np.where(counted, values, 0.0)[rows].sum(axis=1) / counted[rows].sum(axis=1)


def _mean(values: NDArray[Any]) -> float:
    """Mean as a float; NaN without any value."""
    return float(np.mean(values)) if np.size(values) else float("nan")


# ---------------------------------------------------------------------------------------------- files
def recompute(path: str | PathLike[str]) -> dict[str, float]:
    """The diagnostics of one epoch from what the engine saved of it.

    Args:
        path: an epoch's .npz file in ``diagnostics/`` of a run folder.
    Returns:
        {"KIND/NAME": float}, the numbers of that epoch's line in diagnostics.csv.
    """
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return diagnose_arrays(arrays)


def diagnose_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """``diagnose`` for every kind in the arrays of an epoch's file.

    Args:
        arrays: real [n, dim], pids [n], kinds (names); and for each KIND: KIND/embeddings [m, dim], KIND/anchor [m],
            KIND/change [m], KIND/output_variety, KIND/change_variety, KIND/margins [1 or 3] (alpha, beta1, beta2),
            KIND/distance ('squared' or 'euclidean'). A kind of ``POSITIVES`` stands behind its hard negatives.
    Returns:
        {"KIND/NAME": float}
    """
    figures = {}
    kinds = arrays["kinds"].tolist()
    for place, name in enumerate(kinds):
        pixels = {key: arrays[f"{name}/{key}"] for key in ("change", "output_variety", "change_variety")}
        margins = dict(zip(("alpha", "beta1", "beta2"), arrays[f"{name}/margins"].tolist()))
        values = diagnose(
            arrays["real"],
            arrays["pids"],
            arrays[f"{name}/embeddings"],
            arrays[f"{name}/anchor"],
            pixels,
            margins,
            str(arrays[f"{name}/distance"]),
            _distances_of(arrays, kinds[place - 1]) if name in POSITIVES and place else None,
        )
        figures.update({f"{name}/{key}": value for key, value in values.items()})
    return figures


def _distances_of(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """d(x, G(x)) [m] of a kind."""
    real = np.asarray(arrays["real"], dtype=np.float64)[arrays[f"{name}/anchor"]]
    apart = ((np.asarray(arrays[f"{name}/embeddings"], dtype=np.float64) - real) ** 2).sum(axis=1)
    return apart if str(arrays[f"{name}/distance"]) == "squared" else np.sqrt(apart)
