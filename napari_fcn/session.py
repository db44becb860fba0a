"""One network on one image: the face of the engine."""

from __future__ import annotations

import time
from copy import copy
from functools import cached_property, partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn import inspection
from napari_fcn.errors import Advice, ImageError, ModelError, Note
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned
from napari_fcn.geometry import Region, Tile, TilePlan
from napari_fcn.geometry.tiling import balanced_tile
from napari_fcn.inference import device as devices
from napari_fcn.inference.affected_tiles import affected_tiles
from napari_fcn.inference.allocator import tuned_allocator
from napari_fcn.inference.budget import host_budget
from napari_fcn.inference.memory import budget, cost, largest_tile, run_bytes, statistics_bytes
from napari_fcn.inference.oom_fallback import ExecutionConfig, OomFallback
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.resampling import ResampledSource, ResampledTiling, plan_resampling
from napari_fcn.inference.source import ImageSource
from napari_fcn.models.binding import bind_array
from napari_fcn.nets.fold import fold
from napari_fcn.receptive_fields.theoretical import analyze
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.events import (
        BorderTrustDone,
        Certified,
        CheckStep,
        EquivarianceDone,
        FieldDone,
        ReachDone,
        TileDone,
    )
    from napari_fcn.geometry import Axes, ReceptiveField
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis

PER_PLACE = 50  # bytes that it takes to know of a tile whether it is done, and how far it lies from what is seen
HALVINGS = 7  # of the memory that a run may take, when windows are compared
LIVE_PIXELS = {"cpu": 2**19, "cuda": 2**22, "mps": 2**20}  # largest read while somebody watches


class Session:
    """A network, an image, and how the one runs on the other.

    Parameters
    ----------
    image : array-like
        numpy, dask, zarr or anything else with ``shape``, ``dtype`` and slices.
    checkpoint : Checkpoint
        The model.
    axes : Binding, Axes or sequence of str, optional
        How the model reads the image, the role of each axis, or its name; guessed from the shape if not given.
    settings : PredictSettings, optional
        How to run.
    rgb : bool, optional
        Whether the channels of the image are colours; three or four channels along the last axis are, if not given.
    spacing : sequence of float
        Pixel size per axis of the network in micrometres, 0 where it is unknown; that of the binding if empty.

    Raises
    ------
    ImageError
        If the image is empty, not made of real numbers, or does not fit the model.
    DeviceError
        If the device or precision asked for is not there.
    """

    def __init__(
        self,
        image: Any,
        checkpoint: Checkpoint,
        axes: Binding | Axes | Sequence[str] | None = None,
        settings: PredictSettings | None = None,
        rgb: bool | None = None,
        spacing: Sequence[float] = (),
    ) -> None:
        self.settings = settings or PredictSettings()
        self.checkpoint = checkpoint.original() if self.settings.head == "original" else checkpoint
        self.spec = self.checkpoint.info.spec
        self.device = devices.pick_device(self.settings.device)
        self.dtype = devices.pick_precision(self.settings.precision, self.device)
        self.binding = bind_array(np.shape(image), self.spec, axes, rgb)
        self.axes, self.rgb = self.binding.axes, self.binding.rgb
        self.source = ImageSource.open(image, self.axes, self.spec.channels, self.settings, self.rgb)
        self.spacing = tuple(spacing) or self.binding.spacing
        self._fixed: tuple[int, ...] = ()
        sizes = (self.spacing, self.checkpoint.info.voxel_size)
        self.resampling, self._grid_notes = plan_resampling(self.source, sizes, self.settings.resample)

    @property
    def network_source(self) -> ImageSource | ResampledSource:
        """The image as the network sees it: resampled, if it is."""
        return self.source if self.resampling is None else ResampledSource(self.source, self.resampling)

    @property
    def resampled_tiling(self) -> ResampledTiling | None:
        """How tiles of the image are answered on the grid of the network, None if it is the same."""
        return (
            None
            if self.resampling is None
            else ResampledTiling(self.resampling, self._network_plan(self.spec.multiple))
        )

    @cached_property
    def analysis(self) -> FieldAnalysis:
        """How far each layer of the network looks, and its answer at each phase of the pooling grid."""
        return analyze(self.spec)

    @property
    def field(self) -> ReceptiveField:
        """How far the network looks along each of its axes.

        Raises
        ------
        ModelError
            If it looks at everything.
        """
        return self.analysis.field

    def require_field(self) -> None:
        """Raise a `ModelError` that names the layers if the network looks at everything."""
        _ = self.analysis.field

    @property
    def scaling(self) -> Scaling:
        """How the intensities of this image are scaled; read from the whole image once."""
        return self._statistics[0]

    @cached_property
    def _statistics(self) -> tuple[Scaling, tuple[str, ...]]:
        """The scaling, and what a user should know of the intensities, both from one look at the image."""
        sample = self.network_source.sample()
        scaling = self.checkpoint.info.normaliser.fit(sample)
        return scaling, (*_remarks(sample), *scaling.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: what of the image is read, and what is odd about it."""
        read = (*self.binding.notes, *self.source.notes, *self.source.range_notes)
        return (*read, *self._grid_notes, *self._statistics[1])

    @cached_property
    def predictor(self) -> Predictor:
        """The network, ready to run on this image."""
        net = self.checkpoint.net()
        return Predictor(net, self.network_source, self.scaling, self.device, self.dtype).with_resampling(
            self.resampled_tiling
        )

    @cached_property
    def float_net(self) -> torch.nn.Module:
        """The network in float32, where it runs: gradients need the digits."""
        if self.dtype is torch.float32:
            return self.predictor.net
        return devices.place(fold(self.checkpoint.net()), self.spec.ndim, self.device)

    def plan(self, most: int | None = None) -> TilePlan:
        """Return the tiles: as the settings say, else those that are done soonest.

        Parameters
        ----------
        most : int, optional
            Most pixels in a read, where an early answer counts more than a fast one. Without it, windows of all that
            memory allows, of half of it, and so on are compared by what they cost.

        Raises
        ------
        ImageError
            If there would be more tiles than can be listed.
        """
        plan = self._plan(most)
        if len(plan) * PER_PLACE > host_budget(self.settings.memory):
            raise ImageError(
                f"An image of {' x '.join(map(str, self.network_source.shape))} pixels would be cut into "
                f"{len(plan):,} tiles, more than memory can keep account of. Segment a part of it, or a coarser level."
            )
        return plan

    def _plan(self, most: int | None) -> TilePlan:
        if self._fixed:
            return self._fixed_plan()
        if self.settings.tile:
            return self._tiled(self.asked_tile())
        allowed = budget(self.device, self.settings.memory)
        shape = self.network_source.shape
        space = [shape[position] for position in self.axes.space_positions]
        multiple, halo = self.spec.multiple, self.field.halo
        least = [a + b + 3 * m for (a, b), m in zip(halo, multiple, strict=True)]
        plans = []
        for halvings in range(1 if most is not None else HALVINGS):
            widest = largest_tile(self.spec, space, self.dtype, allowed >> halvings, most)
            windows = [max(w, n) for w, n in zip(widest, least, strict=True)]
            plans.append(self._tiled(balanced_tile(space, windows, halo, multiple)))
        return min(plans, key=partial(cost, device=self.device))

    def with_tile(self, tile: Sequence[int]) -> Session:
        """Return the same with tiles of these lengths, in pixels of the image, per axis of the network."""
        other = copy(self)
        other._fixed = tuple(tile)
        return other

    def _fixed_plan(self) -> TilePlan:
        lengths = self.axes.spread(self._fixed, 1)
        return (
            self._network_plan(self._fixed) if self.resampled_tiling is None else self.resampled_tiling.tiled(lengths)
        )

    def _tiled(self, tile: Sequence[int]) -> TilePlan:
        detour = self.resampled_tiling
        return self._network_plan(tile) if detour is None else detour.planned(self.axes.spread(tile, 1))

    def _network_plan(self, tile: Sequence[int]) -> TilePlan:
        return TilePlan(
            self.network_source.shape,
            self.axes.spread(tile, 1),
            self.axes.spread(self.field.halo, (0, 0)),
            self.axes.spread(self.spec.multiple, 1),
        )

    def asked_tile(self) -> tuple[int, ...]:
        """Return the tile of the settings, one length per axis of the network, on the pooling grid.

        Raises
        ------
        ModelError
            If it does not fit the network.
        """
        asked = self.settings.tile
        if len(asked) not in (1, self.spec.ndim):
            raise ModelError(
                f"Tile {asked} has {len(asked)} lengths; give one, or {self.spec.ndim} ({' '.join(self.axes.space)})."
            )
        if min(asked) < 1:
            raise ModelError(f"Tile {asked} has a length below one pixel. Leave it empty for the largest that fits.")
        asked = asked * self.spec.ndim if len(asked) == 1 else asked
        return tuple(-(-t // m) * m for t, m in zip(asked, self.spec.multiple, strict=True))

    def predict(
        self,
        first: Region | Callable[[], Region] | None = None,
        done: Collection[Region] = (),
        edit: Region | None = None,
    ) -> Iterator[RunPlanned | TileDone | FallbackTaken | RunDone]:
        """Yield the plan, the probabilities of each tile, and the end; where memory runs out, what is tried instead.

        Parameters
        ----------
        first : Region or callable, optional
            What is on screen, on the image axes: its tiles come first, then the others outward, and tiles are small
            enough for an early answer. A function is asked before each tile. Without it tiles are those done soonest,
            in the order of the image.
        done : collection of Region, optional
            Cores that an earlier run has answered: they are left out.
        edit : Region, optional
            Where pixels of the image have changed since this session answered it: only pixels that see one of them are
            answered again. Intensities are scaled as they were.

        Raises
        ------
        ImageError
            If the edit lies outside of the image.
        MemoryShortage
            If memory runs out, whatever was tried.
        """
        start = time.monotonic()
        plan = self.plan(None if first is None else LIVE_PIXELS[self.device.type])
        footing = ExecutionConfig(self.device, self.dtype, plan.tile)
        name, precision = devices.label(self.device), footing.precision
        pixels = prod(self.network_source.shape) / prod(self.source.shape)  # of the network, for one of the image
        peak = int(max(run_bytes(self.spec, plan, self.dtype, self.device) * pixels, statistics_bytes(self.source)))
        allowed = budget(self.device, self.settings.memory)
        with tuned_allocator(peak, allowed):
            notes = (*self.notes, *_too_large(peak, allowed))
            before, total = (sum(tile.core in done for tile in plan) if done else 0), len(plan)
            tiles: Iterable[Tile] = (tile for tile in _ordered(plan, first) if tile.core not in done)
            if edit is not None:
                tiles = list(affected_tiles(edit, plan, self.axes, None if self.resampled_tiling else self.analysis))
                before, total = 0, len(tiles)
            yield RunPlanned(total, plan.tile, plan.halo, name, precision, peak, notes, before, allowed)
            ladder = OomFallback(plan, self.settings.fallback)
            try:
                for event in ladder.run(tiles, footing, self._predictor_on, (before, total)):
                    if isinstance(event, FallbackTaken):
                        name, precision = event.device, event.precision
                    yield event
            finally:
                self._remaining()
        answered = Region.whole(plan.shape).size if edit is None else sum(tile.core.size for tile in tiles)
        yield RunDone(answered, time.monotonic() - start, name, precision)

    def _predictor_on(self, config: ExecutionConfig) -> Predictor:
        """Return the network, ready to run on another device or in other numbers than was asked for."""
        if (config.device, config.dtype) == (self.device, self.dtype):
            return self.predictor
        self._remaining()
        net = self.checkpoint.net()
        return Predictor(net, self.network_source, self.scaling, config.device, config.dtype).with_resampling(
            self.resampled_tiling
        )

    def _remaining(self) -> None:
        """Leave nothing on a GPU: other programs may need its memory, and the network is there again in no time."""
        if self.device.type != "cpu":
            self.__dict__.pop("predictor", None)
            devices.release(self.device)

    def field_at(self, index: Sequence[int]) -> Region:
        """Return the pixels that decide about one, as a box on the image axes, exact at its place on the grid.

        Parameters
        ----------
        index : sequence of int
            The pixel: one number per image axis, or per axis of the network for the middle of the others.

        Raises
        ------
        ImageError
            If the pixel lies outside of the image.
        ModelError
            If the network looks at everything.
        """
        return inspection.field_at(self, index)

    def influence_at(self, index: Sequence[int], label: int | None = None) -> Iterator[FieldDone]:
        """Yield how much each pixel of the field moves the answer at one; parameters and errors as for `field_at`.

        ``label`` is the index of the class that is asked, the most probable one if not given.
        """
        yield from inspection.influence_at(self, index, label)

    def mean_influence(self, label: int | None = None) -> Iterator[CheckStep | FieldDone]:
        """Yield progress, then the mean influence on pixels all over the image, relative to the pixel."""
        yield from inspection.mean_influence(self, label)

    def reach_of(self, stroke: Region, mask: npt.NDArray[np.bool_] | None = None) -> ReachDone:
        """Return the pixels whose answers a stroke can influence.

        Parameters
        ----------
        stroke : Region
            Where it lies, on the image axes.
        mask : ndarray of bool, optional
            ``stroke.shape``; all of the box if not given.

        Raises
        ------
        ImageError
            If the stroke is empty or lies outside of the image.
        """
        return inspection.reach_of(self, stroke, mask)

    def certify(self, region: Region | None = None) -> Iterator[CheckStep | Certified]:
        """Yield progress, then how far tiles differ from one piece, in a region or the whole image.

        If that is too large for one piece, the middle of it is looked at, and the reason says so. Tiles are those of
        the settings, else three along each axis.
        """
        yield from inspection.certify(self, region)

    def equivariance(self, region: Region | None = None) -> Iterator[CheckStep | EquivarianceDone]:
        """Yield progress, then where the answer does not follow when the image is shifted by a few pixels."""
        yield from inspection.equivariance(self, region)

    def border_trust(self, region: Region | None = None) -> Iterator[CheckStep | BorderTrustDone]:
        """Yield progress, then how much of each answer rests on padding, for the plane in the middle of a region."""
        yield from inspection.border_trust(self, region)


def _too_large(peak: int, allowed: int) -> Iterator[str]:
    """Yield what a user should know if the tiles need more memory than the run may take."""
    if peak > allowed:
        yield Note(
            f"The run may need {peak / 2**30:.2f} GiB, more than the {allowed / 2**30:.2f} GiB that it may take: "
            "If it ends for lack of memory,",
            Advice(
                "set a smaller --tile or close other programs.",
                "set a smaller tile under Advanced or close other programs.",
            ),
        )


def _remarks(sample: npt.NDArray[Any]) -> Iterator[str]:
    """Yield what a user should know of the intensities of an image."""
    finite = sample
    if sample.dtype.kind == "f":
        finite = sample[np.isfinite(sample)]
        if bad := sample.size - finite.size:
            yield f"{bad} of {sample.size} pixels looked at are NaN or infinite; NaN was read as mid-grey."
    if finite.size and (low := finite.min()) == finite.max():
        yield f"The image is constant (value {low:g}): there is nothing to find in it."
    if not finite.size:
        yield "The image holds no finite number: there is nothing to find in it."


def _ordered(plan: TilePlan, first: Region | Callable[[], Region] | None) -> Iterable[Tile]:
    """Return tiles in the order in which they are wanted."""
    if first is None:
        return plan
    return plan.following(first) if callable(first) else plan.nearest_first(first)
