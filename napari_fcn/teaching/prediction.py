"""Looking at what a pupil answers: the answer itself, how unsure it is, and where a stroke would tell most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import Heartbeat, RegionSuggested, TileDone, UncertaintyDone
from napari_fcn.geometry import Region
from napari_fcn.learning import suggestions
from napari_fcn.learning.cancellation import with_heartbeat

AT_ONCE = 64  # tiles whose features are known are answered in a few tenths of a second

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import InteractiveModel


def predict_tiles(pupil: InteractiveModel, region: Region) -> Iterator[Heartbeat | TileDone]:
    """Yield the answer for a region, tile by tile: where features are known first, then outward from the focus."""
    known, focus = pupil.features.tiles, pupil.features.focus or region.middle
    order = [
        (tile.core not in known, tile.core.distance(focus), tile) for tile in pupil.extractor.plan.touching(region)
    ]
    tiles = [tile for *_, tile in sorted(order, key=lambda entry: entry[:2])]
    for done, tile in enumerate(tiles, start=1):
        yield from with_heartbeat("show", pupil.compute_tile(tile))
        part = tile.core.intersection(region)
        yield TileDone(part, pupil.probabilities(part), done, len(tiles))


def predict_cached(pupil: InteractiveModel, region: Region) -> Iterator[Heartbeat | TileDone]:
    """Yield the answer for a region at once if that is done soon, so that it is drawn once; else tile by tile."""
    known = [tile.core in pupil.features.tiles for tile in pupil.extractor.plan.touching(region)]
    if all(known) and len(known) <= AT_ONCE:
        probabilities = yield from with_heartbeat("show", pupil.predict(region))
        yield TileDone(region, probabilities, 1, 1)
    else:
        yield from predict_tiles(pupil, region)


def prefetch_around(pupil: InteractiveModel, region: Region) -> Iterator[Heartbeat]:
    """Compute the features around a region, nearest first, while there is room in memory; yield after each tile.

    Around: half its length farther along each side, and one plane of an axis of which it shows only one.
    """
    around = region.grow([max(1, n // 2) for n in region.shape]).clip(pupil.extractor.source.shape)
    if len(list(pupil.extractor.plan.touching(region))) > AT_ONCE:
        return  # there is enough to do with what is seen
    for tile in sorted(pupil.extractor.plan.touching(around), key=lambda tile: tile.core.distance(region.middle)):
        if not pupil.features.has_room:
            return
        if tile.core not in pupil.features.tiles:
            yield from with_heartbeat("look ahead", pupil.compute_tile(tile))
            yield Heartbeat("look ahead")


def predict_uncertainty(pupil: InteractiveModel, region: Region) -> Iterator[UncertaintyDone]:
    """Yield how unsure a pupil is, for each tile of a region: the entropy of its answer."""
    for tile in pupil.extractor.plan.touching(region):
        part = tile.core.intersection(region)
        yield UncertaintyDone(part, suggestions.entropy(pupil.probabilities(part)))


def suggest_region(pupil: InteractiveModel, samples: Samples, region: Region) -> Iterator[RegionSuggested]:
    """Yield the most uncertain place of a region that no stroke has within its receptive field."""
    axes, field, shape = pupil.extractor.source.axes, pupil.extractor.field, pupil.extractor.source.shape
    space = axes.space_positions
    best = RegionSuggested(Region(region.start, region.start), region.start, 0.0)
    for part in predict_uncertainty(pupil, region):
        free = suggestions.unlabeled_maxima(part.region, samples, field, space)
        values = np.where(free, suggestions.smooth(part.values, space), -1)
        at = np.unravel_index(int(values.argmax()), values.shape)
        if values[at] > best.uncertainty:
            index = tuple(int(i) + a for i, a in zip(at, part.region.start, strict=True))
            before, after = axes.spread(field.before, 0), axes.spread(field.after, 0)
            box = Region(index, tuple(i + 1 for i in index)).grow(before, after).clip(shape)
            best = RegionSuggested(box, index, float(values[at]))
    yield best
