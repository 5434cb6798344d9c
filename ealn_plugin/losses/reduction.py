"""Means over the valid entries of a batch."""

import torch


def masked_mean(values, valid=None):
    """Mean of values [n] where valid [n, bool] (all if None); without any, a zero with a zero gradient."""
    if valid is None:
        return values.sum() / max(values.numel(), 1)
    kept = torch.where(valid, values, torch.zeros_like(values))
    return kept.sum() / valid.sum().clamp(min=1)
