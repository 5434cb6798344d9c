"""What a run writes about its generators while it trains: pictures of fixed images, and diagnostics of a fixed set.

Nothing here changes the run: networks are in evaluation mode without gradients, and every random state is afterwards
what it was. Files of epochs that a resumed run will train again are thrown away first, so that it ends with the
files of a run that was never stopped.
"""

import csv
import logging
import os
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from ealn_plugin.evaluation.diagnostics import diagnose_arrays
from ealn_plugin.evaluation.fixed_images import fixed_images, observe, pictures_of, sample_images
from ealn_plugin.models.modes import evaluating
from ealn_plugin.models.neck import learned_feature
from ealn_plugin.system.files import replacing, write_csv
from ealn_plugin.system.randomness import derived_seed, own_randomness

log = logging.getLogger(__name__)

TABLE, FOLDER = "diagnostics.csv", "diagnostics"


class Observer:
    """Pictures and diagnostics of one run.

    Args:
        engine: EALNEngine with its monitor. save_dir: folder of the run.
        sample_every, diagnose_every: epochs between pictures, and between diagnostics; 0: none.
    """

    def __init__(self, engine: Any, save_dir: str, sample_every: int, diagnose_every: int) -> None:
        self.engine, self.save_dir = engine, save_dir
        self.sample_every, self.diagnose_every = sample_every, diagnose_every
        self._samples: Any = None
        self._fixed: Any = None
        _forget_later_epochs(save_dir, engine.epoch)

    def end_epoch(self) -> None:
        """To be called after each epoch, before its checkpoint; the last epoch is always shown."""
        engine = self.engine
        if not engine.schemes:
            return
        done = engine.epoch + 1
        loaders = next(iter(engine.test_loader.values()))
        last = done == engine.max_epoch
        networks = (engine.embedding, *engine.schemes)
        with own_randomness(derived_seed(engine.seed, "observer")), evaluating(*networks), learned_feature(*networks):
            if self.sample_every and (last or done % self.sample_every == 0):
                self._save_pictures(loaders, done)
            if self.diagnose_every and engine.stage.adversarial and (last or done % self.diagnose_every == 0):
                self._diagnose(loaders, done)

    def _save_pictures(self, loaders: Mapping[str, Any], done: int) -> None:
        """A grid of fixed query images and what each scheme makes of them."""
        engine = self.engine
        if self._samples is None:
            self._samples = sample_images(loaders, engine.views_of, engine.schemes)
        images, views, companions = self._samples
        images = engine.pixels.to_generator(images.to(engine.device))
        companions = {kind: engine.pixels.to_generator(found.to(engine.device)) for kind, found in companions.items()}
        everything = torch.arange(len(images))
        rows = [images]
        for scheme in engine.schemes:
            rows += pictures_of(scheme, images, views, companions, everything).values()
        engine.monitor.pictures(rows, f"epoch_{done:03d}", engine.global_step)

    def _diagnose(self, loaders: Mapping[str, Any], done: int) -> None:
        engine = self.engine
        if self._fixed is None:
            self._fixed = fixed_images(loaders, engine.views_of, schemes=engine.schemes)
        if not len(self._fixed.pids):
            log.warning("no diagnostics: no test vehicle has two images")
            self.diagnose_every = 0
            return
        arrays = observe(self._fixed, engine.embedding, engine.pixels, engine.schemes, engine.device)
        figures = diagnose_arrays(arrays)
        try:
            _write_arrays(os.path.join(self.save_dir, FOLDER), done, arrays)
            _add_row(os.path.join(self.save_dir, TABLE), {"epoch": done, "step": engine.global_step, **figures})
        except OSError as error:  # the checkpoint that follows matters more than a line of a table
            log.warning("the diagnostics of epoch %d could not be written (%s); free some space", done, error)
        engine.monitor.scalars("diagnostics", figures, engine.global_step)
        for kind in arrays["kinds"].tolist():
            values = ", ".join(
                f"{name.partition('/')[2]} {value:.3f}"
                for name, value in figures.items()
                if name.startswith(f"{kind}/")
            )
            log.info("epoch %d/%d diagnostics of %s: %s", done, engine.max_epoch, kind, values)


# ---------------------------------------------------------------------------------------------- files
def read_table(save_dir: str | PathLike[str]) -> list[dict[str, str]]:
    """The lines of diagnostics.csv as a list of {column: text}, empty where there is none.

    Raises:
        ValueError: the file is no such table.
    """
    path = os.path.join(save_dir, TABLE)
    if not os.path.isfile(path):
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        for row in rows:
            int(row["epoch"])
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{path!r} is not the table that a run writes ({type(error).__name__}: {error}); move it away"
        ) from error
    return rows


def _write_rows(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    header = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, header, ([row.get(name, "") for name in header] for row in rows))


def _add_row(path: str, row: Mapping[str, Any]) -> None:
    _write_rows(path, [*read_table(os.path.dirname(path)), row])


def _write_arrays(folder: str, done: int, arrays: Mapping[str, Any]) -> None:
    os.makedirs(folder, exist_ok=True)
    with replacing(os.path.join(folder, f"epoch_{done:03d}.npz")) as temporary:
        np.savez(temporary, **arrays)


def _forget_later_epochs(save_dir: str, done: int) -> None:
    """Throw away the diagnostics of epochs beyond ``done``: this run trains them (again)."""
    rows = read_table(save_dir)
    kept = [row for row in rows if int(row["epoch"]) <= done]
    if kept:
        _write_rows(os.path.join(save_dir, TABLE), kept)
    elif rows:
        os.unlink(os.path.join(save_dir, TABLE))
    folder = os.path.join(save_dir, FOLDER)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        epoch = re.fullmatch(r"epoch_(\d+)\.npz", name)
        if epoch and int(epoch[1]) > done:
            os.unlink(os.path.join(folder, name))
