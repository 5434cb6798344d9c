"""Loops written from the equations, to compare losses with, and what the comparison needs."""

import torch

KINDS = ["squared", "euclidean"]
DTYPES = [torch.float32, torch.float64]


def unit_rows(rows, dim, dtype=torch.float64, seed=0):
    values = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1).to(dtype).requires_grad_()


def tolerance(dtype):
    return dict(rtol=1e-5, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-11, atol=1e-11)


def naive_distance(a, b, kind):
    total = sum((a[k] - b[k]) ** 2 for k in range(len(a)))
    return total if kind == "squared" else total**0.5


def naive_mean(values, valid):
    kept = [value for value, flag in zip(values, valid) if flag]
    return sum(kept) / len(kept)


def plus(value):
    return value if value > 0 else value * 0


def assert_same(ours, naive, leaves, dtype):
    torch.testing.assert_close(ours, naive, **tolerance(dtype))
    for mine, theirs in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(naive, leaves)):
        torch.testing.assert_close(mine, theirs, **tolerance(dtype))
