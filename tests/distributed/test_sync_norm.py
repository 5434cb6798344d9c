"""ealn_plugin/distributed/sync_norm.py: the layers of torch on all rows, computed from parts of them."""

import copy

import pytest
import torch
from torch import nn

from ealn_plugin.distributed.sharing import RowSharing
from ealn_plugin.distributed.sync_norm import SyncNorm, running_statistics_of, synchronise
from ealn_plugin.distributed.world import World
from ealn_plugin.models.modes import running_statistics, untouched_statistics


def network(momentum=0.1, affine=True, head=True):
    torch.manual_seed(0)
    if not head:  # takes a single image
        return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return nn.Sequential(
        nn.BatchNorm2d(3, momentum=momentum, affine=affine),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 2 * 3, 5),
        nn.BatchNorm1d(5, momentum=momentum, affine=affine),
    )


def passes(world, count, synchronised=True, **options):
    """Outputs, gradients and buffers of a few passes: real images, images that leave no trace, evaluation mode."""
    model, sharing = network(**options).double(), RowSharing(world)
    synchronise(model, sharing, synchronised)
    sharing.share(model)
    found = []
    for step, context in enumerate((None, untouched_statistics, running_statistics, None)):
        images = torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        images = (7 + 3 * images).requires_grad_()
        with sharing:
            if context is None:
                output = model(images)
            else:
                with context(model):
                    output = model(images)
        (output.flatten(1) ** 3 * torch.arange(1.0, count + 1)[:, None]).sum().backward()
        found += [output.detach(), images.grad]
    world.average_gradients(model.parameters())
    model.eval()
    with torch.no_grad():
        found.append(model(torch.ones(2, 3, 4, 5, dtype=torch.float64)))
    return found + [parameter.grad for parameter in model.parameters()] + list(model.buffers())


@pytest.mark.parametrize(
    "count, options",
    [
        (6, {}),
        (5, {}),
        (3, dict(momentum=None)),
        (4, dict(affine=False)),
        (1, dict(head=False)),
        (2, dict(synchronised=False)),
    ],
)
def test_the_statistics_are_those_of_all_rows(pair, count, options):
    expected = passes(World(), count, **{name: value for name, value in options.items() if name != "synchronised"})
    for found in pair.run(passes, count, **options):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def own_statistics(world, count):
    """Output and statistics of a layer that looks at its own rows, for [0, 1, 2, ...]."""
    layer, sharing = nn.Sequential(nn.BatchNorm1d(1, momentum=1.0)), RowSharing(world)
    layers = synchronise(layer, sharing, synchronised=False)
    sharing.share(layer)
    with sharing:
        output = layer(torch.arange(float(count))[:, None])
    before = layer[0].running_mean.item()
    world.average(running_statistics_of(layers))
    return output.detach(), before, layer[0].running_mean.item(), layer[0].running_var.item()


def test_unless_each_process_is_to_use_its_own(pair):
    (output, first, mean, variance), (_, second, *_) = pair.run(own_statistics, 6)
    assert (first, second, mean) == (1.0, 4.0, 2.5) and variance == pytest.approx(1.0)
    torch.testing.assert_close(output[:3], output[3:])


def half_precision(world):
    """A synchronised layer on bfloat16 images beside the same one on the same numbers in float32."""
    images = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    outputs = []
    for kind in (torch.bfloat16, torch.float32):
        model, sharing = nn.Sequential(nn.BatchNorm2d(2)), RowSharing(world)
        synchronise(model, sharing)
        sharing.share(model)
        given = images.detach().clone().to(kind).requires_grad_()
        with sharing:
            output = model(given)
        output.float().pow(3).sum().backward()
        assert output.dtype == given.grad.dtype == kind
        outputs.append((output.float().detach(), model[0].running_var))
    return outputs


def test_mixed_precision_keeps_precise_statistics(pair):
    for half, full in pair.run(half_precision):
        torch.testing.assert_close(half[0], full[0], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(half[1], full[1], rtol=1e-6, atol=1e-6)


def test_a_network_keeps_its_parameters_and_names():
    model = network()
    before, state = dict(model.named_parameters()), copy.deepcopy(model.state_dict())
    made = synchronise(model, RowSharing(World(0, 2)))
    assert [type(layer) for layer in made] == [SyncNorm, SyncNorm] and model[0] is made[0]
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert list(model.state_dict()) == list(state)
    model.load_state_dict(state)
    images = torch.randn(4, 3, 4, 5)
    torch.testing.assert_close(model(images), network()(images))  # nothing is shared outside of a step
    assert len(running_statistics_of(made)) == 4


def test_layers_that_are_used_twice_stay_one():
    layer = nn.BatchNorm1d(2)
    model = nn.Sequential(layer, nn.Sequential(layer))
    synchronise(model, RowSharing(World(0, 2)))
    assert model[0] is model[1][0]


def test_an_activation_behind_a_layer_of_timm_stays():
    timm_layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    layer, images = timm_layers.BatchNormAct2d(3, act_layer=nn.SiLU), torch.randn(4, 3, 2, 2)
    plain, model, sharing = copy.deepcopy(layer), nn.Sequential(layer), RowSharing(World())
    (made,) = synchronise(model, sharing)
    assert model[0] is made and list(model[0].state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(model(images), plain(images))
    sharing.share(model)
    with sharing:
        torch.testing.assert_close(model(images), plain(images))
    torch.testing.assert_close(model.eval()(images), plain.eval()(images))
