"""Features kept on disk, so that ranking the same images again costs no forward pass."""

import hashlib
import json
import logging
import os
from dataclasses import replace

import torch

from ealn_plugin.evaluation.features import Features
from ealn_plugin.system.files import write_atomically

log = logging.getLogger(__name__)


class FeatureStore:
    """A folder with one .npz file per network and dataset, and beside each a JSON file that says what made it.

    Args:
        folder: made when the first features are stored.
        recompute: extract again what is there already.
    """

    def __init__(self, folder, recompute=False):
        self.folder, self.recompute = os.fspath(folder), recompute

    def path(self, network, dataset):
        """Where the features of a dataset under a network are, or would be."""
        return os.path.join(self.folder, network, f"{dataset}.npz")

    def fetch(self, network, dataset, key, extract):
        """The stored features if they were made by what ``key`` describes, else new ones.

        Args:
            network, dataset: names that can be those of a folder and of a file.
            key: dict of JSON values, everything the features depend on.
            extract: function of no arguments that returns Features; its rows must have the order of ``key``.
        Returns:
            Features
        Raises:
            OSError: the folder cannot be written.
        """
        path, key = self.path(network, dataset), json.loads(json.dumps(key))
        key_path = f"{os.path.splitext(path)[0]}.json"
        stored = self._stored(path, key_path, key)
        if stored is not None:
            return stored
        features = extract()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.exists(key_path):
            os.unlink(key_path)  # first: a crash between the next two lines must not leave new features with an old key
        features.save(path)
        write_atomically(key_path, json.dumps(key, indent=1, sort_keys=True) + "\n")
        return features

    def _stored(self, path, key_path, key):
        if not os.path.exists(path):
            return None
        if self.recompute:
            log.info("features of %s: extracting again, as asked", path)
            return None
        try:
            with open(key_path, encoding="utf-8") as file:
                then = json.load(file)
            changed = sorted(name for name in {*then, *key} if then.get(name) != key.get(name))
            if changed:
                log.info("features of %s: extracting again, changed since: %s", path, ", ".join(changed))
                return None
            features = Features.load(path)
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            log.warning("features of %s cannot be used (%s): extracting again", path, error)
            return None
        log.info("features of %s: %d images, stored before", path, len(features))
        return features


def fingerprint_of_networks(*modules):
    """SHA-256 over every parameter and buffer of the modules, as a hexadecimal string."""
    digest = hashlib.sha256()
    for number, module in enumerate(modules):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{number} {name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            tensor = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(tensor.view(torch.uint8).numpy() if tensor.numel() else b"")
    return digest.hexdigest()


def fingerprint_of_images(items, views):
    """SHA-256 over a dataset's test images: which files, their sizes and times of change, and all their labels.

    Args:
        items: list of (path, pid, camid, is_query); views: sequence of values of ``View``, one per item.
    Returns:
        hexadecimal string; where the dataset's folder lies plays no part.
    """
    folder = os.path.commonpath([os.path.abspath(path) for path, *_ in items]) if items else ""
    digest = hashlib.sha256()
    for (path, pid, camid, is_query), view in zip(items, views):
        try:
            state = os.stat(path)
            state = f"{state.st_size} {state.st_mtime_ns}"
        except OSError:
            state = "absent"  # reading it will say so
        name = os.path.relpath(os.path.abspath(path), folder)
        digest.update(os.fsencode(name))
        digest.update(f"\0{int(pid)} {int(camid)} {int(view)} {bool(is_query)} {state}\n".encode())
    return digest.hexdigest()


def with_paths(features, paths):
    """The same features with the images' present paths, for datasets that were moved since."""
    return replace(features, paths=list(paths))
