"""The paper's ablation and comparison as one grid of runs.

Every scheme gets the same data, backbone, seed and number of embedding updates. A grid is a folder; what is finished
in it is not run again, what was interrupted goes on where it stopped.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ealn_plugin import config as configuration
from ealn_plugin.config import NAMES, CfgNode
from ealn_plugin.engine.checkpoints import file as checkpoint
from ealn_plugin.runs import train as training
from ealn_plugin.runs.folder import CONFIG, RESULTS, read_results
from ealn_plugin.system.cli import start_log
from ealn_plugin.system.jobs import Job
from ealn_plugin.system.workers import core_count

log = logging.getLogger(__name__)

_PATIENCE = 90
"""Seconds until a file of another machine is to be seen; NFS looks for it after 60 at the latest by default."""

SCHEMES = ("en", "hard", "view", "hard_view", "cyclegan", "stargan")

PRESETS = {
    # Made so that six schemes and three seeds of ealn_synthetic_grid.yaml take about an hour on two cores.
    "demo": (
        "train.max_epoch",
        17,
        "ealn.warmup_epochs",
        12,
        "ealn.warmup_generator_epochs",
        1,
        "ealn.sample_every",
        1,
    ),
    # The configuration file as it is.
    "full": (),
}


@dataclass(frozen=True)
class GridCell:
    """One cell of the grid.

    Attributes:
        scheme, seed: what is run. label: what the tables call it.
        folder: its run folder. options: [KEY, VALUE, ...] on top of the configuration file.
        start_from: checkpoint of the shared warm-up, or ''.
    """

    scheme: str
    seed: int
    label: str
    folder: str
    options: tuple
    start_from: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.label}, seed {self.seed}"


def plan(
    out: str, schemes: Sequence[str], seeds: Sequence[int], options: Sequence[Any], warmup_epochs: int
) -> list[GridCell]:
    """The runs of a grid, each seed's EN first: the others start from its warm-up.

    Args:
        out: folder of the grid. schemes: names. seeds: integers >= 0.
        options: [KEY, VALUE, ...] of every run. warmup_epochs: of the configuration; 0: nothing is shared.
    Raises:
        ValueError: EN is missing, or a seed or scheme is given twice.
    """
    for name, values in (("--schemes", schemes), ("--seeds", seeds)):
        if len(set(values)) < len(values):
            raise ValueError(f"{name} are {' '.join(map(str, values))}, expected each once")
    if "en" not in schemes:
        raise ValueError(f"--schemes are {' '.join(schemes)}, expected en among them: the others are compared with it")
    runs = []
    for seed in seeds:
        start = os.path.join(out, f"seed_{seed}", "en", checkpoint.WARMUP) if warmup_epochs else ""
        for scheme in sorted(schemes, key=lambda name: name != "en"):
            folder = os.path.join(out, f"seed_{seed}", scheme)
            runs.append(
                GridCell(
                    scheme,
                    seed,
                    NAMES.get(scheme, scheme),
                    folder,
                    (*options, "ealn.scheme", scheme, "train.seed", seed, "data.save_dir", folder),
                    "" if scheme == "en" else start,
                )
            )
    return runs


def sweep(
    out: str, seeds: Sequence[int], options: Sequence[Any], values: Mapping[str, Sequence[float]], warmup_epochs: int
) -> list[tuple[str, float, GridCell]]:
    """The runs of Fig. 10: Hard-EALN with one of beta1 and beta2 varied, the other as configured.

    Args:
        values: {'beta1' | 'beta2': list of values}.
    Returns:
        list of (name, value, GridCell)
    """
    cells = []
    for name, candidates in values.items():
        for value in candidates:
            for run in plan(os.path.join(out, "sweep"), ("en", "hard"), seeds, options, warmup_epochs):
                if run.scheme == "hard":
                    folder = f"{run.folder}_{name}_{value:g}"
                    start = run.start_from.replace(os.path.join(out, "sweep"), out)
                    cells.append(
                        (
                            name,
                            value,
                            GridCell(
                                "hard",
                                run.seed,
                                f"{name} = {value:g}",
                                folder,
                                (*run.options, "data.save_dir", folder, f"ealn.{name}", float(value)),
                                start,
                            ),
                        )
                    )
    return cells


def runs_at_a_time(jobs: int, runs: Sequence[GridCell], use_gpu: bool) -> int:
    """How many of the runs to bring to their end at a time.

    Args:
        jobs: the wish of the user; 0: one on a GPU, else one per core.
    Raises:
        ValueError: a negative wish.
    """
    if jobs < 0:
        raise ValueError(f"--jobs is {jobs}, expected 1 or more, or 0 to have it chosen")
    return jobs or (1 if use_gpu and torch.cuda.is_available() else min(core_count(), len(runs)))


Workers = Callable[[Sequence[Job]], Iterator[str]]
"""Runs jobs, several at a time, and yields the name of each as it is done: ``run_jobs`` or ``run_on_ray``."""


def execute_all(
    runs: Sequence[GridCell], config_file: str, workers: Workers | None = None, **flags: Any
) -> list[dict[str, Any]]:
    """Bring runs to their end, several at a time.

    One at a time shows the progress of its steps; of several, which leave it in ``train.log`` of each run folder,
    the finished runs are counted.

    Args:
        runs: list of GridCell; one that starts from another's warm-up stands behind it, or that is finished.
        config_file, flags: as ``load_config``. workers: what runs several at a time; None: one after the other, here.
    Returns:
        list of results, as ``execute`` returns them.
    Raises:
        as ``execute`` and ``workers``.
    """
    if workers is not None:
        _execute_side_by_side(runs, config_file, workers, flags)
    results = []
    for number, run in enumerate(runs, 1):
        if workers is None:
            log.info("run %d of %d", number, len(runs))
        results.append(execute(run, config_file, **flags))
    return results


def _execute_side_by_side(
    runs: Sequence[GridCell], config_file: str, workers: Workers, flags: Mapping[str, Any]
) -> None:
    missing = {
        run.name: run
        for run in runs
        if finished(run, configuration.load_config(config_file, run.options, **flags)) is None
    }
    lenders = {run.folder: run.name for run in missing.values()}
    jobs = [
        Job(run.name, _execute_alone, (run, config_file, flags), lenders.get(os.path.dirname(run.start_from), ""))
        for run in missing.values()
    ]
    if not jobs:
        return
    with (
        logging_redirect_tqdm(),
        tqdm(total=len(runs), initial=len(runs) - len(jobs), unit="run", smoothing=0) as bar,
        contextlib.closing(workers(jobs)) as done,
    ):
        for name in done:
            _await_results(missing[name])
            bar.update()
            log.info("finished: %s", name)


def _await_results(run: GridCell) -> None:
    """Wait until the results that another machine has written are seen here: shared folders are looked at rarely."""
    for _ in range(_PATIENCE):
        if RESULTS in os.listdir(run.folder):
            return
        time.sleep(1)
    raise RuntimeError(
        f"{run.name} is finished, but there is no {RESULTS} in {run.folder!r} after {_PATIENCE} s; check that this "
        "folder is the same on all machines"
    )


def _execute_alone(run: GridCell, config_file: str, flags: Mapping[str, Any]) -> None:
    """``execute`` in a process of its own."""
    start_log(run.folder, "train.log", screen=False)
    execute(run, config_file, progress=False, **flags)


def execute(run: GridCell, config_file: str, progress: bool = True, **flags: Any) -> dict[str, Any]:
    """Bring one run to its end and return its results; a finished one is only read.

    Args:
        config_file, flags: as ``load_config``.
    Raises:
        ValueError: the folder holds the results of other settings; others as ``training.train``.
    """
    config = configuration.load_config(config_file, run.options, **flags)
    done = finished(run, config)
    if done is not None:
        return done
    last = os.path.join(run.folder, checkpoint.LAST)
    if os.path.exists(os.path.join(run.folder, CONFIG)) and os.path.exists(last):
        begun = configuration.run_config(run.folder)
        _check_settings(run, config, configuration.recorded(begun), "has begun with")
    goes_on = ["model.resume", run.folder] if os.path.exists(last) else ["ealn.start_from", run.start_from]
    log.info("%s: %s", run.name, "going on" if os.path.exists(last) else "starting")
    return training.train(configuration.load_config(config_file, [*run.options, *goes_on], **flags), progress)[0]


def finished(run: GridCell, config: CfgNode) -> dict[str, Any] | None:
    """The results of a finished run, or None.

    Raises:
        ValueError: they belong to other settings.
    """
    path = os.path.join(run.folder, RESULTS)
    if not os.path.exists(path):
        return None
    results = read_results(path)
    _check_settings(run, config, results["config"], "holds the results of")
    return results


def _check_settings(run, config, recorded, has):
    """Refuse other settings than those that are recorded in the folder of a run, which ``has`` them."""
    wanted, found = (configuration.flat(tree) for tree in (configuration.recorded(config), recorded))
    differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if differing:
        raise ValueError(
            f"{run.folder!r} {has} other settings ({', '.join(differing[:5])}); give another --out, or delete it"
        )
