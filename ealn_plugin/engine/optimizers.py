"""The optimisers of the adversarial networks, and what makes any optimiser's step faster."""

import torch

from ealn_plugin.losses.checks import check_choice

_ADAM = (torch.optim.Adam, torch.optim.AdamW)


def tune_optimizer(optimizer):
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


def adversarial_optimizers(schemes, kind, rate, betas):
    """{'generators' | 'discriminators': optimiser} over all schemes; a role without networks is left out.

    Args:
        kind: 'adam' or 'sgd' (momentum 0.9). rate: learning rate. betas: Adam's.
    Raises:
        ValueError: another kind.
    """
    if schemes:
        check_choice("gan_optim", kind, ("adam", "sgd"))
    made = {}
    for role in ("generators", "discriminators"):
        parameters = [parameter for scheme in schemes for parameter in getattr(scheme, role).parameters()]
        if not parameters:
            continue
        made[role] = (
            torch.optim.Adam(parameters, lr=rate, betas=tuple(betas))
            if kind == "adam"
            else torch.optim.SGD(parameters, lr=rate, momentum=0.9)
        )
    return made
