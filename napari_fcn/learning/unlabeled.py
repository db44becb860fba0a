"""Unlabelled pixels for fits of the head: pseudo-labels from the prior, and random pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.learning.features import product_by_class
from napari_fcn.learning.head import gather

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_fcn.geometry import Tile
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import FeatureCache, FeatureTile
    from napari_fcn.learning.head import Head

MIN_CONFIDENCE = 0.8  # minimum probability of a pseudo-label
MAX_PSEUDO_LABELS = 300  # for each class
MAX_RANDOM = 1000  # random pixels per tile
MAX_TILES = 6  # tiles with the latest strokes


@dataclass(slots=True, eq=False)
class UnlabeledPixels:
    """Features of unlabelled pixels, each computed once.

    Attributes
    ----------
    features : FeatureCache
        The features of the image.
    prior : Head
        The head before any strokes, for raw features.
    """

    features: FeatureCache
    prior: Head
    _pseudo_labeled: tuple[Tensor, Tensor] | None = None
    _random: dict[int, Tensor] = field(default_factory=dict)

    def pseudo_labeled(self, classes: set[int], tile: Tile) -> tuple[Tensor, Tensor]:
        """Return features and class indices of pixels that the prior predicts with confidence, for some classes.

        They keep classes without strokes from being forgotten. All come from one tile, the same for all fits.
        """
        if self._pseudo_labeled is None:
            self._pseudo_labeled = self._confident_pixels(self.features.tile(tile))
        features, class_index = self._pseudo_labeled
        is_selected = torch.tensor(
            [int(k) in classes for k in class_index.tolist()], dtype=torch.bool, device=class_index.device
        )
        return features[is_selected], class_index[is_selected]

    def _confident_pixels(self, tile: FeatureTile) -> tuple[Tensor, Tensor]:
        extractor = self.features.extractor
        logits = extractor.logits(self.prior.linear, tile, product=product_by_class)
        if self.prior.hidden is not None:
            units = extractor.logits(self.prior.hidden.units, tile, product=product_by_class)
            logits = logits + self.prior.hidden.logits_of_units(units)
        confidence, predicted = logits.float().softmax(1).max(1)
        inner = tile.core.relative_to(tile.stored)
        shift = torch.tensor([0, *(inner.start[p] for p in extractor.source.axes.space_positions)])
        selected = []
        for value in range(len(self.prior.linear.bias)):
            pixels = ((predicted == value) & (confidence > MIN_CONFIDENCE)).nonzero()
            selected.append(pixels[:: max(1, len(pixels) // MAX_PSEUDO_LABELS)][:MAX_PSEUDO_LABELS])
        positions = torch.cat(selected)
        class_index = predicted[tuple(positions.unbind(1))]
        return gather(tile.levels, positions + shift.to(positions.device)), class_index

    def random(self, samples: Samples) -> Generator[None, None, Tensor]:
        """Return features ``(n, F)`` of random pixels in the tiles of the latest strokes; pauses before each tile."""
        numbers, turns = self.features.extractor.tiles_of(samples), samples.turn
        latest = sorted(np.unique(numbers).tolist(), key=lambda n: (-int(turns[numbers == n].max()), n))[:MAX_TILES]
        for number in latest:
            if number not in self._random:
                yield
                self._random[number] = self._draw_tile(number)
        return torch.cat([self._random[number] for number in latest])

    def _draw_tile(self, number: int) -> Tensor:
        plan = self.features.extractor.plan
        tile = self.features.tile(plan.at([int(i) for i in np.unravel_index(number, plan.counts)]))
        rng, core = np.random.default_rng(number), tile.core
        coordinates = np.column_stack(
            [rng.integers(a, b, MAX_RANDOM) for a, b in zip(core.start, core.stop, strict=True)]
        )
        return gather(tile.levels, self.features.extractor.pixel_positions(coordinates, tile.stored))
