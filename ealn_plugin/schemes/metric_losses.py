"""Metric losses of the systems that the paper compares itself with: schemes without generators, D_emb's loss alone.

The networks that go with them are in models/two_branch.py and models/cascade.py.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from ealn_plugin.losses.cascade import cascaded_contrastive_loss, check_shares
from ealn_plugin.losses.checks import check_count, check_margins, check_not_negative
from ealn_plugin.losses.coupled_clusters import coupled_clusters_loss
from ealn_plugin.losses.group_sensitive import group_images, mean_valued_triplets
from ealn_plugin.losses.reduction import masked_mean
from ealn_plugin.schemes.base import Batch, Loss, detached
from ealn_plugin.schemes.controls import Control


class CoupledClustersScheme(Control):
    """Mixed Diff + CCL: Liu et al., Deep Relative Distance Learning, CVPR 2016, sections 3.2 and 3.3.

    The coupled clusters loss on the feature, and cross-entropy over the vehicles' models on the network's model branch.

    Args:
        alpha: margin of the coupled clusters loss. lambda_ed: weight of both losses beside that of EN.
        model_weight: of the models' cross-entropy.
    """

    name = "ccl"
    in_warmup = True
    needs_outputs = ("models",)
    needs_models = True

    def __init__(self, alpha: float = 0.6, lambda_ed: float = 1.0, model_weight: float = 1.0) -> None:
        super().__init__(alpha, lambda_ed)
        check_not_negative("model_weight", model_weight)
        self.model_weight = model_weight

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times the coupled clusters loss plus model_weight times the models' cross-entropy."""
        clusters = coupled_clusters_loss(real, batch.pids, self.alpha)
        logits = batch.outputs["models"]
        labels = batch.pids.new_full((len(real),), -1) if batch.models is None else batch.models
        known = labels >= 0
        models = masked_mean(F.cross_entropy(logits, labels.clamp(min=0), reduction="none"), known)
        loss = self.lambda_ed * (clusters + self.model_weight * models)
        return loss, detached({"loss/E_clusters": clusters, "loss/E_models": models})


class CascadeScheme(Control):
    """HDC + contrastive: Yuan et al., Hard-Aware Deeply Cascaded Embedding, ICCV 2017.

    Args:
        shares: of the pairs that reach each sub-network, see ``cascaded_contrastive_loss``.
        margin: of the contrastive loss, in [0, 2].
        lambda_ed: weight of the sum over the levels beside the loss of EN.
    """

    name = "hdc"
    in_warmup = True
    needs_outputs = ("levels",)

    def __init__(self, shares: Sequence[float] = (1.0, 0.5, 0.2), margin: float = 1.0, lambda_ed: float = 1.0) -> None:
        super().__init__(lambda_ed=lambda_ed)
        check_shares(shares)
        check_margins("euclidean", margin=margin)
        self.shares, self.margin = tuple(shares), margin

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times the sum of the levels' contrastive losses."""
        losses = cascaded_contrastive_loss(batch.outputs["levels"], batch.pids, self.shares, self.margin)
        parts = {f"loss/E_level{number}": loss for number, loss in enumerate(losses, 1)}
        return self.lambda_ed * losses.sum(), detached(parts)


class GroupSensitiveScheme(Control):
    """Group-sensitive triplet embedding, its mean-valued variant: Bai et al., IEEE TMM 2018, section III.

    Groups are found anew in each batch, by ``group_images`` on the embeddings that the loss is computed of.

    Args:
        groups: of each identity. alpha: margin between identities, alpha_1. intra: margin between groups, alpha_2.
        lambda_ed: weight of both losses beside that of EN.
    """

    name = "gste"
    in_warmup = True

    def __init__(self, groups: int = 2, alpha: float = 0.6, intra: float = 0.1, lambda_ed: float = 1.0) -> None:
        super().__init__(alpha, lambda_ed)
        check_count(groups=groups)
        check_margins("squared", intra=intra)
        self.groups, self.intra = groups, intra

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times the triplets of identities plus those of groups."""
        groups = group_images(real.detach(), batch.pids, self.groups)
        inter, intra = mean_valued_triplets(real, batch.pids, groups, self.alpha, self.intra)
        return self.lambda_ed * (inter + intra), detached({"loss/E_inter": inter, "loss/E_intra": intra})
