"""ealn_plugin/distributed/world.py: what processes exchange, how they take turns, what they say at the end."""

import os
import time

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ealn_plugin.distributed import world as distributed
from ealn_plugin.distributed.world import WorkerLostError, World, check_batch, check_device, joined


def exchange(world):
    """One of everything, as this process gets it."""
    rank = world.rank
    columns = world.gather_columns(torch.tensor([rank, 2]), torch.tensor([7 + rank, 3]))
    called = []
    return {
        "size": (world.size, world.is_main),
        "rows": world.gather_rows(torch.tensor([[rank, 5], [rank, 6]])).tolist(),
        "columns": [column.tolist() for column in columns],
        "bfloat16": world.gather_rows(torch.full((1, 2), rank, dtype=torch.bfloat16))[:, 0].tolist(),
        "sum": world.sum(torch.tensor([1.0 + rank])).item(),
        "any": [world.any(flag) for flag in (False, rank == 1, True)],
        "on main": world.on_main(lambda: called.append(rank) or {"by": rank}),
        "called": called,
        "objects": world.gather_objects([rank] * 3),
        "own part": world.own_part([[1, 2, 3, 4], [5, 6, 7, 8]]),
    }


def test_processes_exchange_what_they_have(pair):
    both = {
        "rows": [[0, 5], [0, 6], [1, 5], [1, 6]],
        "columns": [[0, 2, 1, 2], [7, 3, 8, 3]],
        "bfloat16": [0, 1],
        "sum": 3,
        "any": [False, True, True],
        "on main": {"by": 0},
    }
    first, second = pair.run(exchange)
    assert first == {
        **both,
        "size": (2, True),
        "called": [0],
        "objects": [[0] * 3, [1] * 3],
        "own part": [[1, 2], [5, 6]],
    }
    assert second == {**both, "size": (2, False), "called": [], "objects": None, "own part": [[3, 4], [7, 8]]}


def average(world):
    """Gradients after averaging: of both, of one process alone, of none, of a frozen parameter, of another type."""
    parameters = [nn.Parameter(torch.zeros(2, 3)) for _ in range(4)]
    parameters.append(nn.Parameter(torch.zeros(2, dtype=torch.float64)))
    parameters[0].grad = torch.full((2, 3), 1.0 + 2 * world.rank)
    if world.rank == 1:
        parameters[1].grad = torch.ones(2, 3).t().contiguous().t()  # another memory layout
    parameters[3].requires_grad_(False)
    parameters[3].grad = torch.full((2, 3), float(world.rank))
    parameters[4].grad = torch.full((2,), 4.0 * world.rank, dtype=torch.float64)
    world.average_gradients(parameters)
    return [None if parameter.grad is None else parameter.grad.unique().tolist() for parameter in parameters]


def test_gradients_are_averaged_and_missing_ones_count_as_zero(pair):
    first, second = pair.run(average)
    assert first[:3] + first[4:] == second[:3] + second[4:] == [[2.0], [0.5], None, [2.0]]
    assert (first[3], second[3]) == ([0.0], [1.0])


def copied(world):
    """Tensors that differ between the processes, after they were copied."""
    values = [
        torch.full((2, 3, 4, 4), float(world.rank)).to(memory_format=torch.channels_last),
        torch.tensor(3 + world.rank),
    ]
    world.copy_from_main(values)
    return [value.unique().tolist() for value in values]


def test_the_main_process_hands_out_its_tensors(pair):
    assert pair.run(copied) == [[[0.0], [3]]] * 2


def take_turns(world, folder):
    """Only the main process finds nothing done."""
    with world.main_first():
        found = os.path.exists(os.path.join(folder, "done"))
        if not found:
            time.sleep(0.3)
            open(os.path.join(folder, "done"), "x").close()
    return found


def test_the_main_process_prepares_while_the_others_wait(pair, tmp_path):
    assert pair.run(take_turns, str(tmp_path)) == [False, True]


def test_one_process_passes_everything_through():
    world, tensor = World(), torch.ones(2)
    tensor.grad = torch.ones(2)
    assert world.gather_rows(tensor) is tensor and world.sum(tensor) is tensor
    assert world.gather_columns(tensor, tensor)[1] is tensor
    world.average_gradients([tensor])
    world.copy_from_main([tensor])
    assert world.any(1) is True and world.any(False) is False and world.on_main(lambda: 3) == 3
    assert world.gather_objects(4) == [4] and world.own_part([[1, 2]]) == [[1, 2]] and world.is_main
    with world.main_first():
        pass


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as world:
        assert (world.size, world.rank) == (1, 0) and not dist.is_initialized()


def test_an_incomplete_environment_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="MASTER_ADDR expected"), joined():
        pass


def test_last_words_reach_the_others(monkeypatch):
    store = dist.HashStore()
    first, second, third = (World(rank, 3, store=store) for rank in range(3))
    assert second.leave_word(ValueError("image 'a.jpg' cannot be decoded"))

    def fail(*_):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(distributed.dist, "all_reduce", fail)
    for world in (first, third):
        with pytest.raises(WorkerLostError) as lost:
            world.any(False)
        assert str(lost.value) == (
            "process 2 of 3 failed: image 'a.jpg' cannot be decoded; what was saved before is "
            "usable, go on with model.resume"
        )
        # the first says it, and neither takes it for words of its own
        assert world.leave_word(lost.value) is (world is first)
    assert not store.check(["failed/0"]) and not store.check(["failed/2"])


def test_a_killed_process_leaves_no_words(monkeypatch):
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda *_: (_ for _ in ()).throw(RuntimeError("closed")))
    for store in (dist.HashStore(), None):  # None: the store has died as well
        with pytest.raises(WorkerLostError, match="one of the 2 processes ended without a word .*model.resume"):
            World(0, 2, store=store).any(True)


def test_what_all_processes_would_say_is_said_once():
    store = dist.HashStore()
    said = [World(rank, 2, store=store).leave_word(KeyboardInterrupt("stopped after step 3")) for rank in (0, 1)]
    assert said == [True, False] and not store.check(["failed/0"])
    assert World(0, 2, store=None).leave_word(ValueError("x"))


@pytest.mark.parametrize("size, batch, instances, good", [(2, 8, 2, 8), (2, 10, 2, 8), (3, 8, 1, 6), (4, 8, 4, 16)])
def test_batches_that_cannot_be_shared(size, batch, instances, good):
    world = World(0, size)
    if batch == good:
        return check_batch(world, batch, instances)
    with pytest.raises(ValueError, match=f"train.batch_size is {batch}, .*use {good} or another multiple of"):
        check_batch(world, batch, instances)
    check_batch(world, good, instances)


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="more processes than the 2 GPUs"):
        check_device(World(2, 3, local_rank=2), use_gpu=True)
    check_device(World(2, 3, local_rank=2), use_gpu=False)
    check_device(World(1, 3, local_rank=1), use_gpu=True)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs: nccl connects one process per device")
def test_cuda_tensors_travel_over_nccl(pair):
    assert pair.run(on_devices) == [[[0.0, 1.0], 2.0]] * 2


def on_devices(world):
    """Gathered rows and a mean of tensors that lie on each process's own GPU."""
    own = torch.full((1,), float(world.rank), device="cuda")
    gathered = world.gather_rows(own)
    value = torch.full((3,), 1.0 + 2 * world.rank, device="cuda")
    world.average([value])
    return [gathered.tolist(), value[0].item()]
