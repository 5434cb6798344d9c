import numpy as np
import pytest
import torch

from ealn_plugin import toolkit
from ealn_plugin.evaluation.distances import BlockDistances, check_features, check_metric


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("gallery", [7, 5000])
def test_blocks_are_rows_of_torchreids_matrix(metric, gallery):
    generator = torch.Generator().manual_seed(0)
    queries, entries = torch.randn(9, 16, generator=generator), torch.randn(gallery, 16, generator=generator)
    expected = toolkit.distance_matrix(queries, entries, metric)
    distances = BlockDistances(entries, metric, torch.device("cpu"))
    torch.testing.assert_close(distances(queries), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(distances(queries[4:6]), expected[4:6], rtol=0, atol=1e-5)


def test_features_share_memory_and_become_floats():
    array = np.ones((2, 3), dtype=np.float32)
    query, gallery = check_features(array, np.ones((4, 3), dtype=np.int64))
    assert query.data_ptr() == array.ctypes.data
    assert gallery.dtype == torch.float32


def test_half_precision_is_raised():
    assert check_features(torch.ones(1, 2).half(), torch.ones(1, 2))[0].dtype == torch.float32


def test_unknown_metric():
    assert check_metric("cosine") == "cosine"
    with pytest.raises(ValueError, match="'manhattan', expected one of"):
        check_metric("manhattan")
