"""The exact receptive field of a network, from the network itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_fcn.errors import ModelError
from napari_fcn.geometry import ReceptiveField, Region
from napari_fcn.receptive_fields.operations import unbounded_operations
from napari_fcn.receptive_fields.positive_net import global_layers
from napari_fcn.receptive_fields.probe import period, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.nets import NetSpec
    from napari_fcn.receptive_fields.probe import LayerExtent


@dataclass(frozen=True, slots=True)
class LayerField:
    """What one layer of a network sees, one entry per axis, in input pixels (Araujo et al. 2019).

    Attributes
    ----------
    name, kind : str
        Of the layer, as ``"encoder.0.3"`` and ``"Conv2d"``; the last is ``"output"``.
    size : tuple of int
        Pixels that one of its outputs sees, at the worst phase of the pooling grid; 0 where it sees everything.
    jump : tuple of float
        Pixels between two neighbouring outputs; 0 where the layer has no such axis any more.
    start : tuple of float
        Centre of what its first output sees.
    """

    name: str
    kind: str
    size: tuple[int, ...]
    jump: tuple[float, ...]
    start: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FieldAnalysis:
    """How far a network sees, in full.

    Attributes
    ----------
    layers : tuple of LayerField
        In the order in which they run, the output last.
    phases : tuple of tuple of (int, int)
        Per axis, for each phase of the pooling grid, the pixels that an output sees before and after itself. The
        phase of a pixel is its index modulo the number of phases.
    unbounded : tuple of str
        The layers that make the field endless; empty if it is finite.
    """

    layers: tuple[LayerField, ...]
    phases: tuple[tuple[tuple[int, int], ...], ...]
    unbounded: tuple[str, ...] = ()

    @property
    def multiple(self) -> tuple[int, ...]:
        """Period of the pooling grid per axis, in pixels."""
        return tuple(len(phases) for phases in self.phases)

    @property
    def field(self) -> ReceptiveField:
        """The field at the worst phase.

        Raises
        ------
        ModelError
            If the field is endless; the message names the layers.
        """
        if self.unbounded:
            raise ModelError(
                f"The network has no finite receptive field: {', '.join(self.unbounded)} "
                f"{'looks' if len(self.unbounded) == 1 else 'look'} at the whole input. Use a network with batch norm "
                "or none, and without global pooling, attention or fully connected layers."
            )
        return self.field_per_phase

    @property
    def field_per_phase(self) -> ReceptiveField:
        """The field at the worst phase; of a network that some norm makes endless, as if the norm were not there."""
        return ReceptiveField(
            tuple(max(before for before, _ in phases) for phases in self.phases),
            tuple(max(after for _, after in phases) for phases in self.phases),
        )

    def box(self, index: Sequence[int], shape: Sequence[int]) -> Region:
        """Return the pixels that the output at ``index`` sees in an image of this shape, exact at its phase."""
        phases = [self.phases[axis][i % len(self.phases[axis])] for axis, i in enumerate(index)]
        pixel = Region(tuple(index), tuple(i + 1 for i in index))
        return pixel.grow([before for before, _ in phases], [after for _, after in phases]).clip(shape)


def theoretical(net: NetSpec | nn.Module) -> ReceptiveField:
    """Return the receptive field of a network, per axis, at the worst phase of its pooling grid.

    Araujo et al. (2019, Distill) compute sizes from layer tables; here the network is asked by back-propagation, which
    needs no table and also gives the phase. Where an output is not a pixel of the input (a strided or unpadded foreign
    network), the field lies around its centre.

    Parameters
    ----------
    net : NetSpec or Module
        One of ours by its spec, or any network made of torch's layers, of which it is a copy that is probed.

    Raises
    ------
    ModelError
        If the field is endless, or a foreign network cannot be probed.
    """
    return analyze(net).field


def analyze(net: NetSpec | nn.Module) -> FieldAnalysis:
    """Return how far each layer of a network sees, and its output at each phase of the pooling grid.

    Kernels, pools and upsampling act on each axis apart, so that the field of an n-dimensional network is the box of
    the fields of its 1-D twins. Foreign networks have no twin; they are probed as they are, axis by axis.

    Raises
    ------
    ModelError
        If a foreign network cannot be probed.
    """
    if isinstance(net, nn.Module):
        ndim, channels = dimensions(net)
        try:
            axes = [probe(net, ndim, channels, axis) for axis in range(ndim)]
        except RuntimeError as error:
            raise ModelError(
                f"The network cannot be probed for its receptive field: it does not run on an image of another size "
                f"({error}). Give the part of it that is convolutional."
            ) from error
        return _join(axes, unbounded_operations(net, ndim, channels) or global_layers(net))
    axes_1d = [_analyze_axis(net.axis_spec(axis)) for axis in range(net.ndim)]
    joined = _join([reaches for reaches, _ in axes_1d], axes_1d[0][1])
    layers = tuple(replace(one, kind=one.kind.replace("1d", f"{net.ndim}d")) for one in joined.layers)
    return replace(joined, layers=layers)  # named as in the network itself


@cache
def _analyze_axis(spec: NetSpec) -> tuple[tuple[LayerExtent, ...], tuple[str, ...]]:
    """Return what each layer of a 1-D network sees, and which look at everything."""
    with torch.random.fork_rng(devices=[]):  # building draws weights: leave the caller's random numbers alone
        net = spec.build()
    return probe(net, 1, 1, 0), global_layers(net)


def dimensions(net: nn.Module) -> tuple[int, int]:
    """Return the number of axes and of channels that a foreign network reads, from its first convolution.

    Raises
    ------
    ModelError
        If it has none.
    """
    for layer in net.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            return len(layer.kernel_size), layer.in_channels
    raise ModelError(f"A {type(net).__name__} without convolutions was given; needed is a convolutional network.")


def _join(axes: Sequence[tuple[LayerExtent, ...]], global_names: tuple[str, ...]) -> FieldAnalysis:
    """Return the anatomy from what was found along each axis."""
    layers = tuple(_layer(reaches) for reaches in zip(*axes, strict=True))
    phases = tuple(_phases(reaches) for reaches in axes)
    endless = [layer for layer in layers if 0 in layer.size][:1]  # those after it see everything through it
    unbounded = global_names or tuple(f"{layer.name} ({layer.kind})" for layer in endless)
    return FieldAnalysis(layers, phases, unbounded)


def _layer(extents: Sequence[LayerExtent]) -> LayerField:
    return LayerField(
        extents[0].name,
        extents[0].kind,
        tuple(0 if reach.is_whole else reach.size for reach in extents),
        tuple(float(reach.jump) for reach in extents),
        tuple(reach.start for reach in extents),
    )


def _phases(extents: Sequence[LayerExtent]) -> tuple[tuple[int, int], ...]:
    """Return pixels seen before and after each phase of a pixel; around its centre, where outputs are no pixels."""
    last, grid = extents[-1], period(extents)
    if last.jump == 1 and len(last.spans) == grid:
        shift = round(last.start) if last.is_cropped else 0  # the first output lies so far inside
        sides = {index % grid: (index + shift - first, end - index - shift) for index, first, end in last.spans}
        return tuple(sides[(phase - shift) % grid] for phase in range(grid))
    return (((last.size - 1) // 2, last.size // 2),) * max(1, grid)
