"""ealn_plugin/evaluation/measure.py: the figures of each protocol and its CMC curve, from one ranking."""

import numpy as np
import pytest

from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.measure import CURVE_RANKS, measure
from ealn_plugin.evaluation.protocols import PROTOCOLS, check_protocols


def random_features(images=80, views=(0, 1)):
    rng = np.random.default_rng(1)
    return Features(
        rng.normal(size=(images, 4)),
        rng.integers(0, 8, images),
        rng.integers(0, 3, images),
        rng.choice(views, images),
        np.arange(images) % 4 == 0,
    )


@pytest.mark.parametrize(
    "options", [{}, {"dist_metric": "cosine"}, {"average_precision": "trapezoid"}, {"rerank": True}]
)
def test_metrics_are_those_of_the_protocol(options):
    features, names = random_features(), ("image", "vehicleid_cmc", "cross_view")
    measured = measure(features, names, ranks=(1, 7), progress=False, **options)
    assert tuple(measured) == names
    for name in names:
        assert measured[name].metrics == PROTOCOLS[name].evaluate(features, ranks=(1, 7), **options)


def test_curves_are_the_cmc():
    features = random_features()
    measured = measure(features, ("image", "vehicleid_map"), progress=False)
    expected = PROTOCOLS["image"].rank(features)[0].cmc(CURVE_RANKS)
    assert measured["image"].curve == tuple(expected) and measured["image"].deviation == ()
    draws = np.array([ranks.cmc(CURVE_RANKS) for ranks in PROTOCOLS["vehicleid_map"].rank(features)])
    np.testing.assert_allclose(measured["vehicleid_map"].curve, draws.mean(axis=0))
    np.testing.assert_allclose(measured["vehicleid_map"].deviation, draws.std(axis=0))


def test_ranks_beyond_the_curve():
    measured = measure(random_features(), ("image",), ranks=(1, 60), progress=False)["image"]
    assert list(measured.metrics) == ["mAP", "rank1", "rank60", "mINP"] and len(measured.curve) == CURVE_RANKS


def test_what_cannot_be_run_is_left_out_and_what_does_not_exist_is_refused(caplog):
    assert list(measure(random_features(views=(-1,)), ("cross_view", "image"), progress=False)) == ["image"]
    assert "no query image has a view label" in caplog.text
    with pytest.raises(ValueError, match="'imag' is not a protocol, expected some of image, veri_image"):
        check_protocols(["image", "imag"])
