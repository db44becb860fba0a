"""The dependence of predictions on padding near the border of the image."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from napari_fcn.events import BorderTrustDone, CheckStep
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.nets.spec import NetSpec
from napari_fcn.nets.validation import PADDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    from torch import nn

    from napari_fcn.receptive_fields.effective import EffectiveField
    from napari_fcn.receptive_fields.exactness import PredictBlock
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

VISIBLE_CHANGE = 0.01  # changes of a probability up to this are ignored
TILE_PIXELS = 2**14  # small, because tiles that do not depend on padding are skipped


def border_trust(
    predictors: Mapping[str, PredictBlock],
    image: npt.NDArray[np.float32],
    analysis: FieldAnalysis,
    used: EffectiveField,
) -> Iterator[CheckStep | BorderTrustDone]:
    """Yield progress, then the dependence of each prediction on padding.

    Parameters
    ----------
    predictors : mapping of str to callable
        The network with each kind of padding (see `with_padding`).
    image : ndarray
        ``(C, *space)``, normalised.
    analysis : FieldAnalysis
        Receptive field of the network, which is finite.
    used : EffectiveField
        The mean effective receptive field of pixels far from the border.
    """
    shape = image.shape[1:]
    side = TILE_PIXELS ** (1 / len(shape))
    lengths = tuple(ceil(side / m) * m for m in analysis.multiple)
    plan = TilePlan(shape, lengths, analysis.field.halo, analysis.multiple)
    inside = Region.whole(shape).grow([-n for n in analysis.field.before], [-n for n in analysis.field.after])
    tiles = [tile for tile in plan if inside.is_empty or not inside.contains(tile.core)]
    change, flips = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for done, tile in enumerate(tiles, start=1):
        block = np.ascontiguousarray(image[(slice(None), *tile.read.slices)])
        probabilities = np.stack([predict(block)[(slice(None), *tile.crop.slices)] for predict in predictors.values()])
        change[tile.core.slices] = np.ptp(probabilities, axis=0).max(0)
        classes = probabilities.argmax(1)
        flips[tile.core.slices] = (classes != classes[0]).any(0)
        yield CheckStep(done, len(tiles))
    outside = share_outside(used, shape)
    distance = distance_to_border(shape)
    depth = int(distance[change > VISIBLE_CHANGE].max(initial=-1)) + 1
    is_near_border = distance < depth
    flip_fraction = float(flips[is_near_border].mean()) if depth else 0.0
    sentence = _sentence(outside, change, depth, flip_fraction)
    yield BorderTrustDone(Region.whole(shape), outside, change, depth, flip_fraction, sentence)


def share_outside(used: EffectiveField, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the fraction of the effective receptive field of each pixel that is outside the image."""
    sums = np.pad(used.heat.astype(np.float64), [(1, 0)] * used.heat.ndim)
    for axis in range(sums.ndim):
        sums = sums.cumsum(axis)
    ends = []
    for n, start, stop in zip(shape, used.region.start, used.region.stop, strict=True):
        position = np.arange(n)
        ends.append((np.maximum(start, -position) - start, np.minimum(stop, n - position) - start))
    inside = np.zeros(tuple(shape))
    for corner in product((0, 1), repeat=len(ends)):
        sign = (-1) ** (len(corner) - sum(corner))
        inside += sign * sums[np.ix_(*(pair[end] for pair, end in zip(ends, corner, strict=True)))]
    return np.clip(1 - inside / sums.flat[-1], 0, 1).astype(np.float32) if sums.flat[-1] else inside.astype(np.float32)


def distance_to_border(shape: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the distance of each pixel of an image to the nearest border, in pixels."""
    distance = np.full(tuple(shape), max(shape))
    for axis, n in enumerate(shape):
        steps = np.minimum(np.arange(n), np.arange(n)[::-1])
        distance = np.minimum(distance, steps.reshape([-1 if a == axis else 1 for a in range(len(shape))]))
    return distance


def with_padding(net: nn.Module, padding: str) -> nn.Module:
    """Return a copy of a network with another kind of padding.

    Parameters
    ----------
    net : Module
        A network of this package, or any other network with convolutions of torch.
    padding : str
        ``"zeros"``, ``"reflect"`` or ``"replicate"``.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; it can be {', '.join(PADDINGS)}.")
    net = deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd):
            layer.padding_mode = padding  # type: ignore[assignment]  # checked above
        spec = getattr(layer, "spec", None)
        if isinstance(spec, NetSpec):
            setattr(layer, "spec", replace(spec, padding=padding))  # noqa: B010 - torch's types know layers only; the shortest input depends on it
    return net


def _sentence(outside: npt.NDArray[np.float32], change: npt.NDArray[np.float32], depth: int, flips: float) -> str:
    start = f"At the border up to {float(outside.max()):.0%} of the effective receptive field is outside the image."
    if not depth:
        return f"{start} Probabilities with zero, reflect and replicate padding differ by at most {VISIBLE_CHANGE}."
    return (
        f"{start} Between zero, reflect and replicate padding probabilities differ by up to {float(change.max()):.2f}, "
        f"and {flips:.1%} of the pixels within {depth} px of the border change class; further inside, predictions do "
        "not depend on padding."
    )
