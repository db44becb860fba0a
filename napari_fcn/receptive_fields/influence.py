"""The pixels whose prediction a stroke can influence: the inverse of the receptive field."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.geometry import Region, TilePlan
from napari_fcn.receptive_fields.positive_net import LinearizedOps, surrogate
from napari_fcn.receptive_fields.theoretical import dimensions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import nn

    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

    Mask = npt.NDArray[np.bool_]

TILE_PIXELS = 2**18  # pixels of a tile


def influenced_box(analysis: FieldAnalysis, stroke: Region, shape: Sequence[int]) -> Region:
    """Return the smallest box of all outputs that depend on a pixel of a box, exact for each phase of the grid."""
    start, stop = [], []
    for phases, a, b, n in zip(analysis.phases, stroke.start, stroke.stop, shape, strict=True):
        before, after = (max(side) for side in zip(*phases, strict=True))
        outputs = np.arange(max(0, a - after), min(n, b + before))
        sides = np.array(phases)[outputs % len(phases)].reshape(-1, 2)
        dependent = outputs[(outputs - sides[:, 0] < b) & (outputs + sides[:, 1] >= a)]
        start.append(int(dependent[0]) if len(dependent) else a)
        stop.append(int(dependent[-1]) + 1 if len(dependent) else a)
    return Region(tuple(start), tuple(stop))


def influenced(
    net: nn.Module, stroke: Mask, at: Region, shape: Sequence[int], analysis: FieldAnalysis
) -> tuple[Region, Mask]:
    """Return the outputs that depend on a pixel of a stroke: their smallest box, and the mask in it.

    They are computed from the derivative of a surrogate network, with positive weights and without gates, along the
    stroke: it differs from zero where a path leads from the stroke to the output.

    Parameters
    ----------
    net : Module
        The network.
    stroke : ndarray of bool
        ``at.shape``.
    at : Region
        Box of the stroke, on the axes of the network.
    shape : sequence of int
        Shape of the image.
    analysis : FieldAnalysis
        Receptive field of the network, which is finite.
    """
    outer = influenced_box(analysis, at, shape)
    tile = tuple(ceil(TILE_PIXELS ** (1 / len(shape)) / m) * m for m in analysis.multiple)
    plan = TilePlan(tuple(shape), tile, analysis.field.halo, analysis.multiple)
    mask, channels = np.zeros(outer.shape, bool), dimensions(net)[1]
    positive = surrogate(net, (channels, *analysis.multiple))
    for tile_ in plan.touching(outer):
        stroke_in_tile = np.zeros(tile_.read.shape, bool)
        common = at.intersection(tile_.read)
        stroke_in_tile[common.relative_to(tile_.read).slices] = stroke[common.relative_to(at).slices]
        core = tile_.core.intersection(outer)
        if stroke_in_tile.any():
            tile_mask = influenced_by_surrogate(positive, stroke_in_tile, channels)
            mask[core.relative_to(outer).slices] = tile_mask[core.relative_to(tile_.read).slices]
    if not mask.any():
        return Region(at.start, at.start), np.zeros((0,) * at.ndim, bool)
    ranges = [np.flatnonzero(mask.any(tuple(a for a in range(mask.ndim) if a != axis))) for axis in range(mask.ndim)]
    inner = Region(tuple(int(p[0]) for p in ranges), tuple(int(p[-1]) + 1 for p in ranges))
    return inner.shift(outer.start), mask[inner.slices]


def influenced_by_surrogate(positive: nn.Module, stroke: Mask, channels: int) -> Mask:
    """Return the outputs that a stroke (*space) influences in a network made by `surrogate`.

    The gradient is linear in the direction of the outputs; its own gradient is the derivative along the stroke.
    """
    x = torch.ones(1, channels, *stroke.shape, dtype=torch.float64, requires_grad=True)
    with LinearizedOps():
        out = positive(x)
    direction = torch.zeros_like(out, requires_grad=True)
    (gradient,) = torch.autograd.grad(out, x, direction, create_graph=True)
    along = torch.from_numpy(stroke).to(x.dtype).expand_as(x)
    (derivative,) = torch.autograd.grad(gradient, direction, along)
    mask: Mask = (derivative[0] != 0).any(0).numpy()
    return mask
