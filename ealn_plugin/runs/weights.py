"""Weights of an embedding network from a file: all of them for a test, as many as fit to start a training."""

import logging
import os

import numpy as np
import torch

from ealn_plugin.models import VGGM, load_vggm_weights

log = logging.getLogger(__name__)

CLASSIFIER = "classifier"
"""torchreid's models call every layer so whose size is the number of training identities."""


def check_file(path, flag="--weights"):
    """Raise FileNotFoundError, with one sentence, unless there is a file of that name."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{flag} is {path!r}, but there is no such file; give a checkpoint of torchreid or a "
            "state dict saved with torch.save"
        )


def load_weights(model, path, flag="--weights"):
    """Fill every layer of ``model`` but its classifier from a torchreid checkpoint or a plain state dict.

    Args:
        flag: what the user calls the file in messages.
    Raises:
        FileNotFoundError, ValueError: no such file, not a file of weights, or one of another architecture.
    """
    weights = _read_weights(path, flag)
    own, kept = model.state_dict(), {}
    for key, value in own.items():
        fits = key in weights and weights[key].shape == value.shape
        if fits:
            kept[key] = weights[key]
        elif not key.startswith(CLASSIFIER) and not key.endswith("num_batches_tracked"):
            there = f"{list(weights[key].shape)} there" if key in weights else "not there"
            raise ValueError(
                f"{flag} {path!r} does not fit {type(model).__name__}: layer {key!r} is {there} and "
                f"{list(value.shape)} in the network; give weights of the same --model"
            )
    _fill(model, {**own, **kept}, path, flag)
    unused = sorted(weights.keys() - own.keys())
    log.info(
        "%s: %d of %d layers filled%s",
        path,
        len(kept),
        len(own),
        f", {len(unused)} of the file not used, such as {unused[0]}" if unused else "",
    )


def fill_weights(model, path, norm_mean, norm_std, flag="model.load_weights"):
    """Fill the layers of ``model`` that a file fits, to start a training from them, and log which.

    Args:
        norm_mean, norm_std: the normalization of the images, which the first layer of the public `vggm` file is
            adapted to.
        flag: what the user calls the file in messages.
    Raises:
        FileNotFoundError, ValueError: no such file, not a file of weights, or one that fits no layer.
    """
    weights = _read_weights(path, flag)
    if isinstance(model, VGGM):
        filled, left = load_vggm_weights(model, weights, norm_mean=norm_mean, norm_std=norm_std)
    else:
        own = model.state_dict()
        fitting = {key: weights[key] for key in own if key in weights and own[key].shape == weights[key].shape}
        _fill(model, {**own, **fitting}, path, flag)
        filled, left = list(fitting), [key for key in own if key not in fitting]
    if not any(not key.startswith(CLASSIFIER) for key in filled):
        raise ValueError(
            f"{flag} {path!r} fits no layer of {type(model).__name__} before the classifier; its first "
            f"layers are {', '.join(list(weights)[:3])}: use weights of the same model.name"
        )
    log.info("%s filled %d layers: %s", path, len(filled), ", ".join(filled))
    if left:
        log.info("not filled, they start fresh: %s", ", ".join(left))


def _fill(model, weights, path, flag):
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{flag} {path!r} holds tensors of a kind that {type(model).__name__} cannot take; save its "
            "state dict with torch.save as plain dense tensors"
        ) from error


def _read_weights(path, flag):
    check_file(path, flag)
    # torchreid's own engines save their rank 1 as a numpy scalar, under a module name that depends on numpy's version.
    scalar = np.float64(0).__reduce__()[0]
    names = [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    try:
        with torch.serialization.safe_globals([*names, np.dtype, *kinds]):
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file; all of them mean the same here
        raise ValueError(
            f"{flag} {path!r} cannot be read as plain tensors ({type(error).__name__}); save a state "
            "dict with torch.save"
        ) from error
    if isinstance(weights, dict) and "ealn_format" in weights:
        raise ValueError(
            f"{flag} {path!r} is the checkpoint of a whole EALN run; give its folder with --run or "
            "model.resume, or the embedding network alone, model/model-last.pth.tar in that folder"
        )
    weights = weights.get("state_dict", weights) if isinstance(weights, dict) else weights
    if not isinstance(weights, dict) or not any(torch.is_tensor(value) for value in weights.values()):
        raise ValueError(
            f"{flag} {path!r} holds no state dict, expected a checkpoint of torchreid or a state dict "
            "saved with torch.save; give another file"
        )
    return {str(key).removeprefix("module."): value for key, value in weights.items() if torch.is_tensor(value)}
