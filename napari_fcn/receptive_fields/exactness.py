"""Whether tiles are exact: compares predictions in tiles with the prediction in one piece."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import Certified, CheckStep
from napari_fcn.geometry import Region, TilePlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

    # From a normalised block (C, *space) to probabilities (classes, *space).
    PredictBlock = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]

TILES_PER_AXIS = 3  # by default
UNBOUNDED_HALO = 32  # for a network without a finite receptive field


def certify(
    predict: PredictBlock, image: npt.NDArray[np.float32], plan: TilePlan, analysis: FieldAnalysis, tolerance: float
) -> Iterator[CheckStep | Certified]:
    """Yield progress, then the difference between the tiles of a plan and the image in one piece.

    Parameters
    ----------
    predict : callable
        The network.
    image : ndarray
        ``(C, *plan.shape)``, normalised.
    plan : TilePlan
        The tiles, on the axes of the network.
    analysis : FieldAnalysis
        Receptive field of the network.
    tolerance : float
        Largest difference of probabilities that rounding explains.
    """
    total = len(plan) + 1
    whole = predict(image)
    yield CheckStep(1, total)
    difference, flips = np.zeros(plan.shape, np.float32), 0
    for done, tile in enumerate(plan, start=2):
        part = predict(np.ascontiguousarray(image[(slice(None), *tile.read.slices)]))
        part = part[(slice(None), *tile.crop.slices)]
        expected = whole[(slice(None), *tile.core.slices)]
        difference[tile.core.slices] = np.abs(part - expected).max(0)
        flips += int((part.argmax(0) != expected.argmax(0)).sum())
        yield CheckStep(done, total)
    error = float(difference.max())
    needed = () if analysis.unbounded else analysis.field.halo
    yield Certified(
        region=Region.whole(plan.shape),
        difference=difference,
        is_exact=error <= tolerance,
        max_error=error,
        mean_error=float(difference.mean(dtype=np.float64)),
        tolerance=tolerance,
        label_flips=flips,
        tiles=len(plan),
        halo_needed=needed,
        halo_used=plan.margin,
        reason=explain(plan, analysis, error, tolerance),
    )


def explain(plan: TilePlan, analysis: FieldAnalysis, error: float, tolerance: float) -> str:
    """Return the reason why the tiles of a plan are exact or not."""
    start = f"Tiles and whole image differ by at most {error:.1e}" if error else "Tiles and whole image are equal"
    if analysis.unbounded:
        names = ", ".join(analysis.unbounded)
        if all(name.endswith("random") for name in analysis.unbounded):
            return f"{start}: {names}, so two runs always differ."
        return f"{start}: {names} of the network depends on the whole input, so no halo is large enough."
    narrow = [
        (used, need)
        for used, need, count in zip(plan.margin, analysis.field.halo, plan.counts, strict=True)
        if count > 1 and (used[0] < need[0] or used[1] < need[1])
    ]
    if narrow:
        used, need = narrow[0]
        return f"{start}: tiles have a halo of {max(used)} px, and the receptive field needs {max(need)} px."
    if any(
        count > 1 and (tile % m or before % m)
        for tile, (before, _), m, count in zip(plan.tile, plan.margin, analysis.multiple, plan.counts, strict=True)
    ):
        grid = " x ".join(map(str, analysis.multiple))
        return f"{start}: tiles do not start on the pooling grid, at multiples of {grid} px."
    if error > tolerance:
        return f"{start}, more than rounding ({tolerance:.0e}), although tiles contain the whole receptive field."
    rounding = ", due to rounding" if error else ""
    return f"{start}{rounding}: tiles contain the whole receptive field and start on the pooling grid."


def cut_into_tiles(shape: Sequence[int], analysis: FieldAnalysis, tile: Sequence[int] = ()) -> TilePlan:
    """Return a plan that cuts an image into several tiles along each axis, even if it fits in one.

    Parameters
    ----------
    shape : sequence of int
        Length of the axes of the network.
    analysis : FieldAnalysis
        Receptive field of the network; if it is not finite, the halo is `UNBOUNDED_HALO`.
    tile : sequence of int
        Length per axis; it is rounded up to the pooling grid.
    """
    multiple = analysis.multiple
    lengths = tile or [ceil(n / TILES_PER_AXIS) for n in shape]
    on_grid = tuple(max(1, ceil(n / m)) * m for n, m in zip(lengths, multiple, strict=True))
    is_known = all(analysis.layers[-1].size)
    halo = analysis.field_per_phase.halo if is_known else ((UNBOUNDED_HALO, UNBOUNDED_HALO),) * len(shape)
    return TilePlan(tuple(shape), on_grid, halo, multiple)
