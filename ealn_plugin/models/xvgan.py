"""XVGAN's networks: an encoder of a vehicle and its viewpoint, a decoder of the wanted view, and a discriminator.

Source: Zhou and Shao, Cross-View GAN Based Vehicle Generation for Re-identification, BMVC 2017.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATTRIBUTES, VIEWPOINT, NOISE = 256, 128, 100  # lengths of the codes (256 and 128 in the source) and of the noise
VIEWS = 3  # that a code's viewpoint is classified into: front, rear and side; five in the source
_SMALLEST = 3  # sides of the smallest map in pixels
_POOLED = 4  # sides of the map that the encoder's fully connected layers see


def halvings_of(image_size: tuple[int, int]) -> int:
    """How often both sides (height, width) can be halved so that 3 pixels and more are left.

    Raises:
        ValueError: not even once.
    """
    count = 0
    while not any(side % 2 ** (count + 1) or side // 2 ** (count + 1) < _SMALLEST for side in image_size):
        count += 1
    if not count:
        raise ValueError(
            f"images of {image_size[0]}x{image_size[1]} pixels cannot be halved down to {_SMALLEST}; give even "
            f"sides of {2 * _SMALLEST} pixels and more, best a multiple of a power of two"
        )
    return count


def _halving(filters: int, count: int) -> tuple[nn.Sequential, int]:
    """``count`` convolutions of stride 2 with LeakyReLU from 3 channels, and how many channels come out."""
    if filters < 1:
        raise ValueError(f"XVGAN's networks have {filters} filters, expected 1 or more")
    widths = [3] + [filters * 2 ** min(depth, 3) for depth in range(count)]
    layers: list[nn.Module] = []
    for below, above in zip(widths, widths[1:]):
        layers += [nn.Conv2d(below, above, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers), widths[-1]


class VehicleEncoder(nn.Module):
    """The body of XVGAN's classification network: what the vehicle is, and from where it is seen, in two codes.

    Four convolutions and two fully connected layers, each with LeakyReLU; the second is split in two, and each half is
    classified by its own layer of ``CodeClassifier``, which makes the vehicle strong in one code and the view in the
    other. The last map is averaged to 4x4, so that the layers behind it do not grow with the image.

    Args:
        filters: channels after the first convolution, 8 times as many after the fourth.
        hidden: values behind the first fully connected layer.

    forward: images [n, 3, h, w] in [-1, 1], at least 16x16 -> (attributes [n, 256], viewpoint [n, 128]), float32.
    """

    def __init__(self, filters: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        self.body, channels = _halving(filters, 4)
        self.pool = nn.AdaptiveAvgPool2d(_POOLED)
        self.hidden = nn.Sequential(nn.Linear(channels * _POOLED**2, hidden), nn.LeakyReLU(0.2))
        self.attributes = nn.Sequential(nn.Linear(hidden, ATTRIBUTES), nn.LeakyReLU(0.2))
        self.viewpoint = nn.Sequential(nn.Linear(hidden, VIEWPOINT), nn.LeakyReLU(0.2))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(self.pool(self.body(images)).flatten(1))
        return self.attributes(hidden).to(images.dtype), self.viewpoint(hidden).to(images.dtype)


class CodeClassifier(nn.Module):
    """The last layers of XVGAN's classification network, which only training needs.

    Args:
        vehicles: training identities. The source classifies models, colours and types, which few datasets tell; an
            identity implies them all.

    forward: attributes [n, 256], viewpoint [n, 128] -> logits (vehicles [n, vehicles], views [n, 3]).
    """

    def __init__(self, vehicles: int) -> None:
        super().__init__()
        self.vehicle, self.view = nn.Linear(ATTRIBUTES, vehicles), nn.Linear(VIEWPOINT, VIEWS)

    def forward(self, attributes: Tensor, viewpoint: Tensor) -> tuple[Tensor, Tensor]:
        return self.vehicle(attributes).to(attributes.dtype), self.view(viewpoint).to(viewpoint.dtype)


class CrossViewDecoder(nn.Module):
    """XVGAN's generator: a vehicle's code, noise and the centre of the wanted viewpoint's codes become an image.

    The centre of a view is the mean code of the training images that show it (``learn_centres``); the source finds
    them by k-means, whose clusters are the views once these are told apart. A fully connected layer, then
    convolutions behind doublings of the map, with group normalization and ReLU, tanh at the end; with transposed
    convolutions, DCGAN's, the pictures were still a grain of single pixels after 500 steps. Both codes are scaled to
    mean 0 and variance 1, the noise's, or it would drown them in the beginning. The source normalizes over the batch,
    as DCGAN does; over groups of channels no image depends on those beside it.

    Args:
        image_size: (height, width) of what it makes, in pixels.
        filters: channels before the last convolution, at most 8 times as many at the beginning.

    Attributes:
        centres: [3, 128], of front, rear and side. seen: [3], batches that each has been averaged over.

    forward: attributes [n, 256], noise [n, 100], labels [n] (0 front, 1 rear, 2 side) -> images [n, 3, h, w] in
    [-1, 1]. Raises ValueError for sides that cannot be halved down to 3 pixels and more.
    """

    centres: Tensor
    seen: Tensor

    def __init__(self, image_size: tuple[int, int] = (224, 224), filters: int = 64) -> None:
        super().__init__()
        self.image_size = int(image_size[0]), int(image_size[1])
        count = halvings_of(self.image_size)
        widths = [filters * 2 ** min(depth, 3) for depth in reversed(range(count))]
        self.first = [side // 2**count for side in self.image_size]
        self.project = nn.Linear(ATTRIBUTES + NOISE + VIEWPOINT, widths[0] * math.prod(self.first))
        layers = _norm_relu(widths[0])
        for below, above in zip(widths, widths[1:]):
            layers += [*_doubling(below, above), *_norm_relu(above)]
        self.body = nn.Sequential(*layers)
        self.last = nn.Sequential(*_doubling(widths[-1], 3))
        self.register_buffer("centres", torch.zeros(VIEWS, VIEWPOINT))
        self.register_buffer("seen", torch.zeros(VIEWS, dtype=torch.long))

    def forward(self, attributes: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        codes = (F.layer_norm(code, code.shape[1:]) for code in (attributes, self.centres.to(attributes.dtype)))
        attributes, centres = codes
        condition = torch.cat([attributes, noise, centres[labels]], dim=1)
        maps = self.project(condition).unflatten(1, (-1, *self.first))
        return torch.tanh(self.last(self.body(maps)).to(attributes.dtype))

    @torch.no_grad()
    def learn_centres(self, viewpoint: Tensor, views: Tensor, longest: int = 20) -> None:
        """Move the centre of each view towards the mean code of the images that show it.

        The mean over all batches so far, and from ``longest`` of them on a running one, for the codes go on changing.

        Args:
            viewpoint: [n, 128] codes. views: [n], 0 front, 1 rear, 2 side; others are left out.
        """
        shown = F.one_hot((views.clamp(-1, VIEWS - 1) + 1).long(), VIEWS + 1)[:, 1:].to(viewpoint)
        count = shown.sum(0)
        mean = (shown.t() @ viewpoint) / count.clamp(min=1)[:, None]
        self.seen += count > 0
        share = (count > 0) / self.seen.clamp(1, longest)
        self.centres += share[:, None] * (mean - self.centres)


def _doubling(below: int, above: int) -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2), nn.Conv2d(below, above, 3, padding=1)]


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.GroupNorm(math.gcd(channels, 8), channels), nn.ReLU(inplace=True)]


class VehicleDiscriminator(nn.Module):
    """XVGAN's discriminator: is the image real, which vehicle does it show, and from where?

    Convolutions of stride 2 with LeakyReLU down to 3 pixels and more, without normalization; then a convolution that
    scores places, and two layers on the mean of the map that classify, as in AC-GAN (Odena et al., ICML 2017).

    Args:
        image_size: (height, width) in pixels. vehicles: training identities. filters: after the first convolution.

    forward: images [n, 3, h, w] in [-1, 1] -> (scores [n, 1, rows, columns], logits, higher for real; logits of the
    vehicles [n, vehicles]; logits of the views [n, 3]).
    """

    def __init__(self, image_size: tuple[int, int], vehicles: int, filters: int = 64) -> None:
        super().__init__()
        self.body, channels = _halving(filters, halvings_of(image_size))
        self.score = nn.Conv2d(channels, 1, 3, padding=1)
        self.vehicle, self.view = nn.Linear(channels, vehicles), nn.Linear(channels, VIEWS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.body(images)
        mean = maps.mean((2, 3))
        kind = images.dtype
        return self.score(maps).to(kind), self.vehicle(mean).to(kind), self.view(mean).to(kind)
