"""ealn_plugin/benchmark/rerank.py: both methods are run on the same features and agree."""

from ealn_plugin.benchmark import rerank


def test_both_give_the_same_distances():
    result = rerank.measure_reranking("small", dim=8)
    assert list(result["methods"]) == ["ours", "torchreid"] and result["largest_difference"] < 1e-4
    assert result["times_faster"] > 0 and result["methods"]["ours"]["seconds"] > 0
    assert "times less processor time" in rerank.reranking_table(result)[-1]


def test_ours_alone():
    result = rerank.measure_reranking("small", dim=8, python=False)
    assert list(result["methods"]) == ["ours"] and "largest_difference" not in result
    assert len(rerank.reranking_table(result)) == 3
