"""Train and test EALN: python tools/train_ealn.py --config-file configs/ealn_veri.yaml [KEY VALUE ...]

On N devices: torchrun --nproc_per_node N tools/train_ealn.py and the same arguments.
"""

import argparse
import logging
import os
import sys

from ealn_plugin import config as configuration
from ealn_plugin.distributed import world as distributed
from ealn_plugin.runs import folder
from ealn_plugin.runs import train as training
from ealn_plugin.system.cli import exit_code, start_log, start_screen

log = logging.getLogger("train_ealn")


def parse_arguments(arguments=None):
    """The flags of torchreid's scripts/main.py."""
    parser = argparse.ArgumentParser(
        description="Train and test vehicle re-identification with embedding adversarial learning."
    )
    parser.add_argument("--config-file", default="", help="YAML file of settings, see configs/")
    parser.add_argument("-s", "--sources", nargs="+", help="training datasets, such as veri776")
    parser.add_argument("-t", "--targets", nargs="+", help="test datasets")
    parser.add_argument("--transforms", nargs="+", help="data augmentation, such as random_flip random_erase")
    parser.add_argument("--root", default="", help="folder that holds the dataset folders")
    parser.add_argument(
        "opts", nargs="*", metavar="KEY VALUE", help="settings by name, such as ealn.scheme hard train.max_epoch 20"
    )
    flags, options = configuration.split_arguments(sys.argv[1:] if arguments is None else arguments)
    args = parser.parse_args(flags)
    args.opts += options
    return args


def run(args):
    """Train, test and show the results, alone or as one of torchrun's processes."""
    with distributed.joined() as world:
        _run(args, world)


def _run(args, world):
    config = configuration.load_config(
        args.config_file,
        args.opts,
        root=args.root,
        sources=args.sources,
        targets=args.targets,
        transforms=args.transforms,
    )
    if world.is_main:
        start_log(config.data.save_dir, "test.log" if config.test.evaluate else "train.log")
    else:
        start_screen(logging.ERROR)
    results, own_results = training.train(config, world=world)
    log.info(
        "\n%s\n\nresults: %s, primary %s",
        training.table(results, own_results),
        os.path.join(config.data.save_dir, folder.RESULTS),
        results["primary"],
    )


def main(arguments=None):
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = parse_arguments(arguments)
    return exit_code(lambda: run(args), "stopped; what was saved before is in data.save_dir, go on with model.resume")


if __name__ == "__main__":
    sys.exit(main())
