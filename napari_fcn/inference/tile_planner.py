"""The tiles of a run: those of the settings, or those that finish soonest in the memory that there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from napari_fcn.errors import Advice, ImageError, MemoryShortage, ModelError
from napari_fcn.geometry import TilePlan
from napari_fcn.geometry.tiling import balanced_tile
from napari_fcn.inference.allocator import FRAGMENTATION, keeps_memory
from napari_fcn.inference.budget import host_budget, largest_run_budget
from napari_fcn.inference.memory import MEMORY_FACTORS, budget, cost, largest_tile, run_bytes
from napari_fcn.inference.previews import MAX_EXTRA_WORK, trimmable_sides
from napari_fcn.nets.slab import slab_work
from napari_fcn.settings import OPENVINO, TORCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from napari_fcn.geometry import Axes, ReceptiveField, Region, Tile
    from napari_fcn.inference.resampling import ResampledTiling
    from napari_fcn.nets import NetSpec
    from napari_fcn.settings import PredictSettings

BYTES_PER_TILE = 50  # to keep account of a tile: whether it is done, and its distance from the visible region
LIVE_PIXELS = {"cpu": 2**19, "cuda": 2**22, "mps": 2**20}  # whose prediction is worth waiting for
MAX_OVER_LIMIT = 1.25  # memory that the smallest tiles may need, relative to the limit of the user
MAX_SMALLER_TILES_WORK = 0.1  # pixels that smaller tiles may read in addition, relative to the fastest
MIN_GAIN = 0.2  # of the cost of a run, for which it takes more memory than the default
PLANES_PIXELS = 2**16  # of small planes that are predicted together; larger ones gain nothing, measured
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
    backend : str
        What runs the network.
    region : Region, optional
        Part to predict, in pixels of the network; all of the image if not given.
    """

    spec: NetSpec
    field: ReceptiveField
    axes: Axes
    shape: tuple[int, ...]
    settings: PredictSettings
    device: torch.device
    dtype: torch.dtype
    backend: str = TORCH
    region: Region | None = None

    def network_plan(self, tile: Sequence[int]) -> TilePlan:
        """Return tiles of these lengths on the grid of the network, one length per axis of the network.

        Small planes of a stack, each in one tile, are predicted several at once.
        """
        plan = self._plane_by_plane(tile)
        together = PLANES_PIXELS // max(1, prod(plan.largest_read))
        if together < 2 or not self.axes.loop or any(plan.counts[p] > 1 for p in self.axes.space_positions):
            return plan
        planes = self.axes.image.index(self.axes.loop[-1])
        lengths = list(plan.tile)
        lengths[planes] = min(plan.area.shape[planes], together)
        return replace(plan, tile=tuple(lengths))

    @property
    def grid_plan(self) -> TilePlan:
        """The smallest tiles on the grid of the network."""
        return self._plane_by_plane(self.spec.multiple)

    def _plane_by_plane(self, tile: Sequence[int]) -> TilePlan:
        return TilePlan(
            self.shape,
            self.axes.spread(tile, 1),
            self.axes.spread(self.field.halo, (0, 0)),
            self.axes.spread(self.spec.multiple, 1),
            self.region,
        )

    def exact_plan(self, tile: Sequence[int], tiling: ResampledTiling | None) -> TilePlan:
        """Return tiles of these lengths in pixels of the image, which ``tiling`` maps to the grid of the network."""
        exact = self.network_plan(tile) if tiling is None else tiling.plan_tiles(self.axes.spread(tile, 1))
        return self._checked(exact)

    def plan(self, tiling: ResampledTiling | None, max_pixels: int | None = None) -> TilePlan:
        """Return the tiles of the settings, else the cheapest tiles.

        Windows of all the memory that the run may take, of the part at which freed memory is kept, and of halves of
        both are compared by their cost; with ``max_pixels``, the most pixels in a read, only the first. Without a limit
        of the user, tiles may take more than the default, if they cost much less: volumes, whose tiles are mostly halo.
        """
        if self.settings.tile:
            return self._checked(self._plan_like(self.requested_tile(), tiling))
        allowed = budget(self.device, self.settings.memory)
        cheapest, cost = self._cheapest(tiling, allowed, max_pixels)
        if self._may_take_more(allowed):
            larger, larger_cost = self._cheapest(tiling, largest_run_budget(), max_pixels)
            if larger_cost * (1 + MIN_GAIN) < cost:
                cheapest = larger
        return self._checked(self._within_limit(cheapest))

    def allowed_bytes(self, plan: TilePlan) -> int:
        """Return the memory that a run with these tiles may take."""
        allowed = budget(self.device, self.settings.memory)
        has_larger_tiles = self._may_take_more(allowed) and self.needed_bytes(plan) > allowed
        return largest_run_budget() if has_larger_tiles else allowed

    def _may_take_more(self, allowed: int) -> bool:
        return self.device.type == "cpu" and self.settings.memory is None and largest_run_budget() > allowed

    def _cheapest(self, tiling: ResampledTiling | None, allowed: int, max_pixels: int | None) -> tuple[TilePlan, float]:
        """Return the tiles that cost least in this memory, and their cost."""
        allowed = int(allowed / MEMORY_FACTORS[self.backend])
        places = self.axes.space_positions
        in_tiles = self.grid_plan
        longest = in_tiles.around(in_tiles.area).read.take(places).shape
        area, space = in_tiles.area.take(places), [self.shape[position] for position in places]
        multiple, halo = self.spec.multiple, self.field.halo
        smallest = [a + b + 3 * m for (a, b), m in zip(halo, multiple, strict=True)]
        plans = []
        parts = [n >> halvings for halvings in range(MEMORY_HALVINGS) for n in (allowed, allowed // FRAGMENTATION)]
        for part in parts[:1] if max_pixels is not None else parts:
            largest = largest_tile(self.spec, longest, self.dtype, part, max_pixels)
            windows = [max(w, n) for w, n in zip(largest, smallest, strict=True)]
            plans.append(self._plan_like(balanced_tile(space, windows, halo, multiple, area), tiling))
        costs = [self._cost(allowed, plan) for plan in plans]
        return plans[costs.index(min(costs))], min(costs)

    def live_plan(self, tiling: ResampledTiling | None) -> TilePlan:
        """Return the smallest tiles that read at most 10 % more than those of `plan`, for a result that is watched."""
        fastest = self.plan(tiling)
        plan, pixels = fastest, prod(fastest.largest_read)
        while not self.settings.tile and pixels > 2 * LIVE_PIXELS[self.device.type]:
            pixels //= 2
            smaller = self.plan(tiling, pixels)
            if smaller.read_pixels <= (1 + MAX_SMALLER_TILES_WORK) * fastest.read_pixels:
                plan = smaller
        return plan

    def preview_pixels(self, plan: TilePlan, tiling: ResampledTiling | None) -> tuple[int, int]:
        """Return the pixels that all previews of a run, and its first, may read; 0 where a tile is soon predicted."""
        first = LIVE_PIXELS[self.device.type]
        if prod(plan.largest_read) <= 2 * first:
            return 0, 0
        fastest = self.plan(tiling).read_pixels
        return max(0, int((1 + MAX_EXTRA_WORK) * fastest) - plan.read_pixels), first

    def preview_work(self, tile: Tile) -> float:
        """Return the work of a preview, in pixels that a tile reads: less than it reads itself, if it is thin."""
        axis = self.axes.space_positions[0]
        return tile.read.size * slab_work(self.spec, tile.read.shape[axis], trimmable_sides(tile, axis, self.shape))

    def _checked(self, plan: TilePlan) -> TilePlan:
        """Return a plan; raise an ImageError if there are more tiles than fit in memory as a list."""
        if len(plan) * BYTES_PER_TILE > host_budget(self.settings.memory):
            raise ImageError(
                f"An image of {' x '.join(map(str, self.shape))} pixels would be cut into {len(plan):,} tiles, too "
                "many to keep in memory. Segment a part of it, or a coarser level."
            )
        return plan

    def _within_limit(self, plan: TilePlan) -> TilePlan:
        """Return a plan; raise a MemoryShortage if it needs more than the memory limit of the settings."""
        limit, needed = self.settings.memory, self.needed_bytes(plan)
        if limit is not None and needed > MAX_OVER_LIMIT * limit * 2**30:
            raise MemoryShortage(
                f"The smallest tiles need about {needed / 2**30:.2f} GiB, and {limit:.2f} GiB may be used in addition "
                "to the program itself.",
                Advice("Give more --memory, or a smaller --tile.", "Raise Memory limit under Advanced, or set a tile."),
            )
        return plan

    def needed_bytes(self, plan: TilePlan) -> int:
        """Return the memory that a run with these tiles needs."""
        return run_bytes(self.spec, plan, self.dtype, self.device, self.backend)

    def _cost(self, allowed: int, plan: TilePlan) -> float:
        has_own_heap = self.backend == OPENVINO
        return cost(plan, self.device, has_own_heap or keeps_memory(self.needed_bytes(plan), allowed))

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
