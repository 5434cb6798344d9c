"""HDC: sub-networks of growing depth that share their layers, each with a feature of its own.

Yuan et al., Hard-Aware Deeply Cascaded Embedding, ICCV 2017 (arXiv:1611.05720), section 3: three models cut out of one
GoogLeNet behind its stages; the feature of an image is the concatenation of all models' features.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ealn_plugin.models.embedding import l2_normalize
from ealn_plugin.models.stages import last_stages


class CascadedNetwork(nn.Module):
    """The stages of a backbone with a feature behind each of the last ones.

    Args:
        backbone: any whose stages are known, see ``stages_of``. Its own feature and classifier are not used.
        num_classes: training identities.
        levels: sub-networks, 3 in the paper.
        dim: length of the feature of each; 128 here.

    forward: images [batch, 3, height, width] -> eval mode features [batch, levels * dim], each sub-network's of length
    1; train mode (logits [batch, num_classes] of the concatenation, features, {"levels": [batch, levels, dim]}).
    """

    def __init__(self, backbone: nn.Module, num_classes: int, levels: int = 3, dim: int = 128) -> None:
        super().__init__()
        self.stages, channels = last_stages(backbone, levels)
        self.heads = nn.ModuleList(nn.Linear(count, dim) for count in channels)
        self.feature_dim = levels * dim
        self.classifier = nn.Linear(self.feature_dim, num_classes)

    def forward(self, images: Tensor) -> Any:
        """See the class."""
        levels, maps = [], images
        for stage, head in zip(self.stages, self.heads):
            maps = stage(maps)
            levels.append(l2_normalize(head(maps.mean((2, 3)))))
        features = torch.cat(levels, dim=1)
        if not self.training:
            return features
        return self.classifier(features), features, {"levels": torch.stack(levels, dim=1)}
