"""Any model of timm (Wightman, PyTorch Image Models) as a backbone that keeps the contract of torchreid's factory.

timm is an optional package, and is imported when the first of its models is asked for.
"""

import difflib
import functools
import logging
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.system.extras import check_extra

log = logging.getLogger(__name__)

PREFIX = "timm:"
"""Before the names that timm gives its models: timm:convnext_atto."""
BODY = "body."
"""Before the names of timm's own layers in a ``TimmBackbone``."""
EXTRA, PACKAGES = "timm", ("timm",)


class TimmBackbone(nn.Module):
    """A network of timm without its classifier, and a linear classifier on its pooled feature.

    Args:
        body: made by ``timm.create_model(..., num_classes=0)``: images to pooled features.
        num_classes: training identities. loss: 'softmax' or 'triplet', what train mode returns.
        name: what messages call it.

    Attributes:
        feature_dim: length of the feature.

    forward: images [batch, 3, height, width] -> train mode (logits [batch, num_classes], features [batch,
    feature_dim]), or logits alone with 'softmax'; eval mode: features. With ``return_featuremaps`` the last feature map
    [batch, channels, rows, columns] before it is pooled, as torchreid's OSNet returns it.

    Raises:
        ValueError: another loss.
    """

    def __init__(self, body: nn.Module, num_classes: int, loss: str = "softmax", name: str = "") -> None:
        super().__init__()
        if loss not in ("softmax", "triplet"):
            raise ValueError(f"loss '{loss}' is unknown to {PREFIX}{name}; choose 'softmax' or 'triplet'")
        self.body, self.loss, self.name = body, loss, name
        self.feature_dim = int(getattr(body, "head_hidden_size", None) or body.num_features)  # type: ignore[arg-type]
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)  # as torchreid's models begin
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor, return_featuremaps: bool = False) -> Any:
        """See the class."""
        if return_featuremaps:
            return self.feature_maps(images)
        features = self.body(images)
        if not self.training:
            return features
        logits = self.classifier(features)
        return logits if self.loss == "softmax" else (logits, features)

    def feature_maps(self, images: Tensor) -> Tensor:
        """The last maps before they are pooled; of a transformer its tokens in the order of their patches.

        Args:
            images: [n, 3, height, width].
        Returns:
            [n, channels, rows, columns]
        Raises:
            ValueError: the last layer has no order in the plane.
        """
        maps = self.body.forward_features(images)  # type: ignore[operator]
        if torch.is_tensor(maps) and maps.dim() == 4:
            last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"
            return maps.permute(0, 3, 1, 2) if last else maps
        rows, columns = self._grid()
        prefix = int(getattr(self.body, "num_prefix_tokens", 0))
        if not torch.is_tensor(maps) or maps.dim() != 3 or maps.shape[1] != prefix + rows * columns or not rows:
            raise ValueError(
                f"{PREFIX}{self.name} has no last map with a height and a width, only "
                f"{list(maps.shape) if torch.is_tensor(maps) else type(maps).__name__}; response maps cannot be drawn "
                "for it: leave them out, or use another model"
            )
        return maps[:, prefix:].transpose(1, 2).unflatten(2, (rows, columns))

    def _grid(self) -> tuple[int, int]:
        grid = getattr(getattr(self.body, "patch_embed", None), "grid_size", None)
        return (int(grid[0]), int(grid[1])) if isinstance(grid, (tuple, list)) and len(grid) == 2 else (0, 0)


def build_timm(
    name: str,
    num_classes: int = 1000,
    loss: str = "softmax",
    pretrained: bool = True,
    use_gpu: bool = True,
    height: int | None = None,
    width: int | None = None,
) -> TimmBackbone:
    """A timm model the way torchreid's factory calls its models.

    Args:
        name: as timm has it, with or without the prefix, such as 'timm:convnext_atto' or 'vit_tiny_patch16_224'.
        num_classes, loss: see ``TimmBackbone``. pretrained: with timm's own weights, which it downloads.
        use_gpu: torchreid's argument, not used.
        height, width: of the images in pixels; None: those that the weights were made for. Models that take any size
            take these as well; those with positions are built for them, their pretrained positions interpolated.
    Returns:
        TimmBackbone
    Raises:
        RuntimeError: timm is not installed. ValueError: no model of that name, a size that it does not take, or weights
            that cannot be had.
    """
    name = check_timm_name(name)
    config = _pretrained_config(name)
    own = (int(config.input_size[1]), int(config.input_size[2]))
    size = (height or own[0], width or own[1])
    try:
        body = _create(name, size, own, bool(config.fixed_input_size), pretrained)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ValueError(
            f"model.pretrained is True, but timm could not get the weights of {PREFIX}{name} ({type(error).__name__}: "
            f"{reason}); connect to the network once, set model.pretrained False, or give a file with "
            "model.load_weights"
        ) from error
    if config.fixed_input_size:
        _check_multiple(name, size, _patch_of(body))
    return TimmBackbone(body, num_classes, loss, name)


def check_timm_name(name: str) -> str:
    """The name of a model as timm has it, the prefix taken off.

    Raises:
        RuntimeError: timm is not installed. ValueError: it has no such model; with the nearest name.
    """
    timm, short = _timm(), name.removeprefix(PREFIX)
    model, _, tag = short.partition(".")
    known = timm.list_models()
    if model not in known:
        near = difflib.get_close_matches(model, known, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "timm.list_models() lists them"
        raise ValueError(
            f"model.name is {PREFIX + short!r}, expected one of timm's {len(known)} models, such as "
            f"{PREFIX}convnext_atto; {hint}"
        )
    tags = timm.list_pretrained(f"{model}.*")
    if tag and short not in tags:
        raise ValueError(
            f"model.name is {PREFIX + short!r}, but timm has no weights {tag!r} of {model}; use one of "
            f"{', '.join(each.partition('.')[2] for each in tags) or 'none: leave the tag out'}"
        )
    return short


@functools.lru_cache(maxsize=32)
def timm_input(name: str) -> dict[str, Any]:
    """What images a timm model was made for, from its pretrained config; nothing is downloaded.

    Args:
        name: with or without the prefix.
    Returns:
        {'height', 'width': pixels; 'mean', 'std': lists of three, for pixels in [0, 1]; 'multiple': what height and
        width have to be a multiple of, the side of a patch in models that are built for one size; 1 in others}
    Raises:
        RuntimeError, ValueError: as ``check_timm_name``.
    """
    name = check_timm_name(name)
    config, multiple = _pretrained_config(name), 1
    if config.fixed_input_size:
        with torch.device("meta"):  # no memory, and no random number is drawn
            multiple = _patch_of(_timm().create_model(name, num_classes=0))
    return {
        "height": int(config.input_size[1]),
        "width": int(config.input_size[2]),
        "mean": [float(value) for value in config.mean],
        "std": [float(value) for value in config.std],
        "multiple": multiple,
    }


def _create(name: str, size: tuple[int, int], own: tuple[int, int], fixed: bool, pretrained: bool) -> nn.Module:
    """timm's network without classifier; ``fixed``: it is built for one size of images, which it may be told."""
    create = functools.partial(_timm().create_model, name, pretrained=pretrained, num_classes=0)
    if not fixed or size == own:
        return create()
    try:
        return create(img_size=size)
    except (TypeError, AssertionError) as error:
        raise ValueError(
            f"{PREFIX}{name} takes no images of {size[0]} x {size[1]} pixels ({error or type(error).__name__}); set "
            f"data.height {own[0]} data.width {own[1]}, those of its pretrained config"
        ) from error


def _pretrained_config(name: str) -> Any:
    return _timm().get_pretrained_cfg(name) or _timm().models.PretrainedCfg()


def _patch_of(body: nn.Module) -> int:
    """The side of a patch in pixels, 1 where there are none, or where they are not square."""
    patch = getattr(getattr(body, "patch_embed", None), "patch_size", 1)
    sides = set(patch) if isinstance(patch, (tuple, list)) else {patch}
    return int(sides.pop()) if len(sides) == 1 else 1


def _check_multiple(name: str, size: tuple[int, int], patch: int) -> None:
    for side, pixels in zip(("height", "width"), size):
        if pixels % patch:
            lower = pixels // patch * patch
            raise ValueError(
                f"data.{side} is {pixels}, expected a multiple of the {patch} pixels that a patch of {PREFIX}{name} "
                f"has; use {f'{lower} or ' if lower else ''}{lower + patch}"
            )


def _timm() -> Any:
    check_extra(EXTRA, PACKAGES, f"models called {PREFIX}NAME")
    import timm

    return timm
