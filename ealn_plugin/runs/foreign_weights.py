"""Checkpoints of FastReID, TransReID and its forerunner: their names of layers, and what their networks do otherwise.

The names are those of the published code; docs/guides/backbones.md lists what fits. A layout is told by its names
alone, so nobody has to say where a file comes from.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ealn_plugin.models import NeckedBackbone, check_backbone
from ealn_plugin.models.foreign import as_in_fastreid, is_torchreid_resnet, overlap_patches, patch_grid
from ealn_plugin.models.last_stride import remove_last_stride
from ealn_plugin.models.timm_backbone import PREFIX, TimmBackbone

log = logging.getLogger(__name__)

FASTREID, TRANSREID, BASELINE = "FastReID", "TransReID", "reid-strong-baseline"
_NECK_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_GEM_IDENTITIES = {13164: "VehicleID", 30671: "VERI-Wild"}
"""Training identities of the datasets for which FastReID's published configs pool with a fixed p that is in no file."""
_SHOWN = 4


@dataclass
class Foreign:
    """The weights of a file in one of the layouts, under the names that the layers have in torchreid or timm.

    Attributes:
        layout: FASTREID, TRANSREID or BASELINE.
        tensors: {name of a backbone's layer: tensor}. neck: those of its normalization, {} where it has none.
        more: further tensors that a network of ours can take, by their own names. left_out: names of layers of further
            branches, without which the main feature is what it is in the original.
        changing: names of layers that change the main feature and that no network of ours has.
        identities: training identities, 0 where the file does not say.
        older: of FastReID before the autumn of 2020, when its head and its first pooling changed.
    """

    layout: str
    tensors: dict[str, Tensor]
    neck: dict[str, Tensor] = field(default_factory=dict)
    more: dict[str, Tensor] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    changing: list[str] = field(default_factory=list)
    identities: int = 0
    older: bool = False


def recognised(tensors: Mapping[str, Tensor]) -> Foreign | None:
    """The weights of a state dict in one of the layouts as ``Foreign``, None where it is in none of them."""
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    starts = {name.partition(".")[0] for name in tensors}
    if {"backbone", "heads"} <= starts:
        return _fastreid(tensors)
    if {"base.cls_token", "base.pos_embed"} <= tensors.keys():
        return _transreid(tensors)
    if {"base.conv1.weight", "bottleneck.weight"} <= tensors.keys():
        return Foreign(
            BASELINE,
            _below(tensors, "base"),
            _neck(tensors, "bottleneck"),
            identities=_rows(tensors, "classifier.weight"),
        )
    return None


def _fastreid(tensors):
    heads, backbone = _below(tensors, "heads"), _below(tensors, "backbone")
    norm = next((at for at in ("bottleneck.1", "bottleneck.0", "bnneck") if f"{at}.running_mean" in heads), "")
    more = {name: backbone.pop(name) for name in list(backbone) if name.startswith("NL_")}
    more.update({f"heads.{name}": value for name, value in heads.items() if name in _HEAD_PARTS})
    known = {*_HEAD_PARTS, "weight", "classifier.weight", *(f"{norm}.{part}" for part in _NECK_PARTS)}
    changing = [f"heads.{name}" for name in heads if name not in known and not name.startswith("cls_layer.")]
    return Foreign(
        FASTREID,
        backbone,
        _neck(heads, norm) if norm else {},
        more,
        changing=changing,
        older=norm == "bnneck",
        identities=_rows(heads, "weight") or _rows(heads, "classifier.weight"),
    )


_HEAD_PARTS = ("pool_layer.p", "bottleneck.0.weight")
"""Of FastReID's head: the power of its pooling, and the convolution that shortens the feature."""


def _transreid(tensors):
    base = _below(tensors, "base")
    depth = 1 + max(int(name.split(".")[1]) for name in base if name.startswith("blocks."))
    named = {name: value for name, value in base.items() if not name.startswith(("fc.", "sie_embed"))}
    named.update({f"blocks.{depth - 1}.{name}": value for name, value in _below(tensors, "b1.0").items()})
    named.update({f"norm.{name}": value for name, value in _below(tensors, "b1.1").items()})
    return Foreign(
        TRANSREID,
        {f"body.{name}": value for name, value in named.items()},
        left_out=[name for name in tensors if name.startswith(("b2.", "bottleneck_"))],
        changing=[name for name in tensors if name.startswith("base.sie_embed")],
        identities=_rows(tensors, "classifier.weight"),
    )


def _below(tensors, prefix):
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def _neck(tensors, at):
    """Tensors of a normalization that stands at a name, told apart from a convolution by its dimensions."""
    found = {part: tensors[f"{at}.{part}"] for part in _NECK_PARTS if f"{at}.{part}" in tensors}
    return found if found.get("weight") is not None and found["weight"].dim() == 1 else {}


def _rows(tensors, name):
    return len(tensors[name]) if name in tensors else 0


# ---------------------------------------------------------------------------------------------- into our networks
def take_over(model: nn.Module, foreign: Foreign, path: str, flag: str, size: tuple[int, int]) -> nn.Module:
    """Have a network of ours compute the feature that the network of the file does, and return it.

    Args:
        model: backbone without neck, changed in place. flag, path: for messages. size: (height, width) of the images.
    Returns:
        the backbone, wrapped where the file's feature is that behind its neck.
    Raises:
        ValueError: no network of ours computes that feature; one sentence that names the layers at fault.
    """
    about = f"{flag} {path!r} is a checkpoint of {foreign.layout}"
    if foreign.changing:
        raise ValueError(
            f"{about}, but {_listed(foreign.changing)} {_have(foreign.changing)} no place in a network here and would "
            f"change every feature{_reason(foreign.changing)}; give a checkpoint without"
        )
    if foreign.layout == TRANSREID:
        return _into_timm(model, foreign, about, size)
    return _into_resnet(model, foreign, about, size)


def _into_timm(model, foreign, about, size):
    if not isinstance(model, TimmBackbone) or not hasattr(getattr(model.body, "patch_embed", None), "proj"):
        raise ValueError(f"{about}; use it with a vision transformer such as {PREFIX}vit_base_patch16_224")
    patch: Any = model.body.patch_embed.patch_size
    wanted = foreign.tensors["body.pos_embed"].shape[1] - 1
    grids = {stride: patch_grid(size, patch, stride) for stride in range(patch[0], patch[0] // 2 - 1, -1)}
    stride = next((stride for stride, (rows, columns) in grids.items() if rows * columns == wanted), 0)
    if not stride:
        side = round(wanted**0.5)
        raise ValueError(
            f"{about} with positions for {wanted} patches, but images of {size[0]} x {size[1]} pixels have "
            f"{grids[patch[0]][0] * grids[patch[0]][1]}; give the size that it was trained with, such as --height "
            f"{side * patch[0]} --width {side * patch[0]}"
        )
    if stride != patch[0]:
        overlap_patches(model, stride, size)
    _fill(model, foreign.tensors, about)
    log.info(
        "%s: the feature before its bottleneck, as its vehicle configs test; patches %d pixels apart", about, stride
    )
    if foreign.left_out:
        log.warning(
            "%s: its global feature alone, %s %s no place here; the published figures are those of all its features",
            about,
            _listed(foreign.left_out),
            _have(foreign.left_out),
        )
    return model


def _into_resnet(model, foreign, about, size):
    if not is_torchreid_resnet(model) or model.fc is not None:
        raise ValueError(f"{about} with a ResNet; use it with a model such as resnet50 or resnet50_ibn_a")
    more, done = foreign.more, ["the last stride taken out"]
    if foreign.layout == FASTREID:
        power = more["heads.pool_layer.p"] if "heads.pool_layer.p" in more else None
        power = None if power is None else float(power.flatten()[0])
        if power is None and foreign.identities in _GEM_IDENTITIES:
            power = 3.0
            done.append(f"p 3 of its published configs of {_GEM_IDENTITIES[foreign.identities]}")
        elif power is not None:
            done.append(f"p {power:.3g}")
        non_local = {name: value for name, value in more.items() if name.startswith("NL_")}
        _fill(model, foreign.tensors, about)
        as_in_fastreid(model, not foreign.older, power, non_local)
        done += [f"{len(non_local)} tensors of non-local blocks"] if non_local else []
    else:
        model.relu = nn.Identity()  # its network has none behind the first convolution
        _fill(model, foreign.tensors, about)
    remove_last_stride(model, *size)
    shorter = more.get("heads.bottleneck.0.weight")
    if shorter is not None and shorter.dim() == 4:
        model.fc = nn.Linear(shorter.shape[1], shorter.shape[0], bias=False)
        model.fc.weight.data.copy_(shorter.flatten(1))
        model.classifier = nn.Identity() if foreign.neck else nn.Linear(shorter.shape[0], 1)
    done.append("the feature behind its neck" if foreign.neck else "the feature that it pools")
    log.info("%s: %s", about, ", ".join(done))
    return _with_neck(model, foreign.neck, size)


def _with_neck(model, neck, size):
    if not neck:
        return model
    necked = NeckedBackbone(model, check_backbone(model, *size), 1, "after")
    own = necked.neck.state_dict()
    necked.neck.load_state_dict({**own, **neck})
    return necked


def _fill(model, named, about):
    """Fill every layer before the classifier; a layer too many or too few is refused."""
    own = {name: value for name, value in model.state_dict().items() if not name.startswith("classifier.")}
    counts = {name for name in own if name.endswith("num_batches_tracked")}
    lost = [name for name in named if name not in own]
    missing = [name for name in own if name not in named and name not in counts]
    wrong = [name for name in own if name in named and own[name].shape != named[name].shape]
    if lost or missing or wrong:
        parts = [
            f"{_listed(names)} {what}"
            for names, what in (
                (lost, "of the file have no place in it"),
                (missing, "of it are not in the file"),
                (wrong, "have other sizes"),
            )
            if names
        ]
        hint = "; with IBN layers it is resnet50_ibn_a" if any(".IN." in name for name in lost) else ""
        raise ValueError(
            f"{about} that does not fit {type(model).__name__}: {', '.join(parts)}; use another model{hint}"
        )
    model.load_state_dict({**model.state_dict(), **named})


def _listed(names):
    first = ", ".join(names[:_SHOWN])
    return f"{first} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else first


def _have(names):
    return "has" if len(names) == 1 else "have"


def _reason(names):
    return " by the camera and the view of its image" if any("sie_embed" in name for name in names) else ""


def start_from(foreign: Foreign) -> dict[str, Tensor]:
    """The backbone's weights to begin a training with, told in the log what the original has besides."""
    log.info(
        "the file is a checkpoint of %s; its layers are taken as they are, and what its network has besides is set by "
        "ealn.last_stride 1 and ealn.neck after",
        foreign.layout,
    )
    return foreign.tensors


def content_of(found: Any) -> Foreign | None:
    """The first state dict in one of the layouts among (place, {name: tensor}) pairs, as ``Foreign``."""
    return next((known for _, tensors in found if (known := recognised(tensors)) is not None), None)
