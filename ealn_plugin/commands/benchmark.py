"""Measure the plugin against torchreid and against a plain implementation: one sub-command per subject.

ealn benchmark rank --json FILE
ealn benchmark train --json FILE [--config-file FILE] [KEY VALUE ...]
ealn benchmark data --json FILE
ealn benchmark search --vectors 1000000 --json FILE
ealn benchmark features --json FILE
ealn benchmark serve --index DIR --images DIR --json FILE
"""

import argparse
import importlib.util
import json
import sys
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.commands import choices
from ealn_plugin.commands.arguments import Parser, add_settings, not_negative, positive
from ealn_plugin.commands.search_network import check_index
from ealn_plugin.commands.serve import PACKAGES as SERVER_PACKAGES
from ealn_plugin.config import TRANSFORMS
from ealn_plugin.config.shipped import shipped_configs
from ealn_plugin.system.cli import exit_code
from ealn_plugin.system.entrances import command, register
from ealn_plugin.system.extras import check_extra
from ealn_plugin.system.files import check_writable, write_atomically

DEMO = "ealn_synthetic_grid.yaml"


def _add(commands: Any, name: str, **texts: str) -> argparse.ArgumentParser:
    """A sub-command, with the flag that all of them have."""
    parser = commands.add_parser(name, **texts)
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    return parser


def add_rank(commands: Any) -> None:
    """The sub-command ``rank``."""
    parser = _add(
        commands,
        "rank",
        help="torchreid's Python ranking, its compiled one if present, and ours",
        description="Time ranking alone, on given random distance matrices.",
    )
    parser.add_argument("--sizes", nargs="+", choices=choices.RANK_SIZES, default=["veri776", "vehicleid_large"])
    parser.add_argument("--repeats", type=positive, default=5, help="runs of the fast methods (default: 5)")
    parser.add_argument("--python-repeats", type=positive, default=1, help="runs of the Python ranking (default: 1)")
    parser.add_argument("--no-python", action="store_true", help="leave the Python ranking out: it takes minutes")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the random distances (default: 0)")
    parser.set_defaults(measure=measure_rank)


def add_rerank(commands: Any) -> None:
    """The sub-command ``rerank``."""
    parser = _add(
        commands,
        "rerank",
        help="torchreid's re-ranking and ours",
        description="Time k-reciprocal re-ranking of made-up features.",
    )
    parser.add_argument("--size", choices=choices.RANK_SIZES, default="veri776")
    parser.add_argument("--dim", type=positive, default=512, help="numbers of a feature (default: 512)")
    parser.add_argument("--no-python", action="store_true", help="leave torchreid's out: minutes and gigabytes")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the features (default: 0)")
    parser.set_defaults(measure=measure_rerank)


def measure_rerank(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``rerank``, and what makes a table of them."""
    register()
    from ealn_plugin.benchmark import rerank

    return rerank.measure_reranking(args.size, args.dim, not args.no_python, args.seed), rerank.reranking_table


def measure_rank(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``rank``, and what makes a table of them."""
    register()
    from ealn_plugin.benchmark import rank

    return rank.measure_ranking(
        args.sizes, args.repeats, args.python_repeats, not args.no_python, args.seed
    ), rank.rank_table


def add_train(commands: Any) -> None:
    """The sub-command ``train``."""
    parser = _add(
        commands,
        "train",
        help="the engine's training step and a plain one on the same networks",
        description="Time training steps on random images, the engine's and a plain implementation's, in turn. Without "
        "arguments the networks and sizes of the demo; no dataset is needed.",
    )
    parser.add_argument(
        "--config-file",
        default=str(shipped_configs().get(DEMO, DEMO)),
        help="YAML file of settings (default: the demo's)",
    )
    parser.add_argument("--rounds", type=positive, default=10, help="measured rounds of each (default: 10)")
    parser.add_argument("--warmup", type=positive, default=3, help="steps of each before (default: 3)")
    parser.add_argument("--steps", type=positive, help="steps per round (default: 1 on the CPU, 10 on CUDA)")
    parser.add_argument(
        "--scales",
        type=positive,
        nargs="+",
        default=[1],
        metavar="N",
        help="multiples of train.batch_size to measure, such as 1 2 4 (default: 1)",
    )
    parser.add_argument(
        "--identities",
        type=positive,
        help="width of the classifier (default: the rendered benchmark's vehicles, or VeRI-776's)",
    )
    add_settings(parser)
    parser.set_defaults(measure=measure_training)


def measure_training(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``train``; weights do not matter, so none are downloaded."""
    config = configuration.load_config(args.config_file, [*args.opts, "model.pretrained", "False"])
    register()
    from ealn_plugin.benchmark import train_step

    figures = train_step.measure_training(config, args.identities, args.rounds, args.warmup, args.steps, args.scales)
    return figures, train_step.training_table


def add_data(commands: Any) -> None:
    """The sub-command ``data``."""
    parser = _add(
        commands,
        "data",
        help="torchreid's loader, and ours without and with the image cache",
        description="Time loading alone: decoding, resizing and augmentation per core.",
    )
    parser.add_argument("--root", default="", help="data folder (default: render the demo's into a temporary one)")
    parser.add_argument(
        "-s", "--source", default="veri776", help="dataset whose training images are loaded, such as csv:my_cars.csv"
    )
    parser.add_argument("--height", type=positive, default=64)
    parser.add_argument("--width", type=positive, default=64)
    parser.add_argument("--transforms", nargs="*", choices=TRANSFORMS, default=["random_flip"])
    parser.add_argument("--batch-size", type=positive, default=32)
    parser.add_argument("--repeats", type=positive, default=5, help="epochs of each kind and size (default: 5)")
    parser.add_argument(
        "--workers",
        type=not_negative,
        default=2,
        help="data workers of the wall-clock measurement; 0: leave it out (default: 2)",
    )
    parser.add_argument("--seed", type=not_negative, default=0, help="of the augmentation (default: 0)")
    parser.set_defaults(measure=measure_data)


def measure_data(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``data``."""
    register()
    from ealn_plugin.benchmark import loader

    figures = loader.measure_loading(
        args.root,
        args.source,
        args.height,
        args.width,
        args.transforms,
        args.batch_size,
        args.repeats,
        args.workers,
        args.seed,
    )
    return figures, loader.loading_table


def add_search(commands: Any) -> None:
    """The sub-command ``search``."""
    parser = _add(
        commands,
        "search",
        help="a searchable gallery: building, opening and asking it",
        description="Build a gallery of random clustered vectors with one or several engines and time its answers.",
    )
    parser.add_argument("--vectors", type=positive, default=50_000, help="how many (default: 50000)")
    parser.add_argument("--dim", type=positive, default=1024, help="numbers of a vector (default: 1024)")
    parser.add_argument("--engines", nargs="+", choices=choices.SEARCH_ENGINES, default=["lance"])
    parser.add_argument("--queries", type=positive, default=200, help="asked one by one (default: 200)")
    parser.add_argument(
        "--folder", metavar="DIR", help="where the galleries stay, and a call goes on (default: nowhere)"
    )
    parser.add_argument("--faults", action="store_true", help="also kill a process that adds, and flip a byte")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the vectors (default: 0)")
    parser.set_defaults(measure=measure_search)


def measure_search(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``search``."""
    for name in dict.fromkeys(args.engines):
        module, packages = choices.ENGINE_PACKAGES[name]
        if importlib.util.find_spec(module) is None:
            raise RuntimeError(
                f"the engine {name} is not installed; pip install -c constraints.txt {packages}, or leave it out of "
                "--engines"
            )
    register()
    from ealn_plugin.benchmark import search

    figures = search.measure_search(
        args.vectors, args.dim, args.engines, args.queries, args.folder, args.seed, args.faults
    )
    return figures, search.search_table


def add_features(commands: Any) -> None:
    """The sub-command ``features``."""
    parser = _add(
        commands,
        "features",
        help="features of image files by PyTorch and by an exported ONNX file",
        description="Extract the features of made-up image files with a network of random weights, both in turn.",
    )
    parser.add_argument("--model", default="resnet50", metavar="NAME", help="a torchreid model (default: resnet50)")
    parser.add_argument("--height", type=positive, default=224)
    parser.add_argument("--width", type=positive, default=224)
    parser.add_argument("--images", type=positive, default=128, help="files (default: 128)")
    parser.add_argument("--rounds", type=positive, default=3, help="of each; the median counts (default: 3)")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the weights and images (default: 0)")
    parser.set_defaults(measure=measure_feature_files)


def measure_feature_files(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``features``."""
    check_extra("export", choices.EXPORT_PACKAGES, "ONNX files")
    register()
    from ealn_plugin.benchmark import features

    figures = features.measure_features(args.model, (args.height, args.width), args.images, args.rounds, args.seed)
    return figures, features.features_table


def add_serve(commands: Any) -> None:
    """The sub-command ``serve``."""
    parser = _add(
        commands,
        "serve",
        help="a server of an index under load",
        description="Start a server of an index and have many clients ask it without a pause.",
    )
    parser.add_argument("--index", required=True, metavar="DIR", help="folder of the index")
    parser.add_argument("--images", required=True, metavar="DIR", help="folder of images to upload")
    parser.add_argument("--clients", type=positive, default=20, help="at once (default: 20)")
    parser.add_argument("--seconds", type=positive, default=60, help="for which they ask (default: 60)")
    parser.set_defaults(measure=measure_serving)


def measure_serving(args: argparse.Namespace) -> Any:
    """The figures of the sub-command ``serve``."""
    check_extra("serve", SERVER_PACKAGES, "the page and its interface")
    check_index(args.index)
    register()
    from ealn_plugin.benchmark import serving
    from ealn_plugin.data.folders import images_of_folder

    folder = images_of_folder(args.images)
    images = [folder.path(image) for image in folder.views]
    return serving.measure_serving(args.index, images, args.clients, args.seconds), serving.serving_table


def run(args: argparse.Namespace, given: Any) -> None:
    """Measure, print and write; a path that cannot be written is refused first, since figures may take minutes."""
    if args.json:
        check_writable(args.json, "--json")
    figures, table = args.measure(args)
    result = {"command": " ".join([command("benchmark"), *given]), **figures}
    print("\n".join(table(result)))
    if args.json:
        write_atomically(args.json, json.dumps(result, indent=2) + "\n")


def main(argv: Any = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = Parser("benchmark", __doc__, settings=True)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    add_rank(commands)
    add_rerank(commands)
    add_train(commands)
    add_data(commands)
    add_search(commands)
    add_features(commands)
    add_serve(commands)
    args = parser.parse_with_settings(argv)
    return exit_code(lambda: run(args, argv), "stopped; nothing was written, run the same command to start again")
