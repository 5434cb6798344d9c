"""ealn_plugin/benchmark/vectors.py: the same vectors every time, gathered around their vehicles."""

import numpy as np

from ealn_plugin.benchmark.vectors import ClusteredVectors


def test_the_vectors_are_the_same_every_time_and_gather_around_their_vehicles():
    data = ClusteredVectors(3000, 64)
    pieces, again = list(data.pieces()), list(ClusteredVectors(3000, 64).pieces())
    vectors, pids = np.concatenate([v for _, v in pieces]), np.concatenate([r.pids for r, _ in pieces])
    assert [len(v) for _, v in pieces] == [2048, 952] and len(set(pieces[1][0].paths)) == 952
    assert all((one == other).all() for (_, one), (_, other) in zip(pieces, again))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.ones(3000), atol=1e-5)
    queries, wanted = data.queries(30)
    assert (pids[(queries @ vectors.T).argmax(1)] == wanted).mean() > 0.9
    assert not np.isclose((queries @ vectors.T).max(), 1)  # new images, not those of the gallery
