"""What lies in a run folder, and how another run's files are kept."""

import json
import logging
import os

from ealn_plugin.engine.checkpoints import file as checkpoint

log = logging.getLogger(__name__)
RESULTS, CONFIG = "results.json", "config.yaml"
MOVING = ".moving"


def files_of_run(path, flag="the run"):
    """The configuration file and the checkpoint of a run.

    Args:
        path: run folder, meaning its last checkpoint, or one of the checkpoint_*.pth.tar in it.
        flag: what the user calls it in messages.
    Returns:
        (str, str)
    Raises:
        FileNotFoundError: one of them is not there.
    """
    path = os.fspath(path)
    folder, name = os.path.split(path) if os.path.isfile(path) else (path, checkpoint.LAST)
    for wanted in (CONFIG, name):
        if not os.path.isfile(os.path.join(folder, wanted)):
            raise FileNotFoundError(
                f"{flag} {path!r} has no {wanted}; give the data.save_dir of a run of "
                "tools/train_ealn.py that has saved a checkpoint"
            )
    return os.path.join(folder, CONFIG), os.path.join(folder, name)


def keep_earlier_run(save_dir):
    """Move what another run left in the folder, its log apart, to ``earlier_N`` in it; nothing saved is lost.

    A process that is killed on the way leaves a folder ``earlier_N.moving``: the next new run ends that move here, and
    a run that is resumed undoes it.
    """
    unfinished = _unfinished_move(save_dir)
    if unfinished is None and not any(name.startswith("checkpoint_") for name in os.listdir(save_dir)):
        return
    number = 1
    while os.path.exists(os.path.join(save_dir, f"earlier_{number}")):
        number += 1
    target = os.path.join(save_dir, f"earlier_{number}")
    moving = unfinished or target + MOVING
    os.makedirs(moving, exist_ok=True)
    for name in os.listdir(save_dir):
        if not name.startswith("earlier_") and not name.endswith(".log"):
            os.rename(os.path.join(save_dir, name), os.path.join(moving, name))
    os.rename(moving, target)
    log.warning("%s held another run; it is kept in %s (to go on with a run, use model.resume)", save_dir, target)


def take_back_earlier_run(save_dir):
    """Undo a ``keep_earlier_run`` that was killed on the way."""
    moving = _unfinished_move(save_dir)
    if moving is None:
        return
    for name in os.listdir(moving):
        os.rename(os.path.join(moving, name), os.path.join(save_dir, name))
    os.rmdir(moving)


def _unfinished_move(save_dir):
    names = [name for name in os.listdir(save_dir) if name.startswith("earlier_") and name.endswith(MOVING)]
    return os.path.join(save_dir, names[0]) if names else None


def read_results(path):
    """A results.json as a dict with "config", "primary" and "datasets".

    Raises:
        ValueError: it is none. OSError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
        dataset, _, protocol = results["primary"].partition("/")
        float(results["datasets"][dataset][protocol]["mAP"]), results["config"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path!r} is not a results file ({type(error).__name__}: {error}); delete it to run that again"
        ) from error
    return results
