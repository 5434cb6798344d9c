"""Seeds and random states: everything random in a run comes from here."""

import contextlib
import hashlib
import random

import numpy as np
import torch


def random_states(device):
    """Every global random state, as plain containers and tensors."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states = {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states, device):
    """Undo ``random_states``; a CUDA state is skipped on a machine without CUDA."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


@contextlib.contextmanager
def _numpy_seeded(seed):
    """Within it numpy's global random state starts from ``seed``; afterwards it is as before."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def derived_seed(*parts):
    """A 63-bit seed for each sequence of integers or words, independent between different sequences."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def seed_everything(seed):
    """Seed Python's, numpy's and torch's global random states, those of every device too."""
    seed_transforms(seed)
    torch.manual_seed(seed)


def seed_transforms(seed):
    """Seed the global random states that an image transform draws from: all of the CPU's.

    ``torch.manual_seed`` visits every kind of device as well, which takes longer than to load a small image.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.random.default_generator.manual_seed(seed)


@contextlib.contextmanager
def own_randomness(seed=None):
    """Within it the global random states (of the CPU) start from ``seed``, or go on; afterwards they are as before."""
    before = random_states(torch.device("cpu"))
    try:
        if seed is not None:
            seed_transforms(seed)
        yield
    finally:
        restore_random_states(before, torch.device("cpu"))
