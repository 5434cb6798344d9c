"""What lies in a run folder, and how another run's files are kept."""

import json
import logging
import os
from os import PathLike
from typing import Any

from ealn_plugin.config.merging import with_current_names
from ealn_plugin.config.resuming import CONFIG
from ealn_plugin.engine.checkpoints.names import LAST
from ealn_plugin.system.entrances import command, train_command

log = logging.getLogger(__name__)
RESULTS = "results.json"
RENDERED = "rendered.json"
"""Names the rendered datasets of a run, where there are any; results.json looks the same for them and the releases."""
SPLITS = "splits.json"
"""How the run divides datasets of the user's own that come without a split, so that its tests stay apart from what it
has learned, whatever is added to them."""
MOVING = ".moving"


def files_of_run(path: str | PathLike[str], flag: str = "the run") -> tuple[str, str]:
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
    folder, name = os.path.split(path) if os.path.isfile(path) else (path, LAST)
    for wanted in (CONFIG, name):
        if not os.path.isfile(os.path.join(folder, wanted)):
            raise FileNotFoundError(
                f"{flag} {path!r} has no {wanted}; give the data.save_dir of a run of "
                f"{command('train')} that has saved a checkpoint"
            )
    return os.path.join(folder, CONFIG), os.path.join(folder, name)


def rendered_datasets(folder: str) -> list[str]:
    """The names of the datasets of a run that were rendered, as it has noted them."""
    try:
        with open(os.path.join(folder, RENDERED), encoding="utf-8") as file:
            names = json.load(file)
    except (OSError, ValueError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def recorded_splits(config: Any) -> dict[str, Any]:
    """``splits_of_run`` of a configuration: of the run that goes on, is tested or lends its warm-up; else {}."""
    folder = config.model.resume or (config.data.save_dir if config.test.evaluate else config.ealn.start_from)
    return splits_of_run(folder) if folder else {}


def splits_of_run(path: str | PathLike[str]) -> dict[str, Any]:
    """{dataset: {'train' and 'test': vehicles, 'query': images}} that a run has recorded, {} where it had none to draw.

    Args:
        path: run folder or a checkpoint in it.
    Raises:
        ValueError: the file is broken; one sentence.
    """
    path = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), SPLITS)
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            splits = json.load(file)
        return {
            str(name): {part: [str(label) for label in split[part]] for part in ("train", "test", "query")}
            for name, split in splits.items()
        }
    except (OSError, ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} does not say how datasets are split ({type(error).__name__}: {error}); restore it, or delete it "
            "to have them split as data.split_id says"
        ) from error


def keep_earlier_run(save_dir: str) -> None:
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
    if os.path.exists(os.path.join(target, LAST)):
        hint = f"; to go on with that: {train_command('model.resume', target)}"
    else:
        hint = ""
    log.warning("%s held another run; it is kept in %s%s", save_dir, target, hint)


def take_back_earlier_run(save_dir: str) -> None:
    """Undo a ``keep_earlier_run`` that was killed on the way."""
    moving = _unfinished_move(save_dir)
    if moving is None:
        return
    for name in os.listdir(moving):
        os.rename(os.path.join(moving, name), os.path.join(save_dir, name))
    os.rmdir(moving)


def _unfinished_move(save_dir: str) -> str | None:
    names = [name for name in os.listdir(save_dir) if name.startswith("earlier_") and name.endswith(MOVING)]
    return os.path.join(save_dir, names[0]) if names else None


def read_results(path: str) -> dict[str, Any]:
    """The content of a results.json, checked, its configuration under the names that the keys have now.

    Returns:
        dict with "config", "primary", "datasets" and "untrained", metrics as floats; see README for the shape.
    Raises:
        ValueError: it is not a results file. FileNotFoundError, OSError: it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
        results["config"], _ = with_current_names(results["config"])
        results["datasets"] = _numbers(results["datasets"])
        results["untrained"] = _numbers(results.get("untrained", {}))
        dataset, protocol = primary_protocol(results)
        results["datasets"][dataset][protocol]["mAP"]  # noqa: B018  (whether it is there)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path!r} is not a results file ({type(error).__name__}: {error}); delete it to run that again"
        ) from error
    return results


def _numbers(by_dataset):
    return {
        dataset: {
            protocol: {metric: float(value) for metric, value in metrics.items()}
            for protocol, metrics in by_protocol.items()
        }
        for dataset, by_protocol in by_dataset.items()
    }


def primary_protocol(results: Any) -> tuple[str, str]:
    """(dataset, protocol) that the "primary" of a results.json's content names."""
    dataset, _, protocol = results["primary"].partition("/")
    return dataset, protocol
