"""Plans pools, kernels and depth of a network from pixel size and object size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from napari_fcn.nets.size import min_receptive_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_fcn.nets.spec import NetSpec

MIN_LENGTH = 8  # minimum length of an axis at the deepest level, in pixels
POOLING_RATIO = 2.0  # an axis is pooled while its pixel size is below this multiple of the finest one
CONTEXT_FACTOR = 2.0  # target receptive field, relative to the object size
FAMILY_DEPTHS = {"dilated": (5, 8)}  # default and maximum depth; in this family levels are cheap
DEFAULT_DEPTHS = (3, 6)  # of the other families
DEFAULT_WIDTHS = {1: 16, 2: 16, 3: 8}

Step = tuple[tuple[int, ...], tuple[int, ...]]


def plan_network(
    make_spec: Callable[[dict[str, Any]], NetSpec],
    voxel_size: float | Sequence[float],
    object_size: float | None,
    given: Mapping[str, Any],
    shape: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the fields of a network; see `NetSpec.suggest`.

    Parameters
    ----------
    make_spec : callable
        `NetSpec.from_dict`; its module imports this one.
    voxel_size, object_size, shape
        As for `NetSpec.suggest`.
    given : mapping
        Given fields, including ``ndim``. If they include kernels or pools, neither is planned.
    """
    ndim = given["ndim"]
    values = {"width": DEFAULT_WIDTHS.get(ndim, 8), **given}
    size, length = _sizes(voxel_size, object_size, ndim), [int(n) for n in shape] or [2**30] * ndim
    if len(length) != ndim:
        raise ValueError(f"The image has {len(length)} lengths; a {ndim}-D network needs {ndim}.")
    if "kernel" in given or "pool" in given:
        return values
    time = given.get("time", 0 if given.get("family") == "video" else None)
    default_depth, deepest = FAMILY_DEPTHS.get(given.get("family", ""), DEFAULT_DEPTHS)
    if object_size is None or "depth" in given:
        return {**values, **_levels(size, length, time, given.get("depth", default_depth))}
    space = [axis for axis in range(ndim) if axis != time]
    for depth in range(1, deepest + 1):
        planned = {**values, **_levels(size, length, time, depth)}
        sides = min_receptive_field(make_spec(planned))
        field_sizes = [(2 * sides[axis] + 1) * size[axis] for axis in space]
        needed = [min(CONTEXT_FACTOR * object_size, length[axis] * size[axis]) for axis in space]
        if planned["depth"] < depth or all(f >= n for f, n in zip(field_sizes, needed, strict=True)):
            break
    return planned


def _sizes(voxel_size: float | Sequence[float], object_size: float | None, ndim: int) -> list[float]:
    sizes = [float(s) for s in voxel_size] if isinstance(voxel_size, Sequence) else [float(voxel_size)] * ndim
    if len(sizes) != ndim:
        raise ValueError(f"voxel_size has {len(sizes)} numbers; a {ndim}-D network needs {ndim}, or one for all axes.")
    if not all(s > 0 for s in (*sizes, 1.0 if object_size is None else object_size)):
        raise ValueError(f"voxel_size is {voxel_size} and object_size {object_size}; sizes must be positive.")
    return sizes


def _levels(size: Sequence[float], length: Sequence[int], time: int | None, depth: int) -> dict[str, Any]:
    """Return ``kernel``, ``pool`` and ``depth`` of a network with this depth, or less if the axes are short."""
    first, *below = islice(_steps(size, length, time), depth + 1)
    return {"kernel": (first[0], *(k for k, _ in below)), "pool": tuple(p for _, p in below), "depth": len(below)}


def _steps(size: Sequence[float], length: Sequence[int], time: int | None) -> Iterator[Step]:
    """Yield the kernel of each level and the pool that leads to it, until no axis can be pooled further.

    An axis is pooled and convolved while its pixel size is less than twice that of the finest axis that can be pooled.
    Time is convolved but never pooled, to preserve fast motion.
    """
    axes, pool = range(len(size)), (1,) * len(size)
    while True:
        is_poolable = [axis != time and length[axis] >= 2 * MIN_LENGTH for axis in axes]
        finest = min((s for s, is_allowed in zip(size, is_poolable, strict=True) if is_allowed), default=min(size))
        is_fine = [s < POOLING_RATIO * finest for s in size]
        yield tuple(3 if axis == time or is_fine[axis] else 1 for axis in axes), pool
        pool = tuple(2 if is_fine[axis] and is_poolable[axis] else 1 for axis in axes)
        if max(pool) == 1:
            return
        size = [s * p for s, p in zip(size, pool, strict=True)]
        length = [n // p for n, p in zip(length, pool, strict=True)]
