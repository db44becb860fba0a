"""Unlabelled pixels for fits of the head: pseudo-labels from the prior, and random pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.learning.head import gather

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_fcn.geometry import Tile
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import FeatureCache, FeatureTile
    from napari_fcn.learning.head import Head

MIN_CONFIDENCE = 0.8  # least probability of a pseudo-label
MAX_PSEUDO_LABELS = 300  # for each class
MAX_RANDOM = 1000  # pixels of each tile
MAX_TILES = 6  # with the latest strokes


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
        rows, label = self._pseudo_labeled
        wanted = torch.tensor([int(k) in classes for k in label.tolist()], dtype=torch.bool, device=label.device)
        return rows[wanted], label[wanted]

    def _confident_pixels(self, window: FeatureTile) -> tuple[Tensor, Tensor]:
        view = self.features.extractor
        logits = view.logits(self.prior.linear, window)
        if self.prior.hidden is not None:
            logits = logits + self.prior.hidden.logits_of_units(view.logits(self.prior.hidden.units, window))
        sure, answer = logits.float().softmax(1).max(1)
        inner = window.core.relative_to(window.stored)
        shift = torch.tensor([0, *(inner.start[p] for p in view.source.axes.space_positions)])
        found = []
        for value in range(len(self.prior.linear.bias)):
            at = ((answer == value) & (sure > MIN_CONFIDENCE)).nonzero()
            found.append(at[:: max(1, len(at) // MAX_PSEUDO_LABELS)][:MAX_PSEUDO_LABELS])
        places = torch.cat(found)
        label = answer[tuple(places.unbind(1))]
        return gather(window.levels, places + shift.to(places.device)), label

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
        window = self.features.tile(plan.at([int(i) for i in np.unravel_index(number, plan.counts)]))
        draw, core = np.random.default_rng(number), window.core
        at = np.column_stack([draw.integers(a, b, MAX_RANDOM) for a, b in zip(core.start, core.stop, strict=True)])
        return gather(window.levels, self.features.extractor.pixel_positions(at, window.stored))
