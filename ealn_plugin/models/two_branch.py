"""The mixed difference network: one branch learns the model of a vehicle, the other what differs within a model.

Liu et al., Deep Relative Distance Learning: Tell the Difference Between Similar Vehicles, CVPR 2016, section 3.3.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.losses.checks import check_count
from ealn_plugin.models.stages import last_stages

MODELS = 1000
"""Vehicle models that can be told apart: the codes of the releases' attribute files are 0 to 999."""


class MixedDifferenceNetwork(nn.Module):
    """A backbone's maps, two branches of fully connected layers on them, and a feature on both branches.

    Args:
        backbone: any whose stages are known, see ``stages_of``. Its own feature and classifier are not used.
        num_classes: training identities.
        dim: length of the feature (the paper's fc8: 1024).
        hidden: width of a branch (the paper's fc7: 1024).
        models: vehicle models that the first branch tells apart.

    forward: images [batch, 3, height, width] -> eval mode features [batch, dim]; train mode (logits
    [batch, num_classes], features, {"models": logits [batch, models] of the first branch}).
    """

    def __init__(
        self, backbone: nn.Module, num_classes: int, dim: int = 256, hidden: int = 256, models: int = MODELS
    ) -> None:
        super().__init__()
        check_count(dim=dim, hidden=hidden, models=models)
        parts, channels = last_stages(backbone, 1)
        self.shared = parts[0]
        self.model_branch = nn.Sequential(nn.Linear(channels[-1], hidden), nn.ReLU())
        self.identity_branch = nn.Sequential(nn.Linear(channels[-1], hidden), nn.ReLU())
        self.model_classifier = nn.Linear(hidden, models)
        self.joined = nn.Linear(2 * hidden, dim)
        self.classifier = nn.Linear(dim, num_classes)
        self.feature_dim = dim

    def forward(self, images: Tensor) -> Any:
        """See the class."""
        pooled = self.shared(images).mean((2, 3))
        model = self.model_branch(pooled)
        features = self.joined(torch.cat([model, self.identity_branch(pooled)], dim=1))
        if not self.training:
            return features
        return self.classifier(features), features, {"models": self.model_classifier(model)}
