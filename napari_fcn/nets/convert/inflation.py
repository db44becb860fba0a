"""Initialises a network with the weights of another, also of one with one axis fewer ("inflation")."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_fcn.nets.layers import BATCH_NORM, CONV, TRANSPOSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.nets.build import Net
    from napari_fcn.nets.spec import NetSpec

CONVS = (*CONV.values(), *TRANSPOSED.values())
NORMS = tuple(BATCH_NORM.values())
SHARED_FIELDS = (  # of both specs
    *("family", "channels", "width", "depth", "kernel", "pool", "up", "norm", "dilate", "skips", "rates", "head"),
)


@torch.no_grad()
def copy_weights(net: Net, source: Net) -> None:
    """Copy the weights of a network of the same family with as many axes, or one fewer.

    Kernels are copied to the middle planes of the kernels with one more axis, which are zero elsewhere ("inflation",
    Carreira & Zisserman 2017, here with all weight in the middle): without pooling along the new axis, the network then
    equals the given one applied plane by plane. A ``video`` network may start from a ``unet``: its convolutions along
    time then start as the identity. A score layer with another number of classes keeps its weights.

    Parameters
    ----------
    net : nn.Module
        Changed in place. The new axis is that of time, else the first.
    source : nn.Module
        Not changed.

    Raises
    ------
    ValueError
        If they differ in more than the new axis and the number of classes.
    """
    new, old = net.spec, source.spec
    extra = None if new.ndim == old.ndim else (new.time or 0)
    _check(new, old, extra)
    sources = _layers(source)
    along_time = _along_time(net) if new.family != old.family else set()
    for name, layer in _layers(net):
        if name in along_time:
            _pass_through(layer)
        elif name == "distance" and not old.distance:
            continue
        elif name != "score" or new.classes == old.classes:
            _copy(layer, next(sources)[1], extra)


def _check(new: NetSpec, old: NetSpec, extra: int | None) -> None:
    """Raise ValueError if the weights of ``old`` do not fit in ``new``."""
    if new.ndim - old.ndim not in (0, 1) or (new.ndim == old.ndim and new.family != old.family):
        raise ValueError(
            f"a {new.family} of {new.ndim} axes cannot start from a {old.family} of {old.ndim}; it needs the same "
            "family with as many axes or one fewer (video may start from a 2-D unet)"
        )
    reduced = new
    if extra is not None:
        kernel, pool = (tuple((*p[:extra], *p[extra + 1 :]) for p in levels) for levels in (new.kernel, new.pool))
        family = "unet" if (new.family, old.family) == ("video", "unet") else new.family
        reduced = replace(new, ndim=old.ndim, kernel=kernel, pool=pool, family=family, time=None)
    for field in SHARED_FIELDS:
        if getattr(reduced, field) != getattr(old, field):
            raise ValueError(
                f"its {field} is {getattr(reduced, field)} and that of the initial model {getattr(old, field)}; "
                "they must be equal"
            )


def _layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers with weights in the order of their names in the architecture."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Module) and isinstance(module, (*CONVS, *NORMS)):
            yield name, module


def _along_time(net: Net) -> set[str]:
    """Return the names of the temporal parts of factorised convolutions and of their norms."""
    time, temporal = net.spec.time or 0, set()
    first_half = last = ""  # block of the preceding spatial convolution; name of the last convolution
    for name, layer in _layers(net):
        block = name.rpartition(".")[0]
        if isinstance(layer, NORMS):
            if last in temporal:
                temporal.add(name)
            continue
        kernel = layer.weight.shape[2:]  # type: ignore[index]
        if block == first_half and kernel[time] == prod(kernel) > 1:
            temporal.add(name)
        first_half = block if kernel[time] == 1 < prod(kernel) else ""
        last = name
    return temporal


def _pass_through(layer: nn.Module) -> None:
    """Make a layer the identity on its first channels; they come from a ReLU, so the next ReLU has no effect."""
    if isinstance(layer, NORMS):
        layer.reset_parameters()
        layer.running_var.fill_(1 - layer.eps)  # type: ignore[union-attr]
        return
    weight: Tensor = layer.weight  # type: ignore[assignment]
    weight.zero_()
    middle = tuple(k // 2 for k in weight.shape[2:])
    for channel in range(weight.shape[0]):
        weight[(channel, channel, *middle)] = 1


def _copy(layer: nn.Module, source: nn.Module, extra: int | None) -> None:
    """Copy the weights of one layer to another that may have more channels and one more axis."""
    given = source.state_dict()
    for key, value in layer.state_dict().items():
        part, weights = value, given[key]
        if key == "weight" and extra is not None and value.ndim > 1:
            part.narrow(0, 0, weights.shape[0]).narrow(1, 0, weights.shape[1]).zero_()
            part = part.select(2 + extra, value.shape[2 + extra] // 2)
        part[tuple(slice(n) for n in weights.shape)] = weights
