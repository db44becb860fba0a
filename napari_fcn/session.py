"""A network on an image: the entry to the engine."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn import inspection
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned
from napari_fcn.geometry import Region, Tile, TilePlan
from napari_fcn.inference import device as devices
from napari_fcn.inference.affected_tiles import affected_tiles
from napari_fcn.inference.allocator import tuned_allocator
from napari_fcn.inference.backend_choice import BackendChoice, choose_backend, pick_device
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.inference.intensities import fit_scaling
from napari_fcn.inference.memory import memory_note, statistics_bytes
from napari_fcn.inference.oom_fallback import ExecutionConfig, OomFallback
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.prefetch import BLOCKS_AHEAD
from napari_fcn.inference.previews import PreviewPlanner
from napari_fcn.inference.resampling import ResampledSource, ResampledTiling
from napari_fcn.inference.roi import read_roi
from napari_fcn.inference.source import ImageSource
from napari_fcn.inference.tile_planner import TilePlanner
from napari_fcn.models.binding import bind_array
from napari_fcn.nets.fold import fold
from napari_fcn.objects.size_choice import NetworkGrid
from napari_fcn.receptive_fields.theoretical import analyze
from napari_fcn.settings import TORCH, PredictSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.events import (
        BorderTrustDone,
        Certified,
        CheckStep,
        EquivarianceDone,
        FieldDone,
        PreviewDone,
        ReachDone,
        TileDone,
    )
    from napari_fcn.geometry import Axes, ReceptiveField
    from napari_fcn.geometry.resampling import Resampling
    from napari_fcn.inference.backends import Backend
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.normalise import AnyScaling
    from napari_fcn.objects.size_choice import SizeChoice
    from napari_fcn.receptive_fields.theoretical import FieldAnalysis


class Session:
    """A network on an image, ready to predict and to be inspected.

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

    Attributes
    ----------
    area : Region
        The part of the image that is predicted, on the image axes: the region of the settings, or the whole image.

    Raises
    ------
    ImageError
        If the image is empty, not made of real numbers, or does not fit the model, or if the region does not fit it.
    DeviceError
        If there is no such device, or it does not compute in that precision.
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
        self.device = pick_device(self.settings.device, self.settings.backend)
        self.dtype = devices.pick_precision(self.settings.precision, self.device)
        self.binding = bind_array(np.shape(image), self.spec, axes, rgb)
        self.axes, self.rgb = self.binding.axes, self.binding.rgb
        self.source = ImageSource.open(image, self.axes, self.spec.channels, self.settings, self.rgb, self.spec.colours)
        self.spacing = tuple(spacing) or self.binding.spacing
        self._grid = NetworkGrid.plan(self.source, self.spacing, self.checkpoint.info, self.settings)
        self.area = read_roi(self.settings.roi, self.axes.image, self.source.shape)

    @cached_property
    def measured_size(self) -> SizeChoice | None:
        """The size of the objects, measured once in the whole image if the settings say auto."""
        return self._grid.measure(self.torch_backend) if self._grid.is_measured else None

    @property
    def object_size(self) -> float | None:
        """The object size of the settings as a number, measured if they say auto; None: not resampled to a size."""
        return self._grid.object_size(self.measured_size)

    def use_measured_size(self, choice: SizeChoice) -> None:
        """Use the size of objects that an earlier run of this image has measured."""
        self._forget("_statistics", "backend_choice", "backend", "predictor")
        self.__dict__["measured_size"] = choice

    @property
    def resampling(self) -> Resampling | None:
        """The map from the pixels of the image to those of the network; None if they are the same."""
        return self._grid.resampling(self.measured_size)

    @property
    def network_source(self) -> ImageSource | ResampledSource:
        """The image at the pixel size of the network: resampled, if that differs."""
        return self.source if self.resampling is None else ResampledSource(self.source, self.resampling)

    @property
    def resampled_tiling(self) -> ResampledTiling | None:
        """How tiles of the image map to the grid of the network, None if the grids are the same."""
        if self.resampling is None:
            return None
        return ResampledTiling(self.resampling, self._planner.grid_plan, self.region)

    @property
    def region(self) -> Region | None:
        """The part of the image that is predicted; None: all of it."""
        return None if self.area == Region.whole(self.source.shape) else self.area

    @property
    def _planner(self) -> TilePlanner:
        shape, region, name = self.network_source.shape, self.region, self.backend_choice.name
        if region is not None and self.resampling is not None:
            region = self.resampling.back.needs(region)
        run = (shape, self.settings, self.device, self.dtype, name, region)
        return TilePlanner(self.spec, self.field, self.axes, *run)

    @cached_property
    def analysis(self) -> FieldAnalysis:
        """The receptive field of each layer, and of the output at each phase of the pooling grid."""
        return analyze(self.spec)

    @property
    def field(self) -> ReceptiveField:
        """The receptive field of the network.

        Raises
        ------
        ModelError
            If it is the whole image, whatever its size.
        """
        return self.analysis.field

    def require_field(self) -> None:
        """Raise a `ModelError` that names the layers if the receptive field is the whole image."""
        _ = self.analysis.field

    @property
    def scaling(self) -> AnyScaling:
        """How the intensities of this image are scaled, from statistics that are read once."""
        return self._statistics[0]

    @cached_property
    def _statistics(self) -> tuple[AnyScaling, tuple[str, ...]]:
        """The scaling and the notes on the intensities, both from one sample of the image."""
        return fit_scaling(self.network_source, self.checkpoint.info, self.settings)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on axes, channels, resampling and intensities of the image."""
        read = (*self.binding.notes, *self.source.notes, *self.source.range_notes)
        return (*read, *self._grid.notes(self.measured_size), *self._statistics[1])

    @cached_property
    def predictor(self) -> Predictor:
        """The network, ready to run on this image."""
        return self.predictor_with(self.backend)

    @cached_property
    def backend(self) -> Backend:
        """The network, ready to run."""
        is_plain = self.backend_choice.name == TORCH and not self.spec.distance
        return self.torch_backend if is_plain else self.backend_choice.create(self.checkpoint, self.device, self.dtype)

    @cached_property
    def backend_choice(self) -> BackendChoice:
        """What runs the network; for OpenVINO it is compiled, once per model.

        Raises
        ------
        DeviceError
            If OpenVINO is requested and is not installed, or does not run the network exactly.
        """
        return self._choose_backend(self.device, self.dtype)

    def _choose_backend(self, device: torch.device, dtype: torch.dtype) -> BackendChoice:
        pixels = prod(self.network_source.shape)
        return choose_backend(self.settings.backend, self.checkpoint, device, dtype, pixels)

    def use_backend(self, name: str) -> None:
        """Run the network in PyTorch (``"torch"``) or OpenVINO (``"openvino"``), instead of what the settings say."""
        self.settings = replace(self.settings, backend=name)
        self._forget("backend_choice", "backend", "predictor")

    def _forget(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)

    @cached_property
    def torch_backend(self) -> TorchBackend:
        """The network in PyTorch, without a distance, ready to run."""
        return TorchBackend(self.checkpoint.net(), self.device, self.dtype)

    def predictor_with(self, backend: Backend) -> Predictor:
        """Return a network that is ready to run on this image."""
        return Predictor(backend, self.network_source, self.scaling).with_resampling(self.resampled_tiling)

    @cached_property
    def float_net(self) -> torch.nn.Module:
        """The network in float32 on the device, for gradients."""
        if self.dtype is torch.float32:
            return self.torch_backend.net
        return devices.place(fold(self.checkpoint.net()), self.spec.ndim, self.device)

    def plan(self, max_pixels: int | None = None) -> TilePlan:
        """Return the tiles: those of the settings, else those that finish soonest.

        Parameters
        ----------
        max_pixels : int, optional
            Most pixels in a read, for an early first prediction; without it, several sizes are compared by cost.

        Raises
        ------
        ImageError, MemoryShortage
            If there would be more tiles than fit in memory as a list, or the smallest need more than the limit.
        """
        return self._planner.plan(self.resampled_tiling, max_pixels)

    def live_plan(self) -> TilePlan:
        """Return the tiles of a result that is watched: nearly as fast as those of `plan`, and smaller if possible."""
        return self._planner.live_plan(self.resampled_tiling)

    def plan_with_tile(self, tile: Sequence[int]) -> TilePlan:
        """Return tiles of these lengths, in pixels of the image, per axis of the network; errors as of `plan`."""
        return self._planner.exact_plan(tile, self.resampled_tiling)

    def requested_tile(self) -> tuple[int, ...]:
        """Return the tile of the settings, one length per axis of the network, rounded up to the pooling grid.

        Raises
        ------
        ModelError
            If it does not fit the network.
        """
        return self._planner.requested_tile()

    def predict(
        self,
        first: Region | Callable[[], Region] | None = None,
        done: Collection[Region] = (),
        edit: Region | None = None,
        plan: TilePlan | None = None,
    ) -> Iterator[RunPlanned | PreviewDone | TileDone | FallbackTaken | RunDone]:
        """Yield the plan, the probabilities of each tile, each fallback where memory runs out, and the end.

        Parameters
        ----------
        first : Region or callable, optional
            The visible region, on the image axes: its tiles come first, then the others outward. Where a tile takes
            long, a part of the region is predicted ahead (`PreviewDone`); previews and smaller tiles read at most 25 %
            more pixels in all. A function is called before each tile. Without it, tiles are in the order of the image.
        done : collection of Region, optional
            Cores that an earlier run has predicted: they are left out.
        edit : Region, optional
            Where pixels of the image changed since this session predicted it: only pixels that depend on them are
            predicted again. Intensities are scaled as before.
        plan : TilePlan, optional
            The tiles, if they are planned already: by `plan` or `plan_with_tile`.

        Raises
        ------
        ImageError
            If the edit is outside the image.
        MemoryShortage
            If memory runs out after all fallbacks.
        """
        start = time.monotonic()
        if plan is None:
            plan = self.plan() if first is None else self.live_plan()
        extra, first_read = (0, 0) if first is None else self._planner.preview_pixels(plan, self.resampled_tiling)
        ahead = BLOCKS_AHEAD if first is None else int(not extra)  # what is on screen decides about the next tile
        config = ExecutionConfig(self.device, self.dtype, plan.tile, ahead)
        name, precision = self.backend_choice.label(self.device), config.precision
        pixels = prod(self.network_source.shape) / prod(self.source.shape)  # of the network, per pixel of the image
        peak = int(max(self._planner.needed_bytes(plan) * pixels, statistics_bytes(self.source)))
        allowed = self._planner.allowed_bytes(plan)
        with tuned_allocator(peak, allowed) as trim_heap:
            notes = (*self.notes, *self.backend_choice.notes, *memory_note(peak, allowed))
            finished = [tile for tile in plan if tile.core in done] if done else []
            before, total = len(finished), len(plan)
            work: int | None = plan.read_pixels - sum(tile.read.size for tile in finished)
            tiles: Iterable[Tile] = (tile for tile in plan if tile.core not in done)
            if first is not None:
                visible = first if callable(first) else lambda: first
                tiles = PreviewPlanner(plan, visible, extra, first_read, self._planner.preview_work, done)
            if edit is not None:
                tiles = list(affected_tiles(edit, plan, self.axes, None if self.resampled_tiling else self.analysis))
                before, total, work = 0, len(tiles), None
            yield RunPlanned(total, plan.tile, plan.halo, name, precision, peak, notes, before, allowed)
            fallback = OomFallback(plan, self.settings.fallback)
            try:
                for event in fallback.run(tiles, config, partial(self._predictor_on, plan), (before, total), work):
                    if isinstance(event, FallbackTaken):
                        name, precision = event.device, event.precision
                    yield event
                    trim_heap()
            finally:
                self._free_memory()
        predicted = plan.area.size if edit is None else sum(tile.core.size for tile in tiles)
        yield RunDone(predicted, time.monotonic() - start, name, precision)

    def _predictor_on(self, plan: TilePlan, config: ExecutionConfig) -> Predictor:
        """Return the network, ready to run tiles of a plan on the device and in the precision of a fallback."""
        if (config.device, config.dtype) == (self.device, self.dtype):
            return self.predictor.with_plan(plan)
        self._free_memory()
        choice = self._choose_backend(config.device, config.dtype)
        return self.predictor_with(choice.create(self.checkpoint, config.device, config.dtype)).with_plan(plan)

    def _free_memory(self) -> None:
        """Free memory for other programs: what a back end keeps for the next block, and all memory of a GPU."""
        if "backend" in self.__dict__:
            self.backend.release()
        if self.device.type != "cpu":  # the network is quickly moved there again
            self._forget("predictor", "backend", "torch_backend")
            devices.release(self.device)

    def field_at(self, index: Sequence[int]) -> Region:
        """Return the receptive field of a pixel as a box on the image axes, exact at its phase of the pooling grid.

        ``index`` has a number per image axis, or per axis of the network for the middle of the others. Raises an
        `ImageError` if the pixel is outside the image, a `ModelError` if the field is the whole image.
        """
        return inspection.field_at(self, index)

    def influence_at(self, index: Sequence[int], label: int | None = None) -> Iterator[FieldDone]:
        """Yield the influence of each pixel of the receptive field on a class (the most probable); as `field_at`."""
        yield from inspection.influence_at(self, index, label)

    def mean_influence(self, label: int | None = None) -> Iterator[CheckStep | FieldDone]:
        """Yield progress, then the mean influence on pixels all over the image, relative to the pixel."""
        yield from inspection.mean_influence(self, label)

    def reach_of(self, stroke: Region, mask: npt.NDArray[np.bool_] | None = None) -> ReachDone:
        """Return the pixels whose prediction a stroke can influence.

        The stroke is a box on the image axes; ``mask`` says which of its pixels are painted, all if not given. An
        `ImageError` is raised if the stroke is empty or outside the image.
        """
        return inspection.reach_of(self, stroke, mask)

    def certify(self, region: Region | None = None) -> Iterator[CheckStep | Certified]:
        """Yield progress, then the difference between tiles and one piece, in a region or the whole image.

        If that is too large for one piece, its middle is compared, and the reason says so. Tiles are those of the
        settings, else three along each axis.
        """
        yield from inspection.certify(self, region)

    def equivariance(self, region: Region | None = None) -> Iterator[CheckStep | EquivarianceDone]:
        """Yield progress, then where the prediction changes when the image is shifted by a few pixels."""
        yield from inspection.equivariance(self, region)

    def border_trust(self, region: Region | None = None) -> Iterator[CheckStep | BorderTrustDone]:
        """Yield progress, then the share of padding in each prediction, for the plane in the middle of a region."""
        yield from inspection.border_trust(self, region)
