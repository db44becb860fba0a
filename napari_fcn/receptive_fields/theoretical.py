"""The exact theoretical receptive field of a network, measured on the network itself."""

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
    """The receptive field of one layer, one entry per axis, in input pixels (Araujo et al. 2019).

    Attributes
    ----------
    name, kind : str
        Name and type of the layer, such as ``"encoder.0.3"`` and ``"Conv2d"``; the last name is ``"output"``.
    size : tuple of int
        Length of the receptive field at the worst phase of the pooling grid; 0 for the whole input.
    jump : tuple of float
        Input pixels between neighbouring outputs; 0 if the output lacks the axis.
    start : tuple of float
        Centre of the receptive field of the first output.
    """

    name: str
    kind: str
    size: tuple[int, ...]
    jump: tuple[float, ...]
    start: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FieldAnalysis:
    """The receptive fields of a network and of its layers.

    Attributes
    ----------
    layers : tuple of LayerField
        The layers in the order of execution, the output last.
    phases : tuple of tuple of (int, int)
        For each axis and each phase of the pooling grid, the length of the receptive field before and after the pixel.
        The phase of a pixel is its index modulo the number of phases.
    unbounded : tuple of str
        The layers that depend on the whole input; empty if the receptive field is finite.
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
        """The receptive field at the worst phase.

        Raises
        ------
        ModelError
            If the receptive field is not finite; the message names the layers.
        """
        if self.unbounded:
            raise ModelError(
                f"The network has no finite receptive field: {', '.join(self.unbounded)} "
                f"{'depends' if len(self.unbounded) == 1 else 'depend'} on the whole input. Use a network with batch "
                "norm or none, and without global pooling, attention or fully connected layers."
            )
        return self.field_per_phase

    @property
    def field_per_phase(self) -> ReceptiveField:
        """The receptive field at the worst phase, ignoring norms that depend on the whole input."""
        return ReceptiveField(
            tuple(max(before for before, _ in phases) for phases in self.phases),
            tuple(max(after for _, after in phases) for phases in self.phases),
        )

    def box(self, index: Sequence[int], shape: Sequence[int]) -> Region:
        """Return the receptive field of the output at ``index`` in an image of this shape, exact at its phase."""
        phases = [self.phases[axis][i % len(self.phases[axis])] for axis, i in enumerate(index)]
        pixel = Region(tuple(index), tuple(i + 1 for i in index))
        return pixel.grow([before for before, _ in phases], [after for _, after in phases]).clip(shape)


def theoretical(net: NetSpec | nn.Module) -> ReceptiveField:
    """Return the receptive field of a network, per axis, at the worst phase of its pooling grid.

    Araujo et al. (2019, Distill) compute sizes from layer tables; back-propagation needs no table and also gives the
    phase. If outputs are not aligned with input pixels (external networks with strides or without padding), the field
    is relative to the centre of an output.

    Parameters
    ----------
    net : NetSpec or Module
        The spec of a network of this package, or any network of torch layers; a copy of it is probed.

    Raises
    ------
    ModelError
        If the receptive field is not finite, or an external network cannot be probed.
    """
    return analyze(net).field


def analyze(net: NetSpec | nn.Module) -> FieldAnalysis:
    """Return the receptive field of each layer of a network, and of its output at each phase of the pooling grid.

    Kernels, pools and upsampling act on each axis separately, so the receptive field of an n-dimensional network is
    the box of the fields of one 1-D network per axis. External networks are probed as a whole, axis by axis.

    Raises
    ------
    ModelError
        If an external network cannot be probed.
    """
    if isinstance(net, nn.Module):
        ndim, channels = dimensions(net)
        try:
            axes = [probe(net, ndim, channels, axis) for axis in range(ndim)]
        except RuntimeError as error:
            raise ModelError(
                f"The network cannot be probed for its receptive field: it does not run on an image of another size "
                f"({error}). Give its convolutional part."
            ) from error
        return _join(axes, unbounded_operations(net, ndim, channels) or global_layers(net))
    axes_1d = [_analyze_axis(net.axis_spec(axis)) for axis in range(net.ndim)]
    joined = _join([extents for extents, _ in axes_1d], axes_1d[0][1])
    layers = tuple(replace(layer, kind=layer.kind.replace("1d", f"{net.ndim}d")) for layer in joined.layers)
    return replace(joined, layers=layers)  # with the types of the n-dimensional network


@cache
def _analyze_axis(spec: NetSpec) -> tuple[tuple[LayerExtent, ...], tuple[str, ...]]:
    """Return the receptive field of each layer of a 1-D network, and the layers that depend on the whole input."""
    with torch.random.fork_rng(devices=[]):  # building draws weights: the random state of the caller must not change
        net = spec.build()
    return probe(net, 1, 1, 0), global_layers(net)


def dimensions(net: nn.Module) -> tuple[int, int]:
    """Return the number of axes and of channels of an external network, from its first convolution.

    Raises
    ------
    ModelError
        If it has no convolution.
    """
    for layer in net.modules():
        if isinstance(layer, nn.modules.conv._ConvNd):
            return len(layer.kernel_size), layer.in_channels
    raise ModelError(f"A {type(net).__name__} has no convolutions; a convolutional network is needed.")


def _join(axes: Sequence[tuple[LayerExtent, ...]], global_names: tuple[str, ...]) -> FieldAnalysis:
    """Return the analysis from the receptive fields along each axis."""
    layers = tuple(_layer(extents) for extents in zip(*axes, strict=True))
    phases = tuple(_phases(extents) for extents in axes)
    first = next((layer for layer in layers if 0 in layer.size), None)  # later layers are unbounded because of it
    unbounded = global_names or (() if first is None else (f"{first.name} ({first.kind})",))
    return FieldAnalysis(layers, phases, unbounded)


def _layer(extents: Sequence[LayerExtent]) -> LayerField:
    return LayerField(
        extents[0].name,
        extents[0].kind,
        tuple(0 if extent.is_whole else extent.size for extent in extents),
        tuple(float(extent.jump) for extent in extents),
        tuple(extent.start for extent in extents),
    )


def _phases(extents: Sequence[LayerExtent]) -> tuple[tuple[int, int], ...]:
    """Return the field before and after a pixel for each phase; around the centre if outputs are not pixels."""
    last, grid = extents[-1], period(extents)
    if last.jump == 1 and len(last.spans) == grid:
        shift = round(last.start) if last.is_cropped else 0  # offset of the first output
        sides = {index % grid: (index + shift - first, end - index - shift) for index, first, end in last.spans}
        return tuple(sides[(phase - shift) % grid] for phase in range(grid))
    return (((last.size - 1) // 2, last.size // 2),) * max(1, grid)
