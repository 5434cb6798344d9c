"""Write a trained network for deployment: ONNX, torch.export programs, safetensors, each checked against PyTorch.

ealn export --run log/ealn_synthetic
ealn export --model resnet50 --weights model.pth.tar --out log/deployed
ealn export --run log/ealn_synthetic --formats safetensors --card --push hf:OWNER/NAME
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import (
    Parser,
    add_imports,
    add_model_input,
    check_file,
    check_runs,
    complete_from_weights,
    import_own,
)
from ealn_plugin.runs import hub
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable, write_atomically
from ealn_plugin.system.messages import counted

_CALLS = 20


def build_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = Parser("export", __doc__)
    what = parser.add_argument_group("what to export")
    what.add_argument("--run", default="", metavar="DIR", help=f"a run folder of {command('train')}")
    what.add_argument("--model", default="", metavar="NAME", help="a torchreid model, such as resnet50")
    what.add_argument("--weights", default="", metavar="FILE", help=choices.WEIGHTS_HELP)
    add_model_input(what)
    parser.add_argument(
        "--out", default="", metavar="DIR", help="folder for the files (default: export/ in the run's folder)"
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=(*choices.EXPORT_FORMATS, choices.WEIGHTS_FORMAT),
        default=choices.EXPORT_FORMATS,
        help="onnx, and program: a .pt2 file of torch.export (default: both); safetensors: the embedding network's "
        "weights, which every command takes with --weights",
    )
    parser.add_argument(
        "--opset",
        type=int,
        metavar="N",
        help=f"of ONNX, {choices.OPSETS[0]} to {choices.OPSETS[1]} (default: the one that torch recommends)",
    )
    parser.add_argument(
        "--benchmark",
        action="store_true",
        help="also measure the latency of each file beside PyTorch's, which takes minutes",
    )
    parser.add_argument(
        "--calls", type=int, metavar="N", help="the same, with medians of so many calls (default of --benchmark: 20)"
    )
    _add_weights(parser.add_argument_group("the weights"))
    _add_card(parser.add_argument_group("handing it on"))
    parser.add_argument(
        "--int8",
        action="store_true",
        help="also embedding_int8.onnx: 8-bit integers, calibrated on the run's training images, kept where mAP on its "
        "test set falls by less than 0.5; takes two passes over the test set",
    )
    add_imports(parser)
    parser.add_argument("--json", default="", metavar="FILE", help="also write all figures as JSON")
    return parser


def _add_weights(group):
    group.add_argument(
        "--blend-with-imagenet",
        type=float,
        metavar="SHARE",
        help="SHARE of ImageNet's weights and the rest of the trained ones, 0 to 1: for images unlike the training's",
    )
    group.add_argument("--half", action="store_true", help="weights of 16 bits: half as large a file of safetensors")


def _add_card(group):
    group.add_argument("--card", action="store_true", help="also a model card, README.md, with the run's figures")
    group.add_argument(
        "--results",
        default="",
        metavar="FILE",
        help="results.json with the card's figures (default: the run's, unless its weights were blended)",
    )
    group.add_argument("--license", default="other", metavar="ID", help="of the weights, for the card (default: other)")
    group.add_argument(
        "--push",
        default="",
        metavar="hf:OWNER/NAME",
        help="also save the files in this repository of the Hugging Face Hub, or of the server that HF_ENDPOINT names",
    )


def check(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together; makes --out.

    Raises:
        ValueError, OSError, RuntimeError: with one sentence.
    """
    if bool(args.run) == bool(args.model or args.weights):
        raise ValueError("expected either --run DIR or --model NAME with --weights FILE; give one of them")
    if args.model and not args.weights:
        raise ValueError(f"--model is {args.model} without --weights, expected both; give the file of its weights too")
    if not args.run and not args.out:
        named = f"--model {args.model}" if args.model else f"--weights {args.weights}"
        raise ValueError(f"{named} has no folder of its own for the files; name one with --out DIR")
    if args.int8 and not (args.run and "onnx" in args.formats):
        raise ValueError(
            "--int8 needs the images and the ONNX file of a run, expected --run DIR and onnx among --formats; give them"
        )
    if args.opset is not None and not choices.OPSETS[0] <= args.opset <= choices.OPSETS[1]:
        raise ValueError(f"--opset is {args.opset}, expected {choices.OPSETS[0]} to {choices.OPSETS[1]}")
    if args.calls is not None and args.calls < 0:
        raise ValueError(f"--calls is {args.calls}, expected 0 or more")
    if args.blend_with_imagenet is not None and not 0 <= args.blend_with_imagenet <= 1:
        raise ValueError(f"--blend-with-imagenet is {args.blend_with_imagenet}, expected 0 to 1; correct it")
    if args.push:
        hub.parse(args.push, "--push")
        hub.check_library()
    if "onnx" in args.formats:
        check_extra("export", choices.EXPORT_PACKAGES, "ONNX files")
    if args.json:
        check_writable(args.json, "--json")
    check_runs([args.run] if args.run else [])
    check_file(args.weights, "--weights", "weights")
    check_file(args.results, "--results", "results, such as results.json of evaluate")
    complete_from_weights(args)


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


def write_files(run: Any, graphs: Any, args: argparse.Namespace, out: str, trained: str) -> Any:
    """Write and check every graph and the weights, and print a line for each file; returns a list of Exported."""
    from ealn_plugin import export
    from ealn_plugin.export.formats import BATCHES

    kinds = [kind for kind in args.formats if kind in choices.EXPORT_FORMATS]
    total = len(graphs) * len(kinds) + (choices.WEIGHTS_FORMAT in args.formats)
    print(
        f"writing {counted(total, 'file')}, each checked against PyTorch: seconds for a small network, minutes for a "
        "large one"
    )
    written = []
    for graph in graphs:
        written += export.export_graph(graph, out, kinds, args.opset) if kinds else []
    if choices.WEIGHTS_FORMAT in args.formats:
        written.append(export.export_weights(run, graphs[0], out, args.half, {"trained": trained}))
    for file in written:
        print(
            f"{os.path.basename(file.path):17} {file.size / 2**20:8.1f} MiB   largest difference to PyTorch "
            f"{file.difference:.1e} in batches of {', '.join(map(str, BATCHES))}"
        )
    return written


def prepare(run: Any, args: argparse.Namespace) -> None:
    """Do to the run's weights what the flags ask for."""
    from ealn_plugin.runs import weight_space

    if args.blend_with_imagenet is not None:
        weight_space.blend_with_imagenet(run, args.blend_with_imagenet)
    if args.half:
        weight_space.round_to_half(run.embedding)


def hand_on(run: Any, args: argparse.Namespace, out: str, files: list[str], trained: str) -> None:
    """Write the model card and push the files, as the flags ask for."""
    from ealn_plugin.export import card as model_card

    if args.card:
        recorded = os.path.join(os.path.dirname(run.source), "results.json")
        own = recorded if args.run and args.blend_with_imagenet is None and os.path.isfile(recorded) else ""
        found = args.results or own
        name = hub.parse(args.push, "--push").name if args.push else os.path.basename(os.path.abspath(args.run or out))
        results = model_card.results_for_card(found) if found else {}
        text = model_card.card(run, name, trained, results, files, args.license)
        write_atomically(os.path.join(out, model_card.FILE), text)
        files = [*files, model_card.FILE]
        print(
            f"{model_card.FILE:17} the model card"
            + ("" if results else "; without figures, as no --results were given")
        )
    if args.push:
        print(f"saved: {hub.push(out, files, args.push)}")


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
    from ealn_plugin.export.card import training_of
    from ealn_plugin.export.metadata import metadata_of

    run = load(args)
    out = args.out or os.path.join(args.run if os.path.isdir(args.run) else os.path.dirname(args.run), "export")
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise OSError(f"the output folder {out!r} cannot be used ({error}); choose another with --out") from error
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("ealn_plugin").setLevel(logging.INFO)
    prepare(run, args)
    graphs = export.graphs_of(run, metadata_of(run))
    trained = training_of(run, args.blend_with_imagenet)
    with logging_redirect_tqdm():
        written = write_files(run, graphs, args, out, trained)
        quantized = write_eight_bits(args, out) if args.int8 else {}
        graph_files = [file for file in written if file.kind in choices.EXPORT_FORMATS]
        calls = args.calls if args.calls is not None else _CALLS * args.benchmark
        latencies = export.measure_files(graphs, graph_files, calls) if calls else []
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
    hand_on(run, args, out, [os.path.basename(file.path) for file in written], trained)
    print(f"\nfiles: {out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input or a file that differs from PyTorch, with one sentence; 130 when interrupted."""
    args = build_parser().parse_args(arguments)
    return exit_code(lambda: run_export(args), "stopped; files that were checked are in --out")
