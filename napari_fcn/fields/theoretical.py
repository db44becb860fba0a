"""The exact receptive field of a network, from the network itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_fcn.geometry import ReceptiveField
from napari_fcn.nets.filters import FilterBank, Support

if TYPE_CHECKING:
    from napari_fcn.nets import NetSpec


def theoretical(spec: NetSpec) -> ReceptiveField:
    """Return the receptive field of a network, per axis, at the worst phase of its pooling grid.

    Kernels, pools and upsampling act on each axis apart, so that the field of an n-dimensional network is the box of
    the fields of its 1-D twins. Araujo et al. (2019, Distill) compute sizes from layer tables; here each twin is
    asked by back-propagation, which needs no table and also gives the phase.
    """
    sides = [_along(spec.twin(axis)) for axis in range(spec.ndim)]
    return ReceptiveField(tuple(before for before, _ in sides), tuple(after for _, after in sides))


@cache
def _along(twin: NetSpec) -> tuple[int, int]:
    """Return how far a 1-D network sees before and after a pixel: the support of the gradient of its output.

    Weights of one and inputs of one let nothing cancel; max pooling, which sends its gradient to one input only, is
    replaced by the mean, filter banks by their supports. One output of each phase of the pooling grid is asked; the
    extremes are the field.
    """
    period = twin.multiple[0]
    with torch.random.fork_rng(devices=[]):  # building draws weights: leave the caller's random numbers alone
        net = _transparent(twin.build()).double()
    length = 4 * period
    while True:
        x = torch.ones(1, 1, length, dtype=torch.float64, requires_grad=True)
        out = net(x)[0, 0]
        middle = length // 2 // period * period
        before = after = 0
        for phase in range(period):
            (gradient,) = torch.autograd.grad(out[middle + phase], x, retain_graph=True)
            seen = gradient[0, 0].nonzero()[:, 0]
            before = max(before, middle + phase - int(seen[0]))
            after = max(after, int(seen[-1]) - middle - phase)
        if before + 2 * period < middle and after + 2 * period < length - middle:
            return before, after
        length *= 2


def _transparent(net: nn.Module) -> nn.Module:
    """Return the network with weights one, neutral norms and mean pooling, in evaluation mode."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool1d):
                setattr(module, name, nn.AvgPool1d(child.kernel_size))
            elif isinstance(child, FilterBank):
                setattr(module, name, Support(child))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0 / parameter[0].numel())
    return net.eval()
