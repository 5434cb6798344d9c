"""VGG_CNN_M_1024, the paper's embedding backbone for VeRI-776.

Source of the layer list: Chatfield et al., "Return of the Devil in the Details", BMVC 2014 (CNN-M with a
1024-wide fc7, its Caffe release VGG_CNN_M_1024).
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# What the public `vggm` file was trained on: blue, green, red in [0, 255] less the mean (here in the order
# red, green, blue). Source: the settings beside that model in the pretrained-models collection.
_VGGM_MEAN_255 = (123.68, 116.779, 103.939)

# Layers of the `vggm` file -> layers here. Older copies of the file say `classifier` where newer ones say
# `classif`. Its last layer is fed by 4096 channels and can never fit.
COLLECTION_LAYERS = {
    "features.0": "features.conv1",
    "features.4": "features.conv2",
    "features.8": "features.conv3",
    "features.10": "features.conv4",
    "features.12": "features.conv5",
    "classif.0": "fc6",
    "classifier.0": "fc6",
    "classif.3": "fc7",
    "classifier.3": "fc7",
}
_LAYERS = (
    "features.conv1",
    "features.conv2",
    "features.conv3",
    "features.conv4",
    "features.conv5",
    "fc6",
    "fc7",
    "classifier",
)


class CrossChannelNorm(nn.Module):
    """Local response normalization across channels, AlexNet's and Caffe's.

    Equal to torch.nn.LocalResponseNorm, but averages with a two-dimensional pooling: the backward pass of the
    three-dimensional one has no deterministic CUDA kernel.
    """

    def __init__(self, size: int = 5, alpha: float = 5e-4, beta: float = 0.75, k: float = 2.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [batch, channels, height, width]; the shape stays."""
        squares = x.pow(2).flatten(2).unsqueeze(1)
        mean = F.avg_pool2d(squares, (self.size, 1), stride=1, padding=(self.size // 2, 0))
        return x / mean.squeeze(1).view_as(x).mul(self.alpha).add(self.k).pow(self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _last_pool_size(size: int) -> int:
    """Side of the map that fc6 sees for an image side, 6 for 224; 0 or less if the image is too small."""
    side = (size - 7) // 2 + 1  # conv1
    side = (side - 2) // 2 + 1  # pool1: kernel 3, stride 2, rounded up
    side = (side - 3) // 2 + 1  # conv2: kernel 5, stride 2, padding 1
    side = (side - 2) // 2 + 1  # pool2
    return (side - 2) // 2 + 1 if side > 0 else 0


class VGGM(nn.Module):
    """VGG_CNN_M_1024 with torchreid's calling convention.

    Args:
        num_classes (int): training identities.
        loss ('softmax' | 'triplet'): what training mode returns: logits, or (logits, features).
        feature_activation ('after_relu' | 'before_relu'): the feature is fc7 after or before its ReLU, always
            before dropout. The classifier sees the activated and dropped-out fc7 in both cases.
        input_size (int or (height, width)): pixels of the images; fc6 is as wide as this demands.
        width (float): multiplies every number of channels; 1 is the published network.
        dropout (float): probability on fc6 and fc7, 0.5 in the source.
        **kwargs: further arguments of torchreid's model factories, ignored.

    forward: images [batch, 3, height, width] -> eval: features [batch, feature_dim], not normalized;
    train: logits [batch, num_classes], or (logits, features). feature_dim is 1024 at width 1.
    86,225,536 parameters without the classifier at the defaults. Convolutions and fully connected layers
    start from He et al.'s normal initialization, the classifier from normal(0, 0.01).

    Raises ValueError for an unknown option or an input size too small for the three poolings.
    """

    def __init__(
        self,
        num_classes: int,
        loss: str = "softmax",
        feature_activation: str = "after_relu",
        input_size: int | tuple[int, int] = (224, 224),
        width: float = 1.0,
        dropout: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        _check_options(num_classes, loss, feature_activation, width)
        self.loss, self.feature_activation = loss, feature_activation
        self.input_size = _pair(input_size)
        pooled = [_last_pool_size(side) for side in self.input_size]
        if min(pooled) < 1:
            raise ValueError(
                f"input size {self.input_size[0]}x{self.input_size[1]} is too small for the poolings of "
                f"VGGM, which needs at least 41x41 pixels; set a larger data.height and data.width"
            )
        channels = [max(1, round(count * width)) for count in (96, 256, 512, 4096, 1024)]
        self.features = _features(*channels[:3])
        self.fc6 = nn.Linear(channels[2] * pooled[0] * pooled[1], channels[3])
        self.fc7 = nn.Linear(channels[3], channels[4])
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels[4], num_classes)
        self.feature_dim = channels[4]
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # a bias is there unless asked otherwise
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images [batch, 3, height, width] to features [batch, 1024]; while training logits, or (logits, features)."""
        if tuple(images.shape[-2:]) != self.input_size:
            raise ValueError(
                f"images of {images.shape[-2]}x{images.shape[-1]} pixels reached a VGGM built for "
                f"{self.input_size[0]}x{self.input_size[1]}; build it with input_size set to the image size"
            )
        hidden = F.relu(self.fc6(self.features(images).flatten(1)))
        raw = self.fc7(self.dropout(hidden))
        activated = F.relu(raw)
        features = activated if self.feature_activation == "after_relu" else raw
        if not self.training:
            return features
        logits = self.classifier(self.dropout(activated))
        return logits if self.loss == "softmax" else (logits, features)


def _check_options(num_classes: int, loss: str, feature_activation: str, width: float) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; VGGM needs at least one training identity")
    if loss not in ("softmax", "triplet"):
        raise ValueError(f"loss '{loss}' is unknown to VGGM; choose 'softmax' or 'triplet'")
    if feature_activation not in ("after_relu", "before_relu"):
        raise ValueError(f"feature_activation '{feature_activation}' is unknown; choose 'after_relu' or 'before_relu'")
    if width <= 0:
        raise ValueError(f"width {width} must be a positive multiplier of the channels; 1 is the published network")


def _features(first: int, second: int, third: int) -> nn.Sequential:
    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)

    return nn.Sequential(
        OrderedDict(
            [
                ("conv1", nn.Conv2d(3, first, 7, stride=2)),
                ("relu1", nn.ReLU(inplace=True)),
                ("norm1", CrossChannelNorm()),
                ("pool1", pool()),
                ("conv2", nn.Conv2d(first, second, 5, stride=2, padding=1)),
                ("relu2", nn.ReLU(inplace=True)),
                ("norm2", CrossChannelNorm()),
                ("pool2", pool()),
                ("conv3", nn.Conv2d(second, third, 3, padding=1)),
                ("relu3", nn.ReLU(inplace=True)),
                ("conv4", nn.Conv2d(third, third, 3, padding=1)),
                ("relu4", nn.ReLU(inplace=True)),
                ("conv5", nn.Conv2d(third, third, 3, padding=1)),
                ("relu5", nn.ReLU(inplace=True)),
                ("pool5", pool()),
            ]
        )
    )


def vgg_cnn_m_1024(
    num_classes: int = 1000, loss: str = "softmax", pretrained: bool = False, use_gpu: bool = True, **kwargs: Any
) -> VGGM:
    """Build VGGM the way torchreid's factory calls its models.

    pretrained=True only logs a warning: there is nothing to download. Other keyword arguments go to VGGM.
    """
    if pretrained:
        log.warning(
            "no weights can be downloaded for vgg_cnn_m_1024, it starts from random ones; "
            "`model.load_weights FILE` takes the `vggm` file of the pretrained-models collection"
        )
    return VGGM(num_classes, loss=loss, **kwargs)


def load_vggm_weights(
    model: VGGM,
    state_dict: Mapping[str, Any],
    norm_mean: Sequence[float] = IMAGENET_MEAN,
    norm_std: Sequence[float] = IMAGENET_STD,
) -> tuple[list[str], list[str]]:
    """Fill a VGGM from the `vggm` file of the pretrained-models collection, or from another VGGM.

    Args:
        model (VGGM): filled in place.
        state_dict (dict): name -> tensor, possibly inside {'state_dict': ...}, with or without the prefixes
            `module.` and `backbone.`.
        norm_mean, norm_std: three values each (red, green, blue; images in [0, 1]), the normalization of the
            images that the model will be given. The file expects blue, green, red in [0, 255] less a mean:
            conv1 is rewritten so that it gives the same responses to the images as they come here, which is
            exact because conv1 has no padding. Not used for the weights of another VGGM.

    Returns (filled, left): names of the layers that took weights and of those that keep their own. From the
    `vggm` file conv1 to fc6 are filled; its fc7 is 4096 wide, so fc7 and the classifier are left.
    Raises ValueError if not one layer fits; the model is then unchanged.
    """
    tensors = _strip_prefixes(state_dict.get("state_dict", state_dict))
    foreign = "features.0.weight" in tensors
    if foreign:
        tensors = _rename_layers(tensors)
    own = model.state_dict()
    filled: list[str] = []
    left: list[str] = []
    for layer in _LAYERS:
        names = [f"{layer}.weight", f"{layer}.bias"]
        fits = all(name in tensors and tensors[name].shape == own[name].shape for name in names)
        (filled if fits else left).append(layer)
    if not filled:
        first = next(iter(tensors), "missing")
        raise ValueError(
            f"none of the {len(tensors)} tensors fits a layer of VGGM (the first is '{first}'); give the "
            f"`vggm` file of the pretrained-models collection or a checkpoint of vgg_cnn_m_1024"
        )
    names = [f"{layer}.{kind}" for layer in filled for kind in ("weight", "bias")]
    chosen = {name: tensors[name] for name in names}
    if foreign and "features.conv1" in filled:
        chosen.update(_convert_first_layer(chosen, norm_mean, norm_std))
    model.load_state_dict({**own, **chosen})
    filled, left = ([name.rpartition(".")[2] for name in names] for names in (filled, left))
    log.info(
        "weights loaded into %s; %s",
        ", ".join(filled),
        f"{', '.join(left)} left as initialized" if left else "no layer is left",
    )
    return filled, left


def _strip_prefixes(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    stripped = {}
    for name, tensor in state_dict.items():
        while name.startswith(("module.", "backbone.")):
            name = name.partition(".")[2]
        if torch.is_tensor(tensor):
            stripped[name] = tensor
    return stripped


def _rename_layers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if layer in COLLECTION_LAYERS:
            renamed[f"{COLLECTION_LAYERS[layer]}.{kind}"] = tensor
    return renamed


def _convert_first_layer(
    tensors: Mapping[str, Tensor], norm_mean: Sequence[float], norm_std: Sequence[float]
) -> dict[str, Tensor]:
    """conv1 for normalized red-green-blue images z: 255 * (std * z + mean) - mean_255 becomes part of it."""
    weight = tensors["features.conv1.weight"].double().flip(1)
    scale = 255.0 * torch.tensor(norm_std, dtype=torch.float64, device=weight.device)
    shift = 255.0 * torch.tensor(norm_mean, dtype=torch.float64, device=weight.device)
    shift = shift - torch.tensor(_VGGM_MEAN_255, dtype=torch.float64, device=weight.device)
    bias = tensors["features.conv1.bias"].double() + torch.einsum("ochw,c->o", weight, shift)
    return {"features.conv1.weight": weight * scale.view(1, 3, 1, 1), "features.conv1.bias": bias}
