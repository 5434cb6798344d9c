"""Weights of an embedding network from a file: all of them for a test, as many as fit to start a training."""

import logging
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ealn_plugin.models import VGGM, load_vggm_weights
from ealn_plugin.models.timm_backbone import BODY, TimmBackbone
from ealn_plugin.models.vggm import COLLECTION_LAYERS
from ealn_plugin.runs import foreign_weights
from ealn_plugin.runs.references import is_reference, local_file
from ealn_plugin.runs.weight_file import read_file, state_dicts

log = logging.getLogger(__name__)

CLASSIFIER = "classifier"
"""torchreid's models call every layer so whose size is the number of training identities."""

_WRAPPERS = frozenset("module _orig_mod _fsdp_wrapped_module _checkpoint_wrapped_module".split())
"""What DataParallel, torch.compile, FSDP and checkpointing put into the names of layers, at any depth."""


@dataclass(frozen=True)
class _Fitting:
    """Weights of a file under the names that a network's layers have.

    Attributes:
        tensors: {name: tensor}, those that no layer is called like among them.
        fits: how many layers before the classifier they fill. place: where in the file they were; '': the file itself.
        stripped: what stood before the names in the file.
    """

    tensors: dict
    fits: int = 0
    place: str = ""
    stripped: str = ""

    def told(self, path, filled, layers):
        """The line that says what was done with a file: how many of all layers it has filled."""
        place = f", its {self.place!r}" if self.place else ""
        stripped = f"{self.stripped!r} stripped from the names, " if self.stripped else ""
        return f"{path}{place}: {stripped}{filled} of {layers} layers filled"


def number_of_classes(weights: Any) -> Any:
    """How many training identities the classifier in a backbone's state dict was made for; 1 where it has none."""
    name = f"{CLASSIFIER}.weight"  # so in every single-branch model of torchreid
    return len(weights[name]) if name in weights else 1


def check_file(path: str | os.PathLike[str], flag: str = "--weights") -> None:
    """Raise FileNotFoundError, with one sentence, unless there is a file of that name, or it is no path."""
    if not is_reference(path) and not os.path.isfile(path):
        raise FileNotFoundError(
            f"{flag} is {path!r}, but there is no such file; give a checkpoint of torchreid, a "
            "state dict saved with torch.save, or a file of safetensors"
        )


def load_weights(
    model: nn.Module, path: str | os.PathLike[str], flag: str = "--weights", size: tuple[int, int] = (224, 224)
) -> nn.Module:
    """Fill every layer of ``model`` but its classifier from a checkpoint that somebody made, or a plain state dict.

    Args:
        flag: what the user calls the file in messages. size: (height, width) of the images in pixels.
    Returns:
        the model; for a checkpoint of FastReID or TransReID changed to compute what theirs does, see ``take_over``.
    Raises:
        FileNotFoundError, ValueError: no such file, not a file of weights, or one of another architecture.
    """
    content = _content(path, flag)
    foreign = foreign_weights.content_of(state_dicts(content))
    if foreign is not None:
        return foreign_weights.take_over(model, foreign, os.fspath(path), flag, size)
    found = _fitting_weights(model, content, path, flag)
    weights, own, kept = found.tensors, model.state_dict(), {}
    for key, value in own.items():
        fits = key in weights and weights[key].shape == value.shape
        if fits:
            kept[key] = weights[key]
        elif not _is_optional(key):
            there = f"{list(weights[key].shape)} there" if key in weights else "not there"
            raise ValueError(
                f"{flag} {path!r} does not fit {type(model).__name__}: layer {key!r} is {there} and "
                f"{list(value.shape)} in the network; give weights of the same --model"
            )
    _fill(model, {**own, **kept}, path, flag)
    unused = sorted(weights.keys() - own.keys())
    log.info(
        "%s%s",
        found.told(path, len(kept), len(own)),
        f", {len(unused)} of the file not used, such as {unused[0]}" if unused else "",
    )
    if found.stripped and any("neck.running_mean" in tensors for _, tensors in state_dicts(content)):
        log.warning(
            "%s %r is of a run with ealn.neck: its feature before the neck is taken, with the strides of %s; give the "
            "run itself for the feature that it was tested with",
            flag,
            os.fspath(path),
            type(model).__name__,
        )
    return model


def fill_weights(
    model: nn.Module,
    path: str,
    norm_mean: Sequence[float],
    norm_std: Sequence[float],
    flag: str = "model.load_weights",
    tested_size: tuple[int, int] | None = None,
) -> nn.Module:
    """Fill the layers of ``model`` that a file fits, to start a training from them, and log which.

    Args:
        norm_mean, norm_std: the normalization of the images, which the first layer of the public `vggm` file is
            adapted to.
        flag: what the user calls the file in messages.
        tested_size: (height, width) of the images where the network is only tested: a checkpoint of FastReID or
            TransReID then changes it as ``load_weights`` does. None: a training begins with what fits.
    Returns:
        the model.
    Raises:
        FileNotFoundError, ValueError: no such file, not a file of weights, or one that fits no layer.
    """
    content = _content(path, flag)
    foreign = foreign_weights.content_of(state_dicts(content))
    if foreign is not None and tested_size is not None:
        return foreign_weights.take_over(model, foreign, path, flag, tested_size)
    found = _fitting_weights(model, content, path, flag, foreign)
    weights, own = found.tensors, model.state_dict()
    if not found.fits:
        raise ValueError(
            f"{flag} {path!r} fits no layer of {type(model).__name__} before the classifier; its first "
            f"layers are {', '.join(list(weights)[:3])}: use weights of the same model.name"
        )
    if isinstance(model, VGGM):
        filled, left = load_vggm_weights(model, weights, norm_mean=norm_mean, norm_std=norm_std)
    else:
        fitting = {key: weights[key] for key in own if key in weights and own[key].shape == weights[key].shape}
        _fill(model, {**own, **fitting}, path, flag)
        filled, left = list(fitting), [key for key in own if key not in fitting]
    log.info("%s", found.told(path, len(filled), len(filled) + len(left)))
    log.info("filled: %s", ", ".join(filled))
    if left:
        log.info("not filled, they start fresh: %s", ", ".join(left))
    return model


def _is_optional(key):
    return key.startswith(CLASSIFIER) or key.endswith("num_batches_tracked")


def _fill(model, weights, path, flag):
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{flag} {path!r} holds tensors of a kind that {type(model).__name__} cannot take; save its "
            "state dict with torch.save as plain dense tensors"
        ) from error


def _content(path, flag):
    """What a file of weights holds.

    Raises:
        FileNotFoundError, ValueError: no such file, or none of weights; one sentence.
    """
    path = local_file(path, flag)
    check_file(path, flag)
    try:
        content = read_file(path)
    except Exception as error:  # many kinds for a broken file; all of them mean the same here
        reason = error if isinstance(error, pickle.UnpicklingError) else type(error).__name__
        raise ValueError(
            f"{flag} {path!r} cannot be read as plain tensors ({reason}); save a state dict with torch.save"
        ) from error
    if isinstance(content, dict) and "ealn_format" in content:
        raise ValueError(
            f"{flag} {path!r} is the checkpoint of a whole EALN run; give its folder with --run or "
            "model.resume, or the embedding network alone, model/model-last.pth.tar in that folder"
        )
    return content


def _fitting_weights(model, content, path, flag, foreign=None):
    """The weights of a file, or those of a ``Foreign``, under the names of ``model``'s layers, as ``_Fitting``."""
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    if isinstance(model, VGGM):
        for there, here in COLLECTION_LAYERS.items():
            shapes.update({f"{there}.{kind}": shapes[f"{here}.{kind}"] for kind in ("weight", "bias")})
    wanted = sum(not _is_optional(key) for key in model.state_dict())
    dicts = list(state_dicts(content))
    if foreign is not None:
        dicts = [(foreign.layout, foreign_weights.start_from(foreign))]
    found = [_fit(tensors, shapes, wanted, place) for place, tensors in dicts]
    if isinstance(model, TimmBackbone):  # timm's own files do not know that its network is a part of another one
        found += [_fit(_in_body(tensors), shapes, wanted, place) for place, tensors in dicts]
    if not found:
        raise ValueError(
            f"{flag} {path!r} holds no state dict, expected a checkpoint of torchreid or a state dict "
            "saved with torch.save; give another file"
        )
    return max(found, key=lambda each: (each.fits, "ema" not in each.place.lower()))  # of equals the first


def _in_body(tensors):
    return {f"{BODY}{name.removeprefix('module.')}": value for name, value in tensors.items()}


# ---------------------------------------------------------------------------------------------- names of layers
def _fit(tensors, shapes, wanted, place):
    """The tensors of one state dict as ``_Fitting``, by the prefix with which most of them fit.

    A prefix is what stands before the names of the network's layers in the file. One that belongs to fewer than half
    of the network's layers is no prefix but an accident: blocks of other networks have layers of the same sizes.

    Args:
        shapes: {name of a layer: shape}. wanted: how many layers the network has, those that may be missing apart.
    """
    inner = {part for name in shapes for part in name.split(".")}
    plain, removed = {}, {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        short = ".".join(part for part in parts if part not in _WRAPPERS or part in inner)
        plain.setdefault(short, tensor)
        removed.setdefault(short, name)
    counts = {"": 0}
    for name, tensor in plain.items():
        for start in _starts(name):
            own = name[start:]
            if own in shapes and not _is_optional(own) and shapes[own] == tensor.shape:
                counts[name[:start]] = counts.get(name[:start], 0) + 1
    prefix = max(counts, key=lambda each: (counts[each], "ema" not in each.lower()))
    if counts[prefix] < max(counts[""] + 1, wanted / 2):
        prefix = ""
    named = {name[len(prefix) :]: tensor for name, tensor in plain.items() if name.startswith(prefix)}
    return _Fitting(named, counts[prefix], place, _stripped(prefix, named, removed))


def _starts(name):
    """Where the name of a layer may begin within a name: at 0 and behind every dot."""
    return [0, *(place + 1 for place, character in enumerate(name) if character == ".")]


def _stripped(prefix, named, written):
    """What the file has written before, or into, the names of layers: of the first of them that has most."""
    extra = [_difference(written[prefix + name], name) for name in named]
    return max(extra, key=len, default="")


def _difference(name, own):
    if name.endswith(own):
        return name.removesuffix(own)
    left = own.split(".")
    return "".join(f"{part}." for part in name.split(".") if not (left and part == left[0] and left.pop(0)))
