"""VAMI's networks: attention that knows the viewpoint, and features of all views inferred from one image.

Source: Zhou and Shao, Viewpoint-Aware Attentive Multi-View Inference for Vehicle Re-Identification, CVPR 2018. Views
are front, rear and side here, in the order of ``View``; five in the source.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.models.stages import last_stages

VIEWS = 3
REGION, VIEWPOINT, MULTI_VIEW = 256, 128, 512  # lengths of a region's, a viewpoint's and the inferred feature
PARTS = 3  # of a vehicle: front, side and rear


class ViewAttention(nn.Module):
    """Where an image shows what it has in common with another view.

    From the regions u_1 ... u_N of an image and the centre x_v of a view's features, beginning with the mean region c,

        e_n = w tanh(W_c c + W_u u_n + W_v x_v),   a = softmax(e),   c = sum of a_n u_n,

    ``steps`` times. A layer on the last c names the parts of the vehicle that both views show.

    Args:
        steps: updates of c. hidden: length of what tanh sees.

    forward: regions [n, N, 256], centres [views, 128] -> (attention [n, views, N], rows of sum 1; logits of the parts
    [n, views, 3]).
    """

    def __init__(self, steps: int = 3, hidden: int = 128) -> None:
        super().__init__()
        self.steps = steps
        self.context, self.region = nn.Linear(REGION, hidden, bias=False), nn.Linear(REGION, hidden)
        self.view, self.score = nn.Linear(VIEWPOINT, hidden, bias=False), nn.Linear(hidden, 1, bias=False)
        self.parts = nn.Linear(REGION, PARTS)

    def forward(self, regions: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        fixed = self.region(regions)[:, None] + self.view(centres)[None, :, None]  # [n, views, N, hidden]
        context = regions.mean(1, keepdim=True).expand(-1, centres.shape[0], -1)
        attention = regions.new_zeros(())
        for _ in range(self.steps):
            hidden = torch.tanh(fixed + self.context(context)[:, :, None])
            attention = self.score(hidden)[..., 0].softmax(-1)
            context = attention @ regions
        return attention, self.parts(context)


class MultiViewNetwork(nn.Module):
    """A backbone whose feature is what the other views of the vehicle would add, inferred from one image.

    The last maps of the backbone become N regions, whose mean is the single-view feature. It also names the view. Each
    view has a slot: that of the image's own view holds the mean of the regions, that of another view their mean under
    the attention for it. A network, the generator G_f of the source, makes the multi-view feature of the three slots.
    Which slot is the own one says the view that the image is found to show, by its probabilities, in training as in
    tests: no label of a test image is needed, and an image between two views has something of both.

    Args:
        backbone: any whose stages are known, see ``stages_of``; its own feature and classifier are not used.
        num_classes: training identities.
        steps: of ``ViewAttention``.

    forward: images [batch, 3, height, width] -> eval mode features [batch, 512]; train mode (logits [batch,
    num_classes], features, {"single": [batch, 256], "views": logits [batch, 3], "parts": logits [batch, 3 views, 3
    parts]}). Within ``named_when_frozen`` eval mode gives (features, that dictionary).
    """

    names_outputs = False

    def __init__(self, backbone: nn.Module, num_classes: int, steps: int = 3) -> None:
        super().__init__()
        stages, channels = last_stages(backbone, 1)
        self.stages = stages[0]
        self.regions = nn.Sequential(nn.Conv2d(channels[-1], REGION, 1, bias=False), nn.BatchNorm2d(REGION), nn.ReLU())
        self.viewpoint = nn.Sequential(nn.Linear(REGION, VIEWPOINT), nn.ReLU())
        self.view = nn.Linear(VIEWPOINT, VIEWS)
        self.attention = ViewAttention(steps)
        hidden = nn.Linear(VIEWS * REGION, 2 * MULTI_VIEW, bias=False)
        self.infer = nn.Sequential(
            hidden, nn.BatchNorm1d(2 * MULTI_VIEW), nn.LeakyReLU(0.2), nn.Linear(2 * MULTI_VIEW, MULTI_VIEW)
        )
        self.feature_dim = MULTI_VIEW
        self.classifier = nn.Linear(MULTI_VIEW, num_classes)

    def forward(self, images: Tensor) -> Any:
        """See the class."""
        regions = self.regions(self.stages(images)).flatten(2).transpose(1, 2)
        single = regions.mean(1)
        views = self.view(self.viewpoint(single))
        # The codes of a view gather around its row of the classifier, which so stands for their centre.
        attention, parts = self.attention(regions, self.view.weight.detach())
        features = self.infer(slots_of(single, attention @ regions, views).flatten(1))
        named = {"single": single, "views": views, "parts": parts}
        if self.training:
            return self.classifier(features), features, named
        return (features, named) if self.names_outputs else features


def slots_of(single: Tensor, attended: Tensor, views: Tensor) -> Tensor:
    """One feature for each view: the single-view feature for the own one, the attended one for the others.

    Args:
        single: [n, dim]. attended: [n, views, dim]. views: logits [n, views] of the own view; no gradient reaches them.
    Returns:
        [n, views, dim]
    """
    own = views.detach().softmax(1)[:, :, None]
    return own * single[:, None] + (1.0 - own) * attended


class RealMultiViewNetwork(nn.Module):
    """G_r of the source: one feature of real images of several views of a vehicle.

    forward: single-view features [n, 3, 256], front, rear, side -> [n, 512].
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(VIEWS * REGION, 2 * MULTI_VIEW),
            nn.LayerNorm(2 * MULTI_VIEW),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * MULTI_VIEW, MULTI_VIEW),
        )

    def forward(self, singles: Tensor) -> Tensor:
        return self.body(singles.flatten(1)).to(singles.dtype)


class FeatureDiscriminator(nn.Module):
    """D of the source: is a multi-view feature that of real images, and of which vehicle?

    Args:
        vehicles: training identities.

    forward: features [n, 512] of length 1 -> (scores [n, 1], logits, higher for real; logits of the vehicles [n,
    vehicles]).
    """

    def __init__(self, vehicles: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(MULTI_VIEW, MULTI_VIEW), nn.LeakyReLU(0.2), nn.Linear(MULTI_VIEW, 256), nn.LeakyReLU(0.2)
        )
        self.score, self.vehicle = nn.Linear(256, 1), nn.Linear(256, vehicles)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(features * math.sqrt(MULTI_VIEW))  # values of the size that layers expect
        return self.score(hidden).to(features.dtype), self.vehicle(hidden).to(features.dtype)
