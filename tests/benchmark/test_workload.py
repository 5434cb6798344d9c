"""ealn_plugin/benchmark/workload.py"""

import pytest
import torch

from ealn_plugin.benchmark.workload import RandomImages
from ealn_plugin.data.viewpoints import View


def test_batches_are_those_of_an_identity_sampler_with_views_that_vary():
    data = RandomImages(8, 12, batch_size=6, num_instances=2, identities=5, batches=9)
    fronts = set()
    for batch in data.batches:
        assert batch["img"].shape == (6, 3, 8, 12) and batch["img"].dtype == torch.float32
        pids = batch["pid"].tolist()
        assert pids[::2] == pids[1::2] and len(set(pids)) == 3 and max(pids) < 5
        views = [data.views[path] for path in batch["impath"]]
        assert set(views) <= {View.FRONT, View.REAR}
        fronts.add(views.count(View.FRONT))
    assert len(fronts) > 1 and len(data.views) == 54
    again = RandomImages(8, 12, batch_size=6, num_instances=2, identities=5, batches=9)
    assert torch.equal(again.batches[-1]["img"], data.batches[-1]["img"])


def test_too_few_identities():
    with pytest.raises(ValueError, match="8 images holds 4 identities, but there are 3; give more with --identities"):
        RandomImages(8, 8, batch_size=8, num_instances=2, identities=3)
