"""Writing one graph as ONNX or as a torch.export program, and checking the file against PyTorch before it gets its
name."""

import contextlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ealn_plugin.export.checks import largest_difference, sample_inputs
from ealn_plugin.export.graphs import Graph
from ealn_plugin.system.files import replacing

log = logging.getLogger(__name__)

EXTRA, PACKAGES = "export", ("onnx", "onnxscript", "onnxruntime")
FORMATS = {"onnx": ".onnx", "program": ".pt2"}
TOLERANCE = 1e-4
"""Features have length 1: two features further apart than this in one number are not of one network."""
BATCHES = (1, 2, 5)
OPSETS = (18, 23)
"""The opsets that the exporter of torch 2.13 can write. The default is its own, 20."""
_LARGEST = 2**31 - 1  # bytes of one protobuf message


class ExportMismatchError(RuntimeError):
    """A file does not compute what PyTorch computes; the message says by how much."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and checked.

    Attributes:
        graph, kind: names of the graph and of the format. path: of the file. size: in bytes.
        difference: the largest to PyTorch. run: function of the graph's input tensors, as the file computes it.
    """

    graph: str
    kind: str
    path: str
    size: int
    difference: float
    run: object


def export_graph(
    graph: Graph,
    folder: str,
    kinds: Sequence[str] = tuple(FORMATS),
    opset: int | None = None,
    threads: int | None = None,
) -> list[Exported]:
    """Write a graph in one or both formats.

    Args:
        graph: Graph. folder: exists. kinds: some of ``FORMATS``. opset: of ONNX; None: the exporter's own.
        threads: of onnxruntime; None: as many as PyTorch has.
    Returns:
        list of Exported
    Raises:
        ExportMismatchError: a file differs from PyTorch by more than ``TOLERANCE``; none is left under its name.
        ValueError, RuntimeError: the network cannot be exported. OSError: a file cannot be written.
    """
    program = _trace(graph)
    threads = threads or torch.get_num_threads()
    writers = {
        "onnx": lambda path: _write_onnx(program, graph, path, opset),
        "program": lambda path: _write_program(program, graph, path),
    }
    readers = {"onnx": lambda path: open_onnx(path, graph.inputs, threads), "program": open_program}
    return [
        write_checked(graph, kind, os.path.join(folder, graph.name + FORMATS[kind]), writers[kind], readers[kind])
        for kind in kinds
    ]


def write_checked(
    graph: Graph, kind: str, path: str, write: Callable[[str], None], read: Callable[[str], Callable[..., torch.Tensor]]
) -> Exported:
    """Write a file, and give it its name only if it computes what the graph's ``reference`` does.

    Args:
        graph, kind, path: see ``Exported``. write: function of a path. read: function of a path to one of the graph's
            input tensors.
    Raises:
        ExportMismatchError: it does not; no file is left under the name.
    """
    name = os.path.basename(path)
    log.info("writing %s", name)
    with _nothing_left_after_a_mismatch(path), replacing(path) as temporary:
        write(temporary)
        run = read(temporary)
        difference = max(
            largest_difference(graph.reference, run, inputs)
            for batch in BATCHES
            for inputs in sample_inputs(graph, batch)
        )
        if not difference <= TOLERANCE:
            raise ExportMismatchError(
                f"{name} differs from PyTorch by {difference:.2g}, expected at most {TOLERANCE:g}: nothing was left "
                "under that name; "
                + ("try another --opset, or the other format" if kind == "onnx" else "try the other format")
            )
        size = os.path.getsize(temporary)
    return Exported(graph.name, kind, path, size, difference, run)


@contextlib.contextmanager
def _nothing_left_after_a_mismatch(path: str) -> Iterator[None]:
    """An older file of the name is removed too: it must not be taken for the result of an export that failed."""
    try:
        yield
    except ExportMismatchError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


# ---------------------------------------------------------------------------------------------- writing
def _trace(graph: Graph) -> Any:
    """The torch.export program of a graph for any number of images."""
    batch = torch.export.Dim("batch", min=1)
    inputs = sample_inputs(graph, 2)[0]
    try:
        with torch.no_grad():
            program = torch.export.export(graph.module, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))
    except Exception as error:  # whatever a model raises that torch.export cannot follow
        raise _cannot(graph, "torch.export", error) from error
    _forget_paths(program)
    return program


def _forget_paths(program: Any) -> None:
    """Take out of a program where on this machine each line of code lies that it came from."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _cannot(graph: Graph, tool: str, error: Exception) -> ValueError:
    reason = str(error).strip().partition("\n")[0] or "no message"
    return ValueError(
        f"the graph {graph.name!r} cannot be exported by {tool} ({type(error).__name__}: {reason}); "
        "choose a model without branches that depend on the images"
    )


def _write_program(program: Any, graph: Graph, path: str) -> None:
    content = io.BytesIO()  # torch's own writer of files takes the whole process down when the disk is full
    torch.export.save(program, content, extra_files={"metadata.json": json.dumps(graph.metadata, indent=1)})
    with open(path, "wb") as file:
        file.write(content.getbuffer())


def _write_onnx(program: Any, graph: Graph, path: str, opset: int | None) -> None:
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own making, about its own future
            model = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(graph.inputs),
                verbose=False,
                output_names=[graph.output],
                opset_version=opset,
            ).model_proto
    except Exception as error:  # as in _trace
        raise _cannot(graph, "torch.onnx", error) from error
    if model.ByteSize() > _LARGEST:
        raise ValueError(
            f"the graph {graph.name!r} has {model.ByteSize() / 2**30:.1f} GiB, but an ONNX file holds at "
            "most 2; export it as a torch.export program with --formats program"
        )
    _name_batch(model)
    for node in model.graph.node:
        del node.metadata_props[:]  # how the exporter came to it, half of the file of a small network
    onnx.helper.set_model_props(model, graph.metadata)
    model.producer_name, model.doc_string = "ealn_plugin", f"{graph.name}: {graph.metadata['preprocessing']}"
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def _name_batch(model: Any) -> None:
    """Call the free first axis of all tensors 'batch'; the exporter has a running number for it."""
    old = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param == old:
                axis.dim_param = "batch"


# ---------------------------------------------------------------------------------------------- running
def open_onnx(path: str, inputs: Sequence[str], threads: int | None) -> Callable[..., torch.Tensor]:
    """Function of tensors to the tensor that onnxruntime computes from an ONNX file on the CPU.

    Args:
        inputs: names of the file's inputs, in the order of the tensors. threads: to use.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        feed = {name: tensor.numpy() for name, tensor in zip(inputs, tensors)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def open_program(path: str) -> Callable[..., torch.Tensor]:
    """Function of tensors to the tensor that the torch.export program of a file computes."""
    module = torch.export.load(path).module()

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return module(*tensors)

    return run
