"""ealn_plugin/search/judging.py: average precision and ranks by hand."""

import numpy as np
import pytest

from ealn_plugin.search import IndexWriter, Records, SearchIndex
from ealn_plugin.search.judging import judge

pytest.importorskip("lance")


def test_by_hand(tmp_path):
    """Five images at growing angles from the query; the nearest is junk, the second and the fourth are right."""
    angles = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    features = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    known = Records([f"/{n}.jpg" for n in range(5)], vehicles=["7", "8", "7", "8", "7"], cameras=list("abbcb"))
    with IndexWriter(tmp_path, 2, {}) as writer:
        writer.add([(known, features)])
        writer.finish()
    index, query = SearchIndex.open(tmp_path), np.array([[1, 0]], np.float32)
    one = Records(["/q.jpg"], vehicles=["7"], cameras=["a"])  # junk at 1, others 8, 7, 8, 7: right at places 2 and 4
    found = judge(index, one, query)
    assert (found["queries"], found["images"], found["hits"]) == (1, 5, 5)
    assert found["mAP"] == pytest.approx((1 / 2 + 2 / 4) / 2) and (found["rank1"], found["rank5"]) == (0, 1)
    assert judge(index, one, query, k=3)["mAP"] == pytest.approx(1 / 2 / 2)  # the other one is not found
    unknown = Records(["/q.jpg", "/r.jpg"], vehicles=["7", ""], cameras=["", "b"])  # no junk; no vehicle
    found = judge(index, unknown, np.repeat(query, 2, 0))
    assert found["queries"] == 1 and found["mAP"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3) and found["rank1"] == 1
    with pytest.raises(ValueError, match="no image of a query's vehicle from another camera"):
        judge(index, Records(["/q.jpg"], vehicles=["9"]), query)
