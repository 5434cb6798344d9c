"""The weights of the embedding network as a file of safetensors that says which network it is."""

import os
from collections.abc import Mapping

import torch

from ealn_plugin.export.formats import Exported, ExportMismatchError, write_checked
from ealn_plugin.export.graphs import Graph
from ealn_plugin.runs import loading
from ealn_plugin.runs.described_file import SUFFIX, write_tensors
from ealn_plugin.runs.hub import WEIGHTS
from ealn_plugin.runs.weight_space import is_halved
from ealn_plugin.runs.weights import CLASSIFIER

FORMAT = SUFFIX.removeprefix(".")


def export_weights(
    run: loading.LoadedRun, graph: Graph, folder: str, half: bool = False, texts: Mapping[str, str] | None = None
) -> Exported:
    """Write model.safetensors, without classifier, and check what ``load_run`` makes of it against the network.

    Args:
        run: ``LoadedRun``. graph: its graph 'embedding'. folder: exists.
        half: kernels and matrices with 16 bits; ``round_to_half`` has been called.
        texts: {key: text} for the header, beside what describes the network.
    Returns:
        Exported
    Raises:
        ExportMismatchError: the file does not give the network's features; none is left. OSError: it cannot be written.
    """
    tensors = {
        name: value.half() if half and is_halved(value) else value
        for name, value in run.embedding.backbone.state_dict().items()
        if not name.startswith(CLASSIFIER)
    }

    def read(path: str) -> torch.nn.Module:
        described = loading.described_network(path)
        try:
            return loading.load_model(**described, weights=path).embedding
        except ValueError as error:
            raise ExportMismatchError(
                f"{WEIGHTS} cannot name this network, which {described['model']} alone does not give ({error}); export "
                "it as onnx, or share the checkpoint that it was loaded from"
            ) from error

    return write_checked(
        graph,
        FORMAT,
        os.path.join(folder, WEIGHTS),
        lambda path: write_tensors(path, tensors, {**graph.metadata, **(texts or {})}),
        lambda path: torch.no_grad()(read(path)),
    )
