"""What can be evaluated: an EALN run, any torchreid model with its weights, or features from another program.

Each subject gives, dataset by dataset, the features and everything that ranking and reporting need to know of them.
"""

import abc
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import yaml

from ealn_plugin import config as configuration
from ealn_plugin import toolkit
from ealn_plugin.data import DATASETS, VIEWPOINTS
from ealn_plugin.engine.checkpoints import state
from ealn_plugin.engine.ealn import EALNEngine
from ealn_plugin.evaluation.extraction import FeatureExtraction, fusion_name
from ealn_plugin.evaluation.feature_store import (
    FeatureStore,
    fingerprint_of_images,
    fingerprint_of_networks,
    with_paths,
)
from ealn_plugin.evaluation.features import Features
from ealn_plugin.evaluation.protocols import protocols_of
from ealn_plugin.evaluation.splits import is_one_draw
from ealn_plugin.models.modes import evaluating
from ealn_plugin.reports.names import file_name
from ealn_plugin.runs import build, loading
from ealn_plugin.runs.folder import files_of_run
from ealn_plugin.runs.references import recorded_options
from ealn_plugin.runs.weights import check_file, load_weights, number_of_classes
from ealn_plugin.system.messages import printable
from ealn_plugin.system.randomness import own_randomness, seed_everything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TestSet:
    """One dataset as a subject sees it: its name, Features, the names of its own protocols, its folder ('' where that
    is not known) and its training images, tuples (path, pid, camid, ...)."""

    __test__ = False  # for pytest: not a class of tests

    name: str
    features: Features
    protocols: tuple
    folder: str = ""
    train: tuple = ()


@dataclass
class Subject(abc.ABC):
    """Something to evaluate.

    Attributes:
        label: its name in tables, figures and file names.
        config: yacs tree whose ``test`` node says how to rank.
        own_results, untrained: what a run recorded of itself, {dataset: {protocol: metrics}}, once
            ``evaluation_sets`` was begun; of the trained network and of the same one before training.
    """

    label: str
    config: Any
    own_results: dict = field(default_factory=dict)
    untrained: dict = field(default_factory=dict)

    def ranking(self) -> dict[str, Any]:
        """Keyword arguments of ``Protocol.evaluate`` that the configuration fixes."""
        test = self.config.test
        return dict(
            dist_metric=test.dist_metric,
            normalize_feature=test.normalize_feature,
            ranks=tuple(test.ranks),
            rerank=test.rerank,
            query_expansion=test.query_expansion,
            expansion_alpha=test.expansion_alpha,
            use_metric_cuhk03=self.config.cuhk03.use_metric_cuhk03,
        )

    def recorded(self) -> dict[str, Any]:
        """The part of the configuration that results.json keeps: nothing that depends on the machine's folders."""
        return configuration.recorded(self.config)

    @abc.abstractmethod
    def evaluation_sets(self, store: FeatureStore) -> Iterator[TestSet]:
        """Yield the TestSets of this subject; features come from ``store`` (FeatureStore) where they are stored.

        Raises:
            ValueError, OSError, RuntimeError: with one sentence, for data or weights that cannot be used.
        """


class RunSubject(Subject):
    """A run folder of ``ealn train``: its config.yaml and its last checkpoint.

    Args:
        folder: the run folder.
        label: see ``Subject``.
        options: [KEY, VALUE, ...] that replace those of the run, such as data.targets.
        fusion: rank the fused features where the run has a generator of other views.
    Raises:
        FileNotFoundError, ValueError: not a run folder.
    """

    def __init__(self, folder: str, label: str, options: Sequence[Any] = (), fusion: bool = True) -> None:
        config_file, self.checkpoint = files_of_run(folder, "--run")
        super().__init__(label, configuration.load_config(config_file, options))
        # Nothing is rendered into a folder that the user names.
        render = ["ealn.render.preset", ""] if "data.root" in options else []
        self._build = configuration.load_config(
            config_file,
            [
                *options,
                "model.pretrained",
                False,
                "model.load_weights",
                "",
                "data.save_dir",
                folder,
                "test.evaluate",
                True,
                *render,
            ],
        )
        self.folder, self.fusion = folder, fusion

    def engine(self) -> EALNEngine:
        """The EALNEngine of the run with its trained networks, without optimiser.

        Raises:
            CheckpointError, ValueError, OSError: with one sentence.
        """
        content = state.read(self.checkpoint)
        engine = build.build_engine(self._build, num_classes=number_of_classes(content["model"]))
        engine.optimizer = None  # a test needs the networks alone
        state.restore(engine, self.checkpoint)
        return engine

    def evaluation_sets(self, store: FeatureStore) -> Iterator[TestSet]:
        """See ``Subject``."""
        engine = self.engine()
        self.own_results, self.untrained = engine.results, engine.untrained
        fusing = engine.extraction.fusing if self.fusion else None
        networks = [engine.model] if fusing is None else [engine.model, fusing]
        key = {
            **_network_key(self._build, networks),
            "fusion": "" if fusing is None else fusion_name(self._build.ealn.fusion, fusing.fusion_weight),
            "generator": {} if fusing is None else yaml.safe_load(self._build.ealn.generator.dump()),
        }
        yield from _extracted(
            self.label,
            engine.test_loader,
            engine.extraction,
            key,
            store,
            [engine.embedding, *engine.schemes],
            self.fusion,
        )


class ModelSubject(Subject):
    """Any torchreid model with weights of its own architecture; without weights it is untrained.

    Args:
        label: see ``Subject``; weights: file of weights, or ''.
        options: [KEY, VALUE, ...], model.name and data.targets among them; ealn.view_order for VehicleID.
    Raises:
        FileNotFoundError, ValueError: no such file, or an option out of range.
    """

    def __init__(self, label: str, weights: str = "", options: Sequence[Any] = ()) -> None:
        options = ["ealn.scheme", "en", "sampler.train_sampler", "RandomSampler", "model.pretrained", False, *options]
        config = configuration.load_config("", options)
        if weights:
            check_file(weights)
            config = configuration.load_config("", [*options, *recorded_options(weights, config.model.name)])
        config.defrost()
        config.data.sources = config.data.targets[:1]
        config.freeze()
        super().__init__(label, config)
        self.weights = weights
        toolkit.check_model_name(config.model.name)

    def recorded(self) -> dict[str, Any]:
        """See ``Subject``; what concerns training alone is left out."""
        tree = configuration.recorded(self.config)
        return {name: tree[name] for name in ("data", "model", "test", "use_gpu")}

    def evaluation_sets(self, store: FeatureStore) -> Iterator[TestSet]:
        """See ``Subject``."""
        data = self.config.data
        seed_everything(self.config.train.seed)
        datamanager = build.build_datamanager(self.config, train=False)
        model = build.build_embedding_backbone(self.config, max(1, datamanager.num_train_pids))
        if self.weights:
            model = load_weights(model, self.weights, size=(data.height, data.width))
        else:
            log.warning("%s has no --weights: its figures are those of an untrained network", self.config.model.name)
        device = torch.device("cuda" if datamanager.use_gpu else "cpu")
        model.to(device)
        key = {**_network_key(self.config, [model]), "fusion": "", "generator": {}}
        loading.check_features(model, data.height, data.width, device)
        extraction = FeatureExtraction(model, None, (), VIEWPOINTS.lookup, device)  # type: ignore[arg-type]
        yield from _extracted(self.label, datamanager.test_loader, extraction, key, store, [model])


class FeaturesSubject(Subject):
    """Features from a file: arrays features, pids and, where they are known, camids, views, is_query, paths.

    Args:
        path: .npz file; label: see ``Subject``.
        dataset: its dataset's name, whose protocols are run; '': the name of the file.
        root: folder to look for the images in where ``paths`` are relative.
        options: [KEY, VALUE, ...] of the test node.
    """

    def __init__(self, path: str, label: str, dataset: str = "", root: str = "", options: Sequence[Any] = ()) -> None:
        super().__init__(label, configuration.load_config("", ["ealn.scheme", "en", *options]))
        self.path, self.root = path, root
        self.dataset = dataset or printable(os.path.splitext(os.path.basename(path))[0])
        self.features = Features.load(path)

    def recorded(self) -> dict[str, Any]:
        """See ``Subject``."""
        return {"test": configuration.recorded(self.config)["test"]}

    def evaluation_sets(self, store: FeatureStore) -> Iterator[TestSet]:
        """See ``Subject``."""
        features = self.features
        if features.paths and not os.path.exists(features.paths[0]):
            features = with_paths(features, [os.path.join(self.root, path) for path in features.paths])
        protocols = getattr(DATASETS.get(self.dataset), "protocols", ())
        if not protocols:
            protocols = ("image",) if features.is_query.any() else ("vehicleid_cmc", "vehicleid_map")
            log.info(
                "%s is not a dataset of this plugin: its protocols are %s unless --protocols says otherwise",
                self.dataset,
                ", ".join(protocols),
            )
        if "vehicleid_map" in protocols and not is_one_draw(features):
            log.info(
                "%s: is_query and camids are ignored, as the release of %s has neither; the draws are made from pids",
                self.label,
                self.dataset,
            )
            features = replace(
                features, is_query=np.zeros(len(features), dtype=bool), camids=np.ones(len(features), dtype=np.int64)
            )
        yield TestSet(self.dataset, features, protocols)


# ---------------------------------------------------------------------------------------------- extraction
def _extracted(label: str, test_loader, extraction, key, store: FeatureStore, networks, fusion: bool = True):
    """Yield the TestSets of torchreid's test loaders."""
    for name, loaders in test_loader.items():
        items = [(*item[:3], split == "query") for split, loader in loaders.items() for item in loader.dataset.data]
        paths = [item[0] for item in items]

        def extract(loaders: Any = loaders, name: str = name) -> Any:
            os.makedirs(store.folder, exist_ok=True)
            extraction.folder = store.folder
            with own_randomness(), evaluating(*networks):
                own, fused = extraction.dataset(loaders, name)
            return fused if fusion and fused is not None else own

        images = fingerprint_of_images(items, extraction.views_of(paths).tolist())
        features = store.fetch(file_name(label), name, {**key, "images": images}, extract)
        yield TestSet(
            name,
            with_paths(features, paths),
            protocols_of(loaders),
            getattr(loaders["query"].dataset, "dataset_dir", ""),
            tuple(getattr(loaders["query"].dataset, "train", ())),
        )


def _network_key(config, networks):
    data = config.data
    return {
        "model": config.model.name,
        "model options": config.ealn.vggm_feature,
        "image size": [data.height, data.width],
        "normalization": [list(data.norm_mean), list(data.norm_std)],
        "weights": fingerprint_of_networks(*networks),
    }
