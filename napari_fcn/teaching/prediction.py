"""Predictions of a model in a region, their uncertainty, and the most uncertain pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.cancellation import with_heartbeat
from napari_fcn.events import ComparisonTile, Heartbeat, RegionSuggested, TileDone, UncertaintyDone
from napari_fcn.geometry import Region
from napari_fcn.learning import suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import InteractiveModel

MAX_TILES_AT_ONCE = 64  # with cached features, these are predicted in a few tenths of a second


def predict_tiles(model: InteractiveModel, region: Region) -> Iterator[Heartbeat | TileDone]:
    """Yield the prediction of each tile of a region: cached tiles first, then in order of distance from the focus."""
    cached, focus = model.features.tiles, model.features.focus or region.middle
    order = [
        (tile.core not in cached, tile.core.distance(focus), tile) for tile in model.extractor.plan.touching(region)
    ]
    tiles = [tile for *_, tile in sorted(order, key=lambda entry: entry[:2])]
    for done, tile in enumerate(tiles, start=1):
        yield from with_heartbeat("show", model.compute_tile(tile))
        part = tile.core.intersection(region)
        yield TileDone(part, model.probabilities(part), done, len(tiles))


def predict_commit(commit: int, model: InteractiveModel, region: Region) -> Iterator[Heartbeat | ComparisonTile]:
    """Yield the prediction of the model of a commit, tile by tile."""
    for event in predict_tiles(model, region):
        yield ComparisonTile(commit, event) if isinstance(event, TileDone) else event


def predict_cached(model: InteractiveModel, region: Region) -> Iterator[Heartbeat | TileDone]:
    """Yield the prediction of a region in one piece if its features are cached, else tile by tile."""
    cached = [tile.core in model.features.tiles for tile in model.extractor.plan.touching(region)]
    if all(cached) and len(cached) <= MAX_TILES_AT_ONCE:
        probabilities = yield from with_heartbeat("show", model.predict(region))
        yield TileDone(region, probabilities, 1, 1)
    else:
        yield from predict_tiles(model, region)


def prefetch_around(model: InteractiveModel, region: Region) -> Iterator[Heartbeat]:
    """Compute the features around a region, nearest tiles first, until the cache is full; yield after each tile.

    The region is extended by half its length on each side, at least by one pixel.
    """
    around = region.grow([max(1, n // 2) for n in region.shape]).clip(model.extractor.source.shape)
    if len(list(model.extractor.plan.touching(region))) > MAX_TILES_AT_ONCE:
        return  # the region itself takes long enough
    for tile in sorted(model.extractor.plan.touching(around), key=lambda tile: tile.core.distance(region.middle)):
        if not model.features.has_room:
            return
        if tile.core not in model.features.tiles:
            yield from with_heartbeat("look ahead", model.compute_tile(tile))
            yield Heartbeat("look ahead")


def predict_uncertainty(model: InteractiveModel, region: Region) -> Iterator[UncertaintyDone]:
    """Yield the entropy of the prediction for each tile of a region."""
    for tile in model.extractor.plan.touching(region):
        part = tile.core.intersection(region)
        yield UncertaintyDone(part, suggestions.entropy(model.probabilities(part)))


def suggest_region(model: InteractiveModel, samples: Samples, region: Region) -> Iterator[RegionSuggested]:
    """Yield the most uncertain pixel of a region with no stroke in its receptive field."""
    axes, field, shape = model.extractor.source.axes, model.extractor.field, model.extractor.source.shape
    space = axes.space_positions
    best = RegionSuggested(Region(region.start, region.start), region.start, 0.0)
    for part in predict_uncertainty(model, region):
        is_unreached = suggestions.unreached_pixels(part.region, samples, field, space)
        values = np.where(is_unreached, suggestions.smooth(part.values, space), -1)
        index = np.unravel_index(int(values.argmax()), values.shape)
        if values[index] > best.uncertainty:
            pixel = tuple(int(i) + a for i, a in zip(index, part.region.start, strict=True))
            before, after = axes.spread(field.before, 0), axes.spread(field.after, 0)
            box = Region(pixel, tuple(i + 1 for i in pixel)).grow(before, after).clip(shape)
            best = RegionSuggested(box, pixel, float(values[index]))
    yield best
