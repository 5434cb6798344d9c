"""ealn_plugin/losses/transfer.py"""

import pytest
import torch

from ealn_plugin.losses.transfer import to_device


def test_on_the_cpu_it_is_the_tensor_itself():
    tensor = torch.arange(3)
    assert to_device(tensor, torch.device("cpu")) is tensor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_not_waited_for():
    torch.cuda.set_sync_debug_mode("error")
    try:
        moved = to_device(torch.arange(3), torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert moved.tolist() == [0, 1, 2]
