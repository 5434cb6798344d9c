"""What makes a training step faster without changing what it computes: layout, optimisers, memory, compilation.

All of it leaves losses and gradients the same within the rounding of float32. ``engine.ealn`` applies it once, when an
engine is built; ``tune_optimizer`` again after a checkpoint was loaded.
"""

import ctypes
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from ealn_plugin.engine.optimizers import tune_optimizer
from ealn_plugin.engine.options import AccelerationOptions
from ealn_plugin.models.embedding import check_backbone
from ealn_plugin.schemes.base import Scheme

log = logging.getLogger(__name__)

# Parameters of mallopt(3) in glibc's malloc.h, and what they are set to.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


_NEVER = 2**31 - 1


_LARGE = 2**30


_LARGEST_OF_OLD_GLIBC = 2**25


def accelerate(
    model: nn.Module,
    schemes: Sequence[Scheme],
    optimizers: Sequence[Any],
    size: tuple[int, int],
    options: AccelerationOptions,
) -> None:
    """Prepare networks and optimisers as the options say, in place.

    Args:
        model: torchreid backbone. optimizers: those of all networks; None is passed over.
        size: (height, width) of the images, in pixels.
    """
    if options.channels_last:
        use_channels_last(model, *size)
    for optimizer in optimizers:
        tune_optimizer(optimizer)
    if options.compile:
        compile_networks(model, schemes, "inductor" if options.compile is True else options.compile)


def use_channels_last(model: nn.Module, height: int, width: int) -> bool:
    """Lay out a backbone's weights with the channels last, where it can be used like that.

    Convolutions then take and return images [n, c, h, w] in the memory order [n, h, w, c], which their fast kernels
    want; otherwise every one of them reorders its input and its output.

    Args:
        model: torchreid backbone. height, width: image size in pixels to try it with.
    Returns:
        bool: whether it is so now; a backbone that cannot work in that order is as before.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        check_backbone(model, height, width)
    except ValueError as error:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        log.info("the backbone keeps the default memory layout (%s)", error)
        return False
    return True


def compile_networks(model: nn.Module, schemes: Iterable[Scheme], backend: str = "inductor") -> None:
    """torch.compile every network on its own, in place: parameters and their names stay what they are.

    The number of images changes with their views; torch.compile notices and compiles once more for any number.
    Networks whose gradient is differentiated again (``Scheme.differentiated_twice``) are left out, since
    torch.compile cannot do that.

    Args:
        model: torchreid backbone. schemes: list of ``Scheme``. backend: of torch.compile.
    Raises:
        ValueError: the backend needs a C++ compiler and there is none.
    """
    device = next(model.parameters()).device
    compiler = os.environ.get("CXX") or "g++"
    if backend == "inductor" and device.type == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise ValueError(
            f"ealn.compile is True, but there is no C++ compiler {compiler!r} on this machine, which "
            "torch.compile needs on the CPU; install one, or set ealn.compile False"
        )
    networks = [model]
    for scheme in schemes:
        named = {**scheme.generators, **scheme.discriminators}
        networks += [network for name, network in named.items() if name not in scheme.differentiated_twice]
    for network in networks:
        network.compile(backend=backend)


def keep_freed_memory() -> bool:
    """Have malloc keep what a step frees for the next one, instead of giving it back and faulting it in again.

    A step on the CPU frees and takes hundreds of blocks of megabytes, each of which the system would fill with zeros
    anew. For the whole process, with glibc on Linux; elsewhere nothing happens. The process holds its peak memory.

    Returns:
        bool: whether malloc took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    taken = mallopt(_MMAP_THRESHOLD, _LARGE) or mallopt(_MMAP_THRESHOLD, _LARGEST_OF_OLD_GLIBC)
    return bool(taken and mallopt(_TRIM_THRESHOLD, _NEVER) and mallopt(_TOP_PAD, 2**26))
