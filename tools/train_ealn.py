"""Train and test EALN: python tools/train_ealn.py --config-file configs/ealn_veri.yaml [KEY VALUE ...]"""
import argparse
import json
import logging
import os
import sys

from tqdm.contrib.logging import logging_redirect_tqdm

import ealn_plugin  # noqa: F401  (before anything imports torchvision: it cures a CPU-only torch)
from ealn_plugin import build
from ealn_plugin import config as configuration
from ealn_plugin.cli import sentence, start_log, write_atomically
from ealn_plugin.engine.interrupts import TrainingInterrupted

log = logging.getLogger("train_ealn")


def parse_arguments(arguments=None):
    """The flags of torchreid's scripts/main.py."""
    parser = argparse.ArgumentParser(
        description="Train and test vehicle re-identification with embedding adversarial learning.")
    parser.add_argument("--config-file", default="", help="YAML file of settings, see configs/")
    parser.add_argument("-s", "--sources", nargs="+", help="training datasets, such as veri776")
    parser.add_argument("-t", "--targets", nargs="+", help="test datasets")
    parser.add_argument("--transforms", nargs="+", help="data augmentation, such as random_flip random_erase")
    parser.add_argument("--root", default="", help="folder that holds the dataset folders")
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE",
                        help="settings by name, such as ealn.scheme hard train.max_epoch 20")
    return parser.parse_args(arguments)


def table(results, own_results):
    """The results as text: the trained network, its own feature alone where features are fused, the untrained one."""
    rows = []
    for name, by_protocol in results["datasets"].items():
        for protocol, metrics in by_protocol.items():
            kinds = [("trained", metrics),
                     ("  without fusion", own_results.get(name, {}).get(protocol)),
                     ("untrained", results["untrained"].get(name, {}).get(protocol))]
            rows += [(f"{name}/{protocol}", label, found) for label, found in kinds if found]
    width = max(len(row[0]) for row in rows)
    keys = ("mAP", "rank1", "rank5", "rank10")
    lines = [f"{'protocol':{width}}  {'network':18}" + "".join(f"{key:>8}" for key in keys)]
    for protocol, label, metrics in rows:
        lines.append(f"{protocol:{width}}  {label:18}"
                     + "".join(f"{100 * metrics[key]:7.1f}%" if key in metrics else f"{'':8}" for key in keys))
    return "\n".join(lines)


def train(config):
    """Build, run, and write what came out; returns the results."""
    save_dir = config.data.save_dir
    start_log(save_dir, "test.log" if config.test.evaluate else "train.log")
    write_atomically(os.path.join(save_dir, "config.yaml"), config.dump())
    engine = build.build_engine(config)
    with logging_redirect_tqdm():
        results = engine.run(**build.run_options(config))
    results = {"config": configuration.recorded(config), **results}
    path = os.path.join(save_dir, "results.json")
    write_atomically(path, json.dumps(results, indent=1, sort_keys=True) + "\n")
    log.info("\n%s\n\nresults: %s, primary %s", table(results, engine.own_results), path, results["primary"])
    return results


def main(arguments=None):
    """Exit code 0; 1 for bad input, with one sentence; 130 when interrupted."""
    args = parse_arguments(arguments)
    try:
        config = configuration.load_config(args.config_file, args.opts, root=args.root, sources=args.sources,
                                           targets=args.targets, transforms=args.transforms)
        train(config)
    except TrainingInterrupted as stop:
        print(f"\n{stop}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nstopped; what was saved before is in data.save_dir, go on with model.resume", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        log.debug("details", exc_info=True)
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
