"""Moving small tensors to the device without waiting for it."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the CPU, on ``device``; the caller does not wait until a GPU has done what it was asked before.

    Only pinned memory can be copied behind the caller's back; pageable memory makes it wait.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
