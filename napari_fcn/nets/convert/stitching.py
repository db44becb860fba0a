"""Shift and stitch: an output at each pixel from a network with strides, by running it on shifted images."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from napari_fcn.nets.convert.sliding import per_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor


def shift_and_stitch(net: Callable[[Tensor], Tensor], image: Tensor, stride: int | Sequence[int]) -> Tensor:
    """Return the map of a network at each pixel instead of each ``stride``-th.

    The network runs once for each shift of the image within its grid, and the outputs are interleaved (Sermanet et al.
    2014; Long et al. 2015, section 3.2)::

        shift 0   a . . . b . . . c
        shift 1     d . . . e . . .        ->   a d f g b e ...
        shift 2       f ...

    Without padding this equals `dilate`, which computes shared features once and is faster. It works with every network
    of known stride, also with those that `dilate` cannot trace.

    Parameters
    ----------
    net : callable
        From ``(N, C, *space)`` to maps ``stride`` times as coarse.
    image : Tensor
        ``(N, C, *space)``, on each axis at least ``stride - 1`` longer than the shortest image that ``net`` takes.
    stride : int or sequence of int
        Pixels between two positions of the map, per axis.

    Raises
    ------
    ValueError
        If the maps of the shifted images cannot be interleaved: the stride is wrong.
    """
    steps = per_axis(stride, image.ndim - 2)
    first = net(image)
    counts = first.shape[2:]
    whole = first.new_empty((*first.shape[:2], *(n * s for n, s in zip(counts, steps, strict=True))))
    filled = [0] * len(steps)
    for shift in product(*map(range, steps)):
        part = net(image[_parts(slice(s, None) for s in shift)]) if any(shift) else first
        if any(n - m not in (0, 1) for n, m in zip(counts, part.shape[2:], strict=True)):
            raise ValueError(
                f"Shifted by {shift} pixels the map has {tuple(part.shape[2:])} positions instead of {tuple(counts)}: "
                f"{steps} is not the stride of this network."
            )
        ends = [s + (n - 1) * step + 1 for s, n, step in zip(shift, part.shape[2:], steps, strict=True)]
        whole[_parts(map(slice, shift, ends, steps))] = part
        filled = list(map(max, filled, ends))
    return whole[_parts(map(slice, filled))]


def _parts(along: Iterable[Any]) -> tuple[Any, ...]:
    return (..., *along)
