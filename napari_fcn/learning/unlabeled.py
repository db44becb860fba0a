"""Pixels that nobody has painted and from which a head learns all the same."""

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
    from napari_fcn.learning.features import Features, Window
    from napari_fcn.learning.head import Head

SURE = 0.8  # probability from which on the prior counts as sure of a pixel
REHEARSED = 300  # such pixels for each class
FREE = 1000  # pixels of a tile that nobody has painted, from which a bent head learns
TILES = 6  # so many of them, those of the latest strokes


@dataclass(slots=True, eq=False)
class Unpainted:
    """Features of unpainted pixels, kept once they were drawn.

    Attributes
    ----------
    features : Features
        Where they come from.
    prior : Head
        What the model knew, for features as they are.
    """

    features: Features
    prior: Head
    _sure: tuple[Tensor, Tensor] | None = None
    _free: dict[int, Tensor] = field(default_factory=dict)

    def sure(self, classes: set[int], tile: Tile) -> tuple[Tensor, Tensor]:
        """Return features and class of pixels that the prior is sure of, for some classes: those that nobody painted.

        Without them a class would be lost because the others are taught. They come from one tile of the image, always
        the same.
        """
        if self._sure is None:
            self._sure = self._sure_pixels(self.features.window(tile))
        rows, label = self._sure
        wanted = torch.tensor([int(k) in classes for k in label.tolist()], dtype=torch.bool, device=label.device)
        return rows[wanted], label[wanted]

    def _sure_pixels(self, window: Window) -> tuple[Tensor, Tensor]:
        view = self.features.view
        logits = view.logits(self.prior.linear, window)
        if self.prior.bend is not None:
            logits = logits + self.prior.bend.on_units(view.logits(self.prior.bend.hidden, window))
        sure, answer = logits.float().softmax(1).max(1)
        inner = window.core.relative_to(window.held)
        shift = torch.tensor([0, *(inner.start[p] for p in view.source.axes.space_positions)])
        found = []
        for value in range(len(self.prior.linear.bias)):
            at = ((answer == value) & (sure > SURE)).nonzero()
            found.append(at[:: max(1, len(at) // REHEARSED)][:REHEARSED])
        places = torch.cat(found)
        label = answer[tuple(places.unbind(1))]
        return gather(window.levels, places + shift.to(places.device)), label

    def free(self, samples: Samples) -> Generator[None, None, Tensor]:
        """Return features ``(n, F)`` of random pixels in the tiles of the latest strokes; pauses before each tile."""
        numbers, turns = self.features.view.tile_of(samples), samples.turn
        latest = sorted(np.unique(numbers).tolist(), key=lambda n: (-int(turns[numbers == n].max()), n))[:TILES]
        for number in latest:
            if number not in self._free:
                yield
                self._free[number] = self._drawn(number)
        return torch.cat([self._free[number] for number in latest])

    def _drawn(self, number: int) -> Tensor:
        plan = self.features.view.plan
        window = self.features.window(plan.at([int(i) for i in np.unravel_index(number, plan.counts)]))
        draw, core = np.random.default_rng(number), window.core
        at = np.column_stack([draw.integers(a, b, FREE) for a, b in zip(core.start, core.stop, strict=True)])
        return gather(window.levels, self.features.view.places(at, window.held))
