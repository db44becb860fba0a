"""The tiles of a run: those of the settings, or those that finish soonest in the memory that there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_fcn.errors import ModelError
from napari_fcn.geometry import TilePlan
from napari_fcn.geometry.tiling import balanced_tile
from napari_fcn.inference.memory import budget, cost, largest_tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_fcn.geometry import Axes, ReceptiveField
    from napari_fcn.inference.resampling import ResampledTiling
    from napari_fcn.nets import NetSpec
    from napari_fcn.settings import PredictSettings

MEMORY_HALVINGS = 7  # of the memory that a run may take, when plans are compared


@dataclass(frozen=True, slots=True)
class TilePlanner:
    """Plans tiles for a network on an image.

    Attributes
    ----------
    spec : NetSpec
        The network.
    field : ReceptiveField
        Its receptive field.
    axes : Axes
        Role of each axis of the image.
    shape : tuple of int
        Length of each image axis, in pixels of the network.
    settings : PredictSettings
        Tile and memory of the user.
    device : torch.device
        Where the network runs.
    dtype : torch.dtype
        Number type of the activations.
    """

    spec: NetSpec
    field: ReceptiveField
    axes: Axes
    shape: tuple[int, ...]
    settings: PredictSettings
    device: torch.device
    dtype: torch.dtype

    def network_plan(self, tile: Sequence[int]) -> TilePlan:
        """Return tiles of these lengths on the grid of the network, one length per axis of the network."""
        return TilePlan(
            self.shape,
            self.axes.spread(tile, 1),
            self.axes.spread(self.field.halo, (0, 0)),
            self.axes.spread(self.spec.multiple, 1),
        )

    def exact_plan(self, tile: Sequence[int], tiling: ResampledTiling | None) -> TilePlan:
        """Return tiles of these lengths in pixels of the image, which ``tiling`` maps to the grid of the network."""
        return self.network_plan(tile) if tiling is None else tiling.plan_tiles(self.axes.spread(tile, 1))

    def plan(self, tiling: ResampledTiling | None, max_pixels: int | None = None) -> TilePlan:
        """Return the tiles of the settings, else the cheapest tiles.

        Windows of all the memory that the run may take, of half of it and so on are compared by their cost; with
        ``max_pixels``, the most pixels in a read, only the first.
        """
        if self.settings.tile:
            return self._plan_like(self.requested_tile(), tiling)
        allowed = budget(self.device, self.settings.memory)
        space = [self.shape[position] for position in self.axes.space_positions]
        multiple, halo = self.spec.multiple, self.field.halo
        smallest = [a + b + 3 * m for (a, b), m in zip(halo, multiple, strict=True)]
        plans = []
        for halvings in range(1 if max_pixels is not None else MEMORY_HALVINGS):
            largest = largest_tile(self.spec, space, self.dtype, allowed >> halvings, max_pixels)
            windows = [max(w, n) for w, n in zip(largest, smallest, strict=True)]
            plans.append(self._plan_like(balanced_tile(space, windows, halo, multiple), tiling))
        return min(plans, key=partial(cost, device=self.device))

    def _plan_like(self, tile: Sequence[int], tiling: ResampledTiling | None) -> TilePlan:
        return self.network_plan(tile) if tiling is None else tiling.plan_like(self.axes.spread(tile, 1))

    def requested_tile(self) -> tuple[int, ...]:
        """Return the tile of the settings, one length per axis of the network, rounded up to the pooling grid.

        Raises
        ------
        ModelError
            If it does not fit the network.
        """
        tile = self.settings.tile
        if len(tile) not in (1, self.spec.ndim):
            raise ModelError(
                f"Tile {tile} has {len(tile)} lengths; give one, or {self.spec.ndim} ({' '.join(self.axes.space)})."
            )
        lengths = tile * self.spec.ndim if len(tile) == 1 else tile
        return tuple(-(-t // m) * m for t, m in zip(lengths, self.spec.multiple, strict=True))
