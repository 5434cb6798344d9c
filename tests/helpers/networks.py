"""Networks to export, small and without training."""

import torch

from ealn_plugin import config as configuration
from ealn_plugin.engine.pixels import PixelRange
from ealn_plugin.export import export_graph, graphs_of
from ealn_plugin.export.metadata import metadata_of
from ealn_plugin.models import EmbeddingNetwork
from ealn_plugin.runs.loading import LoadedRun, load_run
from tests.helpers.standins import TinyBackbone, small_schemes


def make_run(names=("view",), backbone=None, size=(32, 32), residual=False, fusion="by_view"):
    """A LoadedRun with networks as they are initialised; generators that change much, as untrained ones do."""
    torch.manual_seed(0)
    config = configuration.load_config(
        "",
        ["data.height", size[0], "data.width", size[1], "ealn.fusion", fusion, "ealn.scheme", "_".join(names) or "en"],
    )
    backbone = backbone or TinyBackbone(3)
    return LoadedRun(
        config,
        EmbeddingNetwork(backbone),
        small_schemes(names, residual=residual),
        PixelRange(config.data.norm_mean, config.data.norm_std),
        torch.device("cpu"),
        "weights",
    )


def graphs(run):
    """{name: Graph} of a run."""
    return {graph.name: graph for graph in graphs_of(run, metadata_of(run))}


def export_run(run_folder, folder):
    """Write the ONNX files of a run folder; returns ``folder``."""
    run = load_run(run_folder)
    for graph in graphs_of(run, metadata_of(run)):
        export_graph(graph, str(folder), ["onnx"])
    return folder
