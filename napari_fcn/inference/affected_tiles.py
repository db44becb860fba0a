"""The tiles that must be predicted again after an edit of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.receptive_fields.influence import influenced_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.geometry import Axes, Tile, TilePlan
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis


def affected_tiles(edit: Region, plan: TilePlan, axes: Axes, analysis: FieldAnalysis | None) -> Iterator[Tile]:
    """Yield tiles of exactly the pixels whose receptive field contains an edited pixel.

    Parameters
    ----------
    edit : Region
        Box of the pixels of the image that changed.
    plan : TilePlan
        Tiles of the whole image.
    axes : Axes
        Those of the image.
    analysis : FieldAnalysis or None
        Receptive field of the network in pixels of the image; None if the image is resampled: then all tiles that read
        an edited pixel are predicted as a whole.

    Raises
    ------
    ImageError
        If the edit is outside the image.
    """
    edit = edit.clip(plan.shape)
    if edit.is_empty:
        raise ImageError("The edit is outside the image. Give the box of the pixels that changed.")
    if analysis is None:
        yield from (tile for tile in plan if not tile.read.intersection(edit).is_empty)
        return
    places = axes.space_positions
    box = influenced_box(analysis, edit.take(places), tuple(plan.shape[i] for i in places))
    start, stop = list(edit.start), list(edit.stop)
    for i, a, b in zip(places, box.start, box.stop, strict=True):
        start[i], stop[i] = a, b
    yield from plan.within(Region(tuple(start), tuple(stop)))
