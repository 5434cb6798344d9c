"""Batches for tests of the schemes, with a fixed embedding and fixed choices of x_p and x_n."""

import torch
from torch.nn import functional

from ealn_plugin.schemes import Batch


def make_batch(views=(0, 1, 0, 1, 2, -1), pids=(0, 0, 1, 1, 2, 2), size=16):
    """A Batch of random images, embedded by ``embed``."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(pids), 3, size, size, generator=generator) * 2 - 1
    return Batch(
        images=images,
        pids=torch.tensor(pids),
        views=torch.tensor(views),
        groups=torch.full((len(pids),), -1),
        embeddings=embed(images),
        random=torch.Generator().manual_seed(1),
    )


def embed(images):
    """A fixed embedding: mean colour per quarter of the image, L2-normalised."""
    return functional.normalize(functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)


def d(a, b):
    """d of Eq. 2 of two embeddings [dim]."""
    return float(((a - b) ** 2).sum())


def log_loss(logits, real):
    """Mean of -log(sigmoid) of logits that should say real, or fake."""
    values = [(-functional.logsigmoid(x if real else -x)).item() for x in logits.flatten()]
    return sum(values) / len(values)


class FixedPairs:
    """x_n is the next identity's first image, x_p the identity's other image, in place of random choices."""

    @staticmethod
    def negatives(distances, pids, strategy, groups=None, generator=None, d_positive=None):
        index = [next(j for j in range(len(pids)) if pids[j] == (pids[i] + 1) % 3) for i in range(len(pids))]
        return torch.tensor(index), torch.ones(len(pids), dtype=torch.bool)

    @staticmethod
    def positives(pids, generator=None):
        index = [next(j for j in range(len(pids)) if pids[j] == pids[i] and j != i) for i in range(len(pids))]
        return torch.tensor(index), torch.ones(len(pids), dtype=torch.bool)
