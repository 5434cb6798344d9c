"""Contexts in which networks are frozen, evaluated, or leave their running statistics alone."""

import contextlib
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm


@contextlib.contextmanager
def evaluating(*modules):
    """Within it the modules are in evaluation mode and nothing builds a graph; every flag is restored."""
    with frozen(*modules, evaluate=True), torch.inference_mode():
        yield


@contextmanager
def untouched_statistics(module):
    """Within it, batch normalization normalizes as usual but its running statistics do not change.

    Layers in train mode use the statistics of their batch and leave running_mean, running_var and
    num_batches_tracked alone; layers in eval mode behave as always. What was set before comes back on
    leaving, after an exception too.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield module
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def running_statistics(module):
    """Within it, batch normalization uses its running statistics and leaves them alone; gradients still flow.

    For batches that have no statistics of their own, a single image above all. Flags come back on leaving.
    """
    layers = [(layer, layer.training) for layer in module.modules() if isinstance(layer, _BatchNorm)]
    for layer, _ in layers:
        layer.training = False
    try:
        yield module
    finally:
        for layer, flag in layers:
            layer.training = flag


@contextmanager
def frozen(*modules, evaluate=False):
    """Within it, no parameter of the modules requires a gradient; gradients still reach their inputs.

    evaluate=True also puts every submodule into eval mode. On leaving, each parameter and each submodule gets
    its own previous flag back, after an exception too. Modules may overlap.
    """
    parameters = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    training = [(layer, layer.training) for module in modules if evaluate for layer in module.modules()]
    for parameter, _ in parameters:
        parameter.requires_grad_(False)
    for layer, _ in training:
        layer.training = False
    try:
        yield
    finally:
        for parameter, flag in parameters:
            parameter.requires_grad_(flag)
        for layer, flag in training:
            layer.training = flag
