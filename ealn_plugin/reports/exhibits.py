"""What a finished run has to show: fixed test images, the images generated from them, and the embeddings of both."""

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.data.viewpoints import View
from ealn_plugin.engine.checkpoints.names import LAST
from ealn_plugin.engine.ealn import EALNEngine
from ealn_plugin.engine.monitoring.observer import TABLE
from ealn_plugin.evaluation.extraction import FeatureExtraction
from ealn_plugin.evaluation.feature_store import fingerprint_of_images
from ealn_plugin.evaluation.fixed_images import FixedImages, embed, fixed_images, make_all
from ealn_plugin.evaluation.twins import TWINS, read_twins
from ealn_plugin.losses.distance import pairwise_distance
from ealn_plugin.models.modes import evaluating
from ealn_plugin.runs.folder import CONFIG, RESULTS, primary_protocol, read_results
from ealn_plugin.system.messages import printable
from ealn_plugin.system.randomness import derived_seed, own_randomness
from ealn_plugin.visualization.sheets import split_grid

PER_VEHICLE = 8
SAMPLES = "samples"
HARD, OTHER_VIEW = "hard", "other_view"
PASTED = "paste"
"""What the scheme of pasted regions calls its hard negatives."""


class FigureUnavailable(ValueError):
    """The runs cannot support a figure; the message is one sentence that says why."""


@dataclass(frozen=True)
class Generated:
    """Images of one generator.

    Attributes:
        images: tensor [m, 3, h, w] in [-1, 1], on the CPU. anchor: tensor [m], rows of the inputs in the fixed set.
        embeddings: tensor [m, dim]. distance: tensor [m], d(x, G(x)).
    """

    images: torch.Tensor
    anchor: torch.Tensor
    embeddings: torch.Tensor
    distance: torch.Tensor

    def place(self, row: int) -> int | None:
        """Position of the image generated from the fixed image ``row``, or None."""
        places = (self.anchor == row).nonzero().flatten()
        return int(places[0]) if len(places) else None


class ExhibitedRun:
    """A run folder opened for looking at. Networks and images are loaded when they are first needed.

    Args:
        subject: RunSubject. num_images: at most so many test images are fixed.
    """

    def __init__(self, subject: Any, num_images: int = 256) -> None:
        self.subject, self.label, self.config, self.folder = subject, subject.label, subject.config, subject.folder
        self.num_images = max(2 * PER_VEHICLE, num_images)

    @functools.cached_property
    def engine(self) -> EALNEngine:
        """EALNEngine with the trained networks."""
        return self.subject.engine()

    def state_of_files(self) -> list[Any]:
        """What tells whether anything in the run folder has changed that figures show, and with which settings."""
        names = [CONFIG, LAST, RESULTS, TABLE]
        there = sorted(os.listdir(self.folder))
        names += [name for name in there if name.startswith("events.out.tfevents.")]
        samples = os.path.join(self.folder, SAMPLES)
        names += [os.path.join(SAMPLES, name) for name in (sorted(os.listdir(samples)) if SAMPLES in there else ())]
        found = []
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                state = os.stat(os.path.join(self.folder, name))
                found.append([printable(name), state.st_size, state.st_mtime_ns])
        return [found, configuration.recorded(self.config)]

    def state_of_images(self) -> str:
        """What tells whether the test images, or their labels, have changed."""
        items = [
            (*item[:3], name == "query")
            for splits in self.engine.test_loader.values()
            for name, loader in splits.items()
            for item in loader.dataset.data
        ]
        return fingerprint_of_images(items, self.engine.views_of([item[0] for item in items]).tolist())

    @property
    def dataset(self) -> str:
        """Name of the first target."""
        return next(iter(self.engine.test_loader))

    @property
    def distance(self) -> str:
        """d of Eq. 2 in this run, 'squared' or 'euclidean'."""
        return self.config.ealn.distance

    @contextlib.contextmanager
    def looking(self) -> Iterator[EALNEngine]:
        """Within it the networks are in evaluation mode, and no random state changes."""
        engine = self.engine
        with own_randomness(derived_seed(engine.seed, "observer")), evaluating(engine.embedding, *engine.schemes):
            yield engine

    @functools.cached_property
    def fixed(self) -> FixedImages:
        """FixedImages of the first target: some vehicles, up to ``PER_VEHICLE`` images of each.

        Raises:
            FigureUnavailable: no vehicle has two images.
        """
        with self.looking() as engine:
            fixed = fixed_images(
                engine.test_loader[self.dataset],
                engine.views_of,
                self.num_images // PER_VEHICLE,
                PER_VEHICLE,
                engine.schemes,
            )
        if not len(fixed.pids):
            raise FigureUnavailable(f"no test vehicle of {self.dataset} has two images, expected some that have")
        return fixed

    @functools.cached_property
    def images(self) -> torch.Tensor:
        """The fixed images, tensor [n, 3, h, w] in [-1, 1] on the CPU."""
        return self.engine.pixels.to_generator(self.fixed.images.to(self.engine.device)).cpu()

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings [n, dim] of images [n, 3, h, w] in [-1, 1], both on the CPU."""
        with self.looking() as engine:
            return embed(engine.embedding, engine.pixels, images.to(engine.device)).cpu()

    @functools.cached_property
    def embeddings(self) -> torch.Tensor:
        """Embeddings of the fixed images, tensor [n, dim]."""
        return self.embed(self.images)

    @functools.cached_property
    def apart(self) -> torch.Tensor:
        """d between all fixed images, tensor [n, n]."""
        real = self.embeddings.double()
        return pairwise_distance(real, real, self.distance)

    @functools.cached_property
    def same(self) -> torch.Tensor:
        """[n, n] bool: two different fixed images of one vehicle."""
        pids = self.fixed.pids
        return (pids[:, None] == pids[None, :]) & ~torch.eye(len(pids), dtype=torch.bool)

    @functools.cached_property
    def generated(self) -> dict[str, Generated]:
        """{kind: Generated}, HARD and OTHER_VIEW among the kinds where the run makes such images."""
        with self.looking() as engine:
            companions = {
                kind: engine.pixels.to_generator(found.to(engine.device))
                for kind, found in self.fixed.companions.items()
            }
            pictures = make_all(engine.schemes, self.images.to(engine.device), self.fixed.views, companions)
        generated = {}
        for name, _, images, anchor in pictures:
            name, images = HARD if name == PASTED else name, images.cpu()
            embeddings = self.embed(images)
            apart = (embeddings.double() - self.embeddings[anchor].double()).pow(2).sum(dim=1)
            generated[name] = Generated(
                images, anchor, embeddings, apart if self.distance == "squared" else apart.sqrt()
            )
        return generated

    @functools.cached_property
    def own_features(self) -> Any:
        """Features of all test images of the first target by the embedding network alone, not fused."""
        with self.looking() as engine:
            extraction = FeatureExtraction(engine.embedding, engine.pixels, (), engine.views_of, engine.device)
            return extraction.dataset(engine.test_loader[self.dataset], self.dataset)[0]

    def rows_by_vehicle(self, count: int, wanted: Sequence[int] = (View.FRONT, View.REAR)) -> list[list[Any]]:
        """Rows of the fixed set to be shown: one of each wanted view for up to ``count`` vehicles, spread evenly.

        Returns:
            list of lists of rows; two images of a vehicle each where the views are not known.
        """
        pids, views, pairs = self.fixed.pids.tolist(), self.fixed.views.tolist(), []
        for pid in dict.fromkeys(pids):
            rows = [row for row, other in enumerate(pids) if other == pid]
            pairs.append([next((row for row in rows if views[row] == view), None) for view in wanted])
        complete = [pair for pair in pairs if None not in pair]
        if not complete:
            complete = [[row for row, other in enumerate(pids) if other == pid][:2] for pid in dict.fromkeys(pids)]
        count = min(count, len(complete))
        return [complete[(2 * number + 1) * len(complete) // (2 * count)] for number in range(count)]

    def view_name(self, row: int) -> str:
        """'front', 'rear', 'side' or 'unknown view'."""
        view = View(int(self.fixed.views[row]))
        return "unknown view" if view == View.UNKNOWN else view.name.lower()

    def twins(self, rows: Any, listed: str = TWINS) -> torch.Tensor | None:
        """The true other views of fixed images, for rendered data.

        Args:
            rows: of the fixed set.
            listed: ``TWINS``, or ``UNMARKED_TWINS`` for the same vehicles without their marks.
        Returns:
            tensor [len(rows), 3, h, w] in [-1, 1], or None where the dataset has no such twins.
        """
        dataset = self.engine.test_loader[self.dataset]["query"].dataset
        twin_of = read_twins(getattr(dataset, "dataset_dir", ""), listed)
        paths = [twin_of.get(os.path.abspath(self.fixed.paths[row])) for row in rows]
        if not twin_of or None in paths:
            return None
        images = torch.stack([dataset.transform(toolkit.read_image(path)) for path in paths])  # type: ignore[arg-type]
        return self.engine.pixels.to_generator(images.to(self.engine.device)).cpu()

    # ------------------------------------------------------------------------------------------ written while training
    def primary_map(self) -> float | None:
        """mAP in [0, 1] of the run's primary protocol from its results.json, or None where there is none."""
        path = os.path.join(self.folder, RESULTS)
        if not os.path.isfile(path):
            return None
        results = read_results(path)
        dataset, protocol = primary_protocol(results)
        return results["datasets"][dataset][protocol]["mAP"]

    def sample_grids(self) -> dict[int, torch.Tensor]:
        """The pictures in ``samples/``: {epoch: tensor [rows, images, 3, h, w] in [-1, 1]}, in order.

        The first row holds the inputs, the following ones the images of each generator.
        """
        folder = os.path.join(self.folder, SAMPLES)
        grids = {}
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            epoch = re.fullmatch(r"epoch_(\d+)\.png", name)
            if epoch:
                picture = np.asarray(toolkit.read_image(os.path.join(folder, name)))
                grids[int(epoch[1])] = split_grid(picture, self.config.data.height, self.config.data.width)
        return grids

    @functools.cached_property
    def _events(self) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

        return EventAccumulator(self.folder, size_guidance={SCALARS: 0}).Reload()

    def scalar_names(self) -> list[str]:
        """Tags of the training curves in the TensorBoard events, without ``train/``, in alphabetical order."""
        return sorted(tag.removeprefix("train/") for tag in self._events.Tags()["scalars"] if tag.startswith("train/"))

    def scalars(self, names: Iterable[str]) -> dict[str, tuple[Any, Any]]:
        """Curves from the TensorBoard events.

        Args:
            names: tags without ``train/``.
        Returns:
            {name: (steps, values)} of those that are there.
        """
        curves, there = {}, set(self.scalar_names())
        for name in names:
            if name in there:
                events = self._events.Scalars(f"train/{name}")
                curves[name] = ([event.step for event in events], [event.value for event in events])
        return curves
