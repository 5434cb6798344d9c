"""ealn_plugin/engine/step.py: a training step never waits for the device.

On CUDA torch itself reports every wait. Elsewhere operations are counted that would be waits there.
"""

import contextlib
import warnings

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers.standins import build_engine

CASES = [
    ((), {}),
    ((), dict(triplets="batch_hard")),
    (("hard", "view"), {}),
    (("hard", "view"), dict(amp=True)),
    (("hard", "view"), dict(gan_optim="sgd", discriminator_steps=2, refresh_fakes=True, fake_statistics="running")),
    (("hard",), dict(degrade=0.5, scheme_options=dict(reconstructions=True, adaptive_weight=0.1, residual=False))),
    (("hard", "view"), dict(triplets="all_active", scheme_options=dict(negatives="semi_hard"))),
    (("cyclegan",), {}),
    (("hard", "stargan"), {}),
    (("mix", "perturb"), {}),
    (("xvgan",), {}),
    (("vami",), {}),
]

# What gives Python a number, or a tensor whose shape depends on numbers.
READING = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "equal",
    "bincount",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "repeat_interleave",
}
READING_METHODS = {"tolist", "numpy", "cpu", "__array__"}


class _Methods(TorchFunctionMode):
    """Methods that read memory without any operation."""

    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in READING_METHODS:
            self.waits.look(name, args)
        return function(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Context on the CPU that finds what would wait for a GPU.

    Copies from the CPU to a GPU that wait are not found: here both are one.

    Args:
        tensors: those that would lie on the GPU; whatever is computed from them would, too.
    Attributes:
        names: of the operations that read their values, in order.
    """

    def __init__(self, tensors):
        super().__init__()
        self.names, self._there, self._methods = [], {}, _Methods(self)
        self._mark(tensors)

    def __enter__(self):
        self._methods.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._methods.__exit__(*error)

    def look(self, name, things):
        """Take down a reading operation, if one of the things would lie on the GPU."""
        if any(storage._cdata in self._there for storage in _storages(things)):
            self.names.append(name)

    def _mark(self, things):
        # Kept, or another tensor could be given the memory of one that is gone.
        self._there.update((storage._cdata, storage) for storage in _storages(things))

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        given = [args, kwargs or {}]
        masks = name.startswith("index") and any(
            torch.is_tensor(index) and index.dtype == torch.bool for index in tree_leaves(args[1:2])
        )
        if name in READING or masks:
            self.look(name, given)
        result = function(*args, **(kwargs or {}))
        if any(storage._cdata in self._there for storage in _storages(given)):
            self._mark(result)
        return result


def _storages(things):
    return [thing.untyped_storage() for thing in tree_leaves(things) if torch.is_tensor(thing)]


@contextlib.contextmanager
def cuda_waits():
    """Context whose list holds CUDA's warnings of every wait."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = []
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
            found += [
                f"{warning.filename}:{warning.lineno}" for warning in caught if "synchronizing" in str(warning.message)
            ]


def ready(datamanager, names, options):
    """An engine and a batch, after a first step, which sets things up."""
    torch.manual_seed(0)
    engine = build_engine(datamanager, names, **options)
    engine.embedding.train()
    for scheme in engine.schemes:
        scheme.train()
    data = next(iter(engine.train_loader))
    if engine.device.type == "cuda":
        data["img"], data["pid"] = data["img"].pin_memory(), data["pid"].pin_memory()
    engine.forward_backward(data)
    return engine, data


@pytest.mark.parametrize("names, options", CASES)
def test_a_step_reads_nothing_back(datamanager, names, options):
    engine, data = ready(datamanager, names, options)
    networks = [
        value
        for network in (engine.model, engine.pixels, *engine.schemes)
        for value in (*network.parameters(), *network.buffers())
    ]
    with Waits([data["img"], data["pid"], networks]) as waits:
        values = engine.forward_backward(data)
        assert waits.names == []
        float(values["loss/E"])
    assert waits.names == ["_local_scalar_dense"]  # so a value of this step would have been noticed


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x * 2).sum() > 0),
        lambda x: x[x > 0],
        lambda x: (x + 1).tolist(),
        lambda x: x.abs().nonzero(),
        lambda x: x.view(-1)[:2].cpu(),
        lambda x: x.exp().numpy(),
        torch.unique,
    ],
)
def test_what_would_wait_is_noticed(read):
    there, here = torch.arange(4.0), torch.arange(4.0)
    with Waits([there]) as waits:
        read(here)
        assert waits.names == []
        read(there)
    assert len(waits.names) == 1


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: nothing waits for a CPU")


@needs_cuda
@pytest.mark.parametrize("names, options", CASES)
def test_a_step_never_waits_for_the_gpu(datamanager, names, options):
    engine, data = ready(datamanager, names, {**options, "use_gpu": True})
    with cuda_waits() as waits:
        values = engine.forward_backward(data)
    assert waits == []
    with cuda_waits() as waits:
        float(values["loss/E"])
    assert len(waits) == 1
