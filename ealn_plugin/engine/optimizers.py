"""The optimisers of the adversarial networks, and what makes any optimiser's step faster."""

from collections.abc import Mapping, Sequence

import torch

from ealn_plugin.losses.checks import check_choice
from ealn_plugin.schemes.base import Scheme

_ADAM = (torch.optim.Adam, torch.optim.AdamW)


def tune_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Let Adam and AdamW update all parameters in one fused kernel; others stay as they are.

    The kernel reads parameters and averages side by side as they lie in memory, so averages that a checkpoint of
    another layout brought are laid out like their parameters.
    """
    if type(optimizer) not in _ADAM:
        return
    for group in optimizer.param_groups:
        if group["foreach"] or group["capturable"] or group["differentiable"]:  # the user's own choice
            continue
        group["fused"] = True
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if name == "step":
                    state[name] = torch.as_tensor(value, dtype=torch.float32).to(parameter.device)
                elif value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(value)


def adversarial_optimizers(
    schemes: Sequence[Scheme], kind: str, rate: float, betas: tuple[float, float]
) -> dict[str, torch.optim.Optimizer]:
    """{'generators' | 'discriminators': optimiser} over all schemes; a role without networks is left out.

    Args:
        kind: 'adam' or 'sgd' (momentum 0.9). rate: learning rate. betas: Adam's.
    Raises:
        ValueError: another kind.
    """
    if schemes:
        check_choice("gan_optim", kind, ("adam", "sgd"))
    optimizers = {}
    for role in ("generators", "discriminators"):
        parameters = [parameter for scheme in schemes for parameter in getattr(scheme, role).parameters()]
        if not parameters:
            continue
        optimizers[role] = (
            torch.optim.Adam(parameters, lr=rate, betas=tuple(betas))  # type: ignore[arg-type]
            if kind == "adam"
            else torch.optim.SGD(parameters, lr=rate, momentum=0.9)
        )
    return optimizers  # type: ignore[return-value]


def set_rates(optimizers: Mapping[str, torch.optim.Optimizer], rate: float) -> None:
    """Give every parameter group of the optimisers this learning rate."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate


def rates_of(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, float]:
    """{name: learning rate}, that of the last parameter group, as torchreid's engines show it."""
    return {name: optimizer.param_groups[-1]["lr"] for name, optimizer in optimizers.items()}
