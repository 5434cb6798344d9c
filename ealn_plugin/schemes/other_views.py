"""The renderer's other views in training: what a perfect generator of them could teach D_emb."""

from collections.abc import Mapping

from torch import Tensor

from ealn_plugin.data.viewpoints import View
from ealn_plugin.losses import distance as distances
from ealn_plugin.losses.embedding_network import active_triplets
from ealn_plugin.schemes.base import Batch, Fakes, Loss, detached, where
from ealn_plugin.schemes.controls import Control
from ealn_plugin.schemes.view_scheme import DIRECTIONS


class TrueOtherViewsScheme(Control):
    """The twins of front and rear images as further positives, in the place of Eq. 10.

    A twin o is the same vehicle in the same camera and light, turned round. Eq. 10 pushes a generated other view away
    from its input; a true one is of the vehicle, so here it is kept near. For each of the two views that are shown,

        L = mean of the [d(x, o_p) + alpha - d(x, x_n)]+ that are above zero,

    x a real image from the other side, o_p the twins of all images of its vehicle from its side, and x_n the real
    images of other vehicles that show what o_p shows; both directions added and halved. Only rendered datasets have
    twins (``ealn.render.twins``).

    Args: as in ``Scheme``.
    """

    name = "true_view"
    companions = ("twin",)

    def generate(self, batch: Batch) -> dict[str, Fakes]:
        """The twins of the front and rear images of the batch.

        Raises:
            ValueError: it has none.
        """
        if "twin" not in batch.companions:
            raise ValueError("the batch has no twins, expected one of every image; train with EALNEngine.run")
        seen = where((batch.views == View.FRONT) | (batch.views == View.REAR), batch.images.device)
        return {"twin": Fakes(batch.companions["twin"][seen], seen)}

    def embedding_loss(self, batch: Batch, real: Tensor, fake: Mapping[str, tuple[Tensor, Tensor]]) -> Loss:
        """lambda_ed times L."""
        other, anchor = fake["twin"]
        views, total = batch.views[anchor.cpu()], real.new_zeros(())
        for _, source in DIRECTIONS:
            shown = View.REAR if source == View.FRONT else View.FRONT
            mine, twins = where(batch.views == source, real.device), where(views == source, real.device)
            rest = where(batch.views == shown, real.device)
            total = total + active_triplets(
                distances.pairwise_distance(real[mine], other[twins], self.distance),
                distances.pairwise_distance(real[mine], real[rest], self.distance),
                batch.pids[mine, None] == batch.pids[anchor[twins]],
                batch.pids[mine, None] != batch.pids[rest],
                self.alpha,
            )
        loss = total / len(DIRECTIONS)
        d_twin = distances.distance(real[anchor], other, self.distance).sum() / max(len(anchor), 1)
        return self.lambda_ed * loss, detached({"loss/E_twin": loss, "distance/twin": d_twin})
