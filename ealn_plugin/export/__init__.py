"""Trained networks as files for deployment: ONNX and torch.export, checked against PyTorch, with their latency."""

from ealn_plugin.export.formats import EXTRA, FORMATS, PACKAGES, TOLERANCE, ExportMismatchError, export_graph
from ealn_plugin.export.graphs import Graph, graphs_of
from ealn_plugin.export.latency import latency_table, measure_files, measure_latencies
from ealn_plugin.export.weights_file import export_weights

__all__ = [
    "EXTRA",
    "FORMATS",
    "PACKAGES",
    "TOLERANCE",
    "ExportMismatchError",
    "Graph",
    "export_graph",
    "export_weights",
    "graphs_of",
    "latency_table",
    "measure_files",
    "measure_latencies",
]
