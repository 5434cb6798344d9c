"""Write a trained network for deployment: ONNX files and torch.export programs, each checked against PyTorch.

ealn export --run log/ealn_synthetic
ealn export --model resnet50 --weights model.pth.tar --out log/deployed
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_imports, add_model_input, check_file, check_runs, import_own
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable, write_atomically


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("export", __doc__)
    what = parser.add_argument_group("what to export")
    what.add_argument("--run", default="", metavar="DIR", help=f"a run folder of {command('train')}")
    what.add_argument("--model", default="", metavar="NAME", help="a torchreid model, such as resnet50")
    what.add_argument("--weights", default="", metavar="FILE", help="its weights: a torchreid checkpoint or state dict")
    add_model_input(what)
    parser.add_argument(
        "--out", default="", metavar="DIR", help="folder for the files (default: export/ in the run's folder)"
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=choices.EXPORT_FORMATS,
        default=choices.EXPORT_FORMATS,
        help="onnx, and program: a .pt2 file of torch.export (default: both)",
    )
    parser.add_argument(
        "--opset",
        type=int,
        metavar="N",
        help=f"of ONNX, {choices.OPSETS[0]} to {choices.OPSETS[1]} (default: the one that torch recommends)",
    )
    parser.add_argument(
        "--calls", type=int, default=20, metavar="N", help="calls to take the median latency of (default: 20; 0: none)"
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also embedding_int8.onnx: 8-bit integers, calibrated on the run's training images, kept where mAP on its "
        "test set falls by less than 0.5; takes two passes over the test set",
    )
    add_imports(parser)
    parser.add_argument("--json", default="", metavar="FILE", help="also write all figures as JSON")
    return parser


def check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together; makes --out.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    if bool(args.run) == bool(args.model):
        raise ValueError("expected either --run DIR or --model NAME with --weights FILE; give one of them")
    if bool(args.model) != bool(args.weights):
        raise ValueError("--model and --weights go together, expected both or neither; give the one that is missing")
    if args.model and not args.out:
        raise ValueError(f"--model {args.model} has no folder of its own for the files; name one with --out DIR")
    if args.int8 and not (args.run and "onnx" in args.formats):
        raise ValueError(
            "--int8 needs the images and the ONNX file of a run, expected --run DIR and onnx among --formats; give them"
        )
    if args.opset is not None and not choices.OPSETS[0] <= args.opset <= choices.OPSETS[1]:
        raise ValueError(f"--opset is {args.opset}, expected {choices.OPSETS[0]} to {choices.OPSETS[1]}")
    if args.calls < 0:
        raise ValueError(f"--calls is {args.calls}, expected 0 or more")
    if "onnx" in args.formats:
        check_extra("export", choices.EXPORT_PACKAGES, "ONNX files")
    if args.json:
        check_writable(args.json, "--json")
    check_runs([args.run] if args.run else [])
    check_file(args.weights, "--weights", "weights")


def load(args: argparse.Namespace) -> Any:
    """The LoadedRun that the flags name, on the CPU.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    from ealn_plugin.runs import loading

    if args.run:
        return loading.load_run(args.run)
    return loading.load_model(
        args.model, args.weights, args.height, args.width, args.norm_mean, args.norm_std, flag="--weights"
    )


def write_files(graphs: Any, args: argparse.Namespace, out: str) -> Any:
    """Write and check every graph, and print a line for each file; returns a list of Exported."""
    from ealn_plugin import export
    from ealn_plugin.export.formats import BATCHES

    written = []
    for graph in graphs:
        written += export.export_graph(graph, out, args.formats, args.opset)
    for file in written:
        print(
            f"{os.path.basename(file.path):15} {file.size / 2**20:8.1f} MiB   largest difference to PyTorch "
            f"{file.difference:.1e} in batches of {', '.join(map(str, BATCHES))}"
        )
    return written


def write_eight_bits(args: argparse.Namespace, out: str) -> dict[str, Any]:
    """Write and judge the file of 8-bit integers, print a line for it, and return its figures for --json."""
    from ealn_plugin.reports.quantized import quantize_run

    made = quantize_run(args.run, os.path.join(out, "embedding.onnx"), os.path.join(out, "embedding_int8.onnx"))
    name = os.path.basename(made.path)
    print(
        f"{name:15} {made.size / 2**20:4.1f} MiB   mAP {100 * made.after:.2f} against {100 * made.before:.2f} on "
        f"{made.measured}"
    )
    return {
        "int8": {"file": name, "bytes": made.size, "measured": made.measured, "mAP": made.after, "float": made.before}
    }


def run_export(args: argparse.Namespace) -> None:
    """Export, check, measure and print.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    check(args)
    register()
    import_own(args)
    import torch
    from tqdm.contrib.logging import logging_redirect_tqdm

    from ealn_plugin import export
    from ealn_plugin.export.metadata import metadata_of

    run = load(args)
    out = args.out or os.path.join(args.run if os.path.isdir(args.run) else os.path.dirname(args.run), "export")
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise OSError(f"the output folder {out!r} cannot be used ({error}); choose another with --out") from error
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("ealn_plugin").setLevel(logging.INFO)
    graphs = export.graphs_of(run, metadata_of(run))
    with logging_redirect_tqdm():
        written = write_files(graphs, args, out)
        quantized = write_eight_bits(args, out) if args.int8 else {}
        latencies = export.measure_files(graphs, written, args.calls) if args.calls else []
    if latencies:
        print(f"\n{export.latency_table(latencies)}")
    if args.json:
        files = [
            {"file": os.path.basename(file.path), "bytes": file.size, "largest_difference": file.difference}
            for file in written
        ]
        write_atomically(
            args.json,
            json.dumps(
                {"threads": torch.get_num_threads(), "files": files, "latency": latencies, **quantized}, indent=1
            )
            + "\n",
        )
    print(f"\nfiles: {out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input or a file that differs from PyTorch, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: run_export(args), "stopped; files that were checked are in --out")
