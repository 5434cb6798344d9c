"""Train and test EALN: ealn train --config-file ealn_veri.yaml [KEY VALUE ...]

On N devices: torchrun --nproc_per_node N tools/train_ealn.py, or torchrun --nproc_per_node N -m ealn_cli train, and
the same arguments.
"""

import argparse
import logging
import os
from collections.abc import Sequence
from typing import Any

from ealn_plugin import config as configuration
from ealn_plugin.commands.arguments import Parser, add_imports, add_own_data, add_settings, datasets_named
from ealn_plugin.engine.checkpoints.names import LAST
from ealn_plugin.runs import folder
from ealn_plugin.system.cli import exit_code, start_log, start_screen
from ealn_plugin.system.entrances import register, train_command

log = logging.getLogger("train_ealn")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags of torchreid's scripts/main.py."""
    parser = Parser(
        "train", "Train and test vehicle re-identification with embedding adversarial learning.", settings=True
    )
    parser.add_argument("--config-file", default="", help="YAML file of settings, or a name of the plugin's own")
    parser.add_argument("-s", "--sources", nargs="+", help="training datasets, such as veri776")
    parser.add_argument("-t", "--targets", nargs="+", help="test datasets")
    add_own_data(parser)
    parser.add_argument("--transforms", nargs="+", help="data augmentation, such as random_flip random_erase")
    parser.add_argument("--root", default="", help="folder that holds the dataset folders")
    add_imports(parser)
    add_settings(parser)
    return parser.parse_with_settings(arguments)


def configuration_of(args: argparse.Namespace) -> Any:
    """The configuration that the arguments ask for.

    Raises:
        ValueError, OSError: with one sentence.
    """
    return configuration.load_config(
        args.config_file,
        args.opts,
        training=True,
        root=args.root,
        sources=datasets_named(args.sources, args.data, "-s"),
        targets=datasets_named(args.targets, args.data, "-t"),
        imports=args.imports,
        transforms=args.transforms,
    )


def run(args: argparse.Namespace, started: Any = None) -> None:
    """Train, test and show the results, alone or as one of torchrun's processes; ``started`` as ``runs.train``'s."""
    # torchrun's processes have to meet first: of several with the same error only one tells it.
    config = configuration_of(args) if os.environ.get("WORLD_SIZE", "1") == "1" else None
    register()
    from ealn_plugin.distributed import world as distributed

    with distributed.joined() as world:
        _run(config or configuration_of(args), world, started)


def _run(config, world, started):
    from ealn_plugin.runs import beside as comparing
    from ealn_plugin.runs import train as training

    if world.is_main:
        start_log(config.data.save_dir, "test.log" if config.test.evaluate else "train.log")
    else:
        start_screen(logging.ERROR)
    results, own_results = training.train(config, world=world, started=started)
    beside = {} if config.test.evaluate else comparing.train_beside(config, world)
    rendered = folder.rendered_datasets(config.data.save_dir)
    log.info(
        "\n%s\n\nresults: %s, primary %s",
        "\n".join([training.table(results, own_results, beside, rendered), *comparing.gains(results, beside)]),
        os.path.join(config.data.save_dir, folder.RESULTS),
        results["primary"],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = parse_arguments(arguments)
    begun = []
    return exit_code(lambda: run(args, begun.append), "stopped", lambda error: how_to_go_on(begun, error))


def how_to_go_on(begun: Any, error: Any) -> Any:
    """The command that goes on with a run that ``error`` has ended, or '' where nothing is saved.

    Args:
        begun: [configuration of the run], or [] where training had not begun.
    """
    if not begun or not os.path.exists(os.path.join(begun[0].data.save_dir, LAST)):
        return ""
    from ealn_plugin.engine.checkpoints.state import NonFiniteNetworkError
    from ealn_plugin.engine.monitoring.monitor import NonFiniteLossError

    config = begun[0]
    options = ["model.resume", config.data.save_dir]
    if isinstance(error, NonFiniteLossError | NonFiniteNetworkError):  # at the same rates it would end there again
        options += ["train.lr", f"{config.train.lr / 2:g}", "ealn.gan_lr", f"{config.ealn.gan_lr / 2:g}"]
    return f"; go on with: {train_command(*options)}"
