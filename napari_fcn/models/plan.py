"""Which network fits an image: pools and kernels that follow from its pixel size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.nets.spec import NetSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

DEEPEST = 3
SHORTEST = 8  # pixels that an axis keeps at the bottom of the network
ALIKE = 2.0  # an axis is pooled while its pixels are less than so many times as long as the finest


def suggested(shape: Sequence[int], spacing: Sequence[float] = (), channels: int = 1, classes: int = 2) -> NetSpec:
    """Return a U-Net for an image.

    An axis with coarse pixels is neither pooled nor convolved until pooling has made the others as coarse (Isensee et
    al. 2021); one that is short is not pooled further.

    Parameters
    ----------
    shape : sequence of int
        Length of each axis in space, in pixels.
    spacing : sequence of float
        Pixel size of each axis; all alike if not given.
    channels, classes : int
        Of the network.
    """
    size, length = [float(s) for s in spacing] or [1.0] * len(shape), [int(n) for n in shape]
    pools, kernels = [], [_kernel(size)]
    for _ in range(DEEPEST):
        step = tuple(2 if s < ALIKE * min(size) and n >= 2 * SHORTEST else 1 for s, n in zip(size, length, strict=True))
        if max(step) == 1:
            break
        size = [s * p for s, p in zip(size, step, strict=True)]
        length = [n // p for n, p in zip(length, step, strict=True)]
        pools.append(step)
        kernels.append(_kernel(size))
    return NetSpec(
        ndim=len(shape),
        channels=channels,
        classes=classes,
        width=16 if len(shape) < 3 else 8,
        depth=len(pools),
        kernel=tuple(kernels),
        pool=tuple(pools),
    )


def _kernel(size: Sequence[float]) -> tuple[int, ...]:
    return tuple(3 if s < ALIKE * min(size) else 1 for s in size)
