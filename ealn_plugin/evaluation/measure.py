"""Figures and CMC curves of several protocols, each ranked once."""

from dataclasses import dataclass

from tqdm import tqdm

from ealn_plugin.evaluation.protocols import check_protocols, evaluate_protocols

CURVE_RANKS = 50


"""Length of the CMC curves, torchreid's default max_rank."""


@dataclass(frozen=True)
class Measurement:
    """What one protocol says of one network.

    Attributes:
        metrics: {"mAP": float in [0, 1], "rank1": ..., "mINP": ...}, with "mAP_std" and so on for averages over draws.
        curve: CMC at ranks 1 ... CURVE_RANKS, tuple of floats in [0, 1].
        deviation: its standard deviation over the draws; empty for protocols without draws.
    """

    metrics: dict
    curve: tuple
    deviation: tuple = ()


def measure(features, names, ranks=(1, 5, 10), progress=True, **options):
    """Rank the features once per protocol.

    Args:
        features: Features. names: protocol names. ranks: the CMC ranks among the metrics, counted from 1.
        progress: show a progress bar.
        **options: as ``Protocol.evaluate``.
    Returns:
        {name: Measurement}; protocols that the features cannot support are left out with a warning in the log.
    Raises:
        ValueError: as ``evaluate_protocols``.
    """
    every = sorted({*(int(rank) for rank in ranks), *range(1, CURVE_RANKS + 1)})
    kept = {"mAP", "mINP", *(f"rank{int(rank)}" for rank in ranks)}
    measured = {}
    for name in tqdm(
        check_protocols(names),
        desc="ranking",
        unit="protocol",
        disable=not progress,
        leave=False,
        delay=1,
        dynamic_ncols=True,
    ):
        for metrics in evaluate_protocols(features, [name], ranks=every, **options).values():
            curve, deviation = (
                tuple(
                    metrics[f"rank{rank}{suffix}"]
                    for rank in range(1, CURVE_RANKS + 1)
                    if f"rank{rank}{suffix}" in metrics
                )
                for suffix in ("", "_std")
            )
            measured[name] = Measurement(
                {key: float(value) for key, value in metrics.items() if key.removesuffix("_std") in kept},
                curve,
                deviation,
            )
    return measured
