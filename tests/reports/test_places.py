"""ealn_plugin/reports/places.py: what a test set knows of where and when, and what it lacks."""

import numpy as np
import pytest

from ealn_plugin.data import VeRi776
from ealn_plugin.evaluation.features import Features
from ealn_plugin.reports.places import where_and_when_of
from ealn_plugin.reports.subjects import TestSet


@pytest.fixture(scope="module", name="test_set")
def rendered_test_set(rendered_root):
    data = VeRi776(root=str(rendered_root), verbose=False)
    items = [*data.query, *data.gallery]
    paths, pids, cameras = zip(*(item[:3] for item in items))
    embeddings = np.random.default_rng(0).normal(size=(len(items), 4))
    is_query = np.arange(len(items)) < len(data.query)
    features = Features(embeddings, np.array(pids), np.array(cameras), np.full(len(items), -1), is_query, list(paths))
    return TestSet("veri776", features, ("veri_image",), data.dataset_dir, tuple(data.train))


def test_both_forms(test_set):
    distance = where_and_when_of(test_set, "distance", 0.5)
    assert distance.plausibility.form == "distance" and distance.plausibility.longest == np.ptp(distance.times)
    assert np.isfinite(distance.times).all() and (distance.cameras == test_set.features.camids).all()
    fitted = where_and_when_of(test_set, "transitions", 0.2)
    assert fitted.weight == 0.2 and fitted.plausibility.own[-1, -1][0] < fitted.plausibility.any[-1, -1][0]


def test_what_is_not_known(test_set, caplog, tmp_path):
    features = test_set.features
    unknown = Features(features.embeddings, features.pids, features.camids, features.views, features.is_query)
    assert where_and_when_of(TestSet("a", unknown, ()), "distance", 1) is None and "no image has a time" in caplog.text
    assert where_and_when_of(TestSet("b", features, (), str(tmp_path)), "distance", 1) is None
    assert "the distances between its cameras are not known" in caplog.text
    with pytest.raises(ValueError, match="b: no vehicle of the training images passes two cameras"):
        where_and_when_of(TestSet("b", features, (), str(tmp_path)), "transitions", 1)
