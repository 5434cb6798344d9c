"""ealn_plugin/export/graphs.py: the fused extractor without branches is the engine's test phase."""

import pytest
import torch

from ealn_plugin.export.checks import sample_inputs
from tests.helpers.networks import graphs, make_run


@pytest.mark.parametrize("fusion", ["by_view", "own_first"])
@pytest.mark.parametrize("scheme", ["view", "cyclegan", "stargan", "xvgan"])
def test_the_fused_graph_is_the_test_phase(scheme, fusion):
    run = make_run(("hard", scheme) if scheme == "view" else (scheme,), fusion=fusion)
    graph = graphs(run)["fused"]
    images, views = sample_inputs(graph, 8)[0]
    assert not [name for name, _ in graph.module.named_parameters() if "discriminators" in name or "classifier" in name]
    own, expected = run.extraction().batch(images, views)
    with torch.no_grad():
        found = graph.module(images, views)
    assert found.shape == (8, graph.dim) == (8, 16)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (expected[:, :8] - expected[:, 8:]).abs().max() > 1e-3  # the generated half is another
    torch.testing.assert_close(graphs(run)["embedding"].reference(images), own, rtol=0, atol=0)


def test_without_other_views_there_is_one_graph():
    assert list(graphs(make_run(("hard",)))) == ["embedding"] == list(graphs(make_run(())))


def test_a_model_of_several_branches_is_refused():
    class Several(torch.nn.Module):
        def forward(self, images):
            return [images.mean((2, 3))] * 2

    with pytest.raises(ValueError, match="expected one tensor"):
        graphs(make_run((), Several()))
