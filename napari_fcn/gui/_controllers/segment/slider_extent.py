"""The extent of the receptive field along the axes of the sliders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.gui._layers import SliderMarks, read_layer, slider_positions
from napari_fcn.gui._threads import JobRunner
from napari_fcn.inference.resampling import plan_resampling
from napari_fcn.inference.source import ImageSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.geometry import Axes
    from napari_fcn.geometry.resampling import Resampling
    from napari_fcn.gui._controllers.model_catalog import ModelEntry
    from napari_fcn.gui._controllers.request import Request
    from napari_fcn.nets.spec import NetSpec


Phases = tuple[tuple[tuple[int, int], ...], ...]
AXIS_WORDS = {"t": ("frame", "frames"), "z": ("plane", "planes"), "y": ("row", "rows"), "x": ("column", "columns")}


@dataclass(frozen=True, slots=True)
class SliderExtent:
    """The slices along a slider's axis that the prediction at the slider's position depends on.

    Attributes
    ----------
    axis : str
        The axis.
    at : int
        Where the slider stands, counted from 0.
    first, last : int
        The first and the last of these slices.
    count : int
        Length of the axis.
    """

    axis: str
    at: int
    first: int
    last: int
    count: int

    @property
    def line(self) -> str:
        """The extent as a sentence."""
        one, many = AXIS_WORDS.get(self.axis, (f"place along {self.axis}", f"places along {self.axis}"))
        whole = ", which is all of them" if self.last - self.first + 1 == self.count else ""
        return f"At {one} {self.at} the model uses {many} {self.first} to {self.last} of {self.count}{whole}."


@dataclass(frozen=True, slots=True)
class AxisPhases:
    """How far a network sees along each of its axes, for each phase of its pooling grid; empty if without an end."""

    spec: NetSpec
    phases: Phases


def compute_phases(spec: NetSpec) -> Iterator[AxisPhases]:
    """Yield how far a network sees; for the worker thread, as it takes a second."""
    from napari_fcn.receptive_fields.theoretical import analyze

    found = analyze(spec)
    yield AxisPhases(spec, () if found.unbounded else found.phases)


def slider_extents(
    phases: Phases, axes: Axes, shape: Sequence[int], sliders: dict[str, int], grid: Resampling | None = None
) -> tuple[SliderExtent, ...]:
    """Return what is seen along each axis of the network that has a slider, exact at its phase and at the border.

    Parameters
    ----------
    phases : tuple of tuple of (int, int)
        Per axis of the network and phase of its pooling grid, pixels that are seen before and after.
    axes : Axes
        Role of each axis of the image.
    shape : sequence of int
        Length of each of the image axes.
    sliders : dict of str to int
        Where the slider of each axis stands.
    grid : Resampling, optional
        From the pixels of the image to those of the network, if they are others.

    Returns
    -------
    tuple of SliderExtent
        Without those along which the network sees nothing but the place itself.
    """
    found = []
    for along, position, name in zip(phases, axes.space_positions, axes.space, strict=False):
        if name in sliders and any(before or after for before, after in along):
            first, last = _extent_at(along, position, sliders[name], shape[position], grid)
            found.append(SliderExtent(name, sliders[name], first, last, shape[position]))
    return tuple(found)


def _extent_at(
    phases: tuple[tuple[int, int], ...], position: int, at: int, length: int, grid: Resampling | None
) -> tuple[int, int]:
    """Return the first and the last place that is seen from a place of an axis of the image."""
    start, stop = at, at + 1
    if grid is not None:
        start, stop = _map_span(grid.back, position, start, stop)
        length = grid.target[position]
    spans = [(i - phases[i % len(phases)][0], i + phases[i % len(phases)][1] + 1) for i in range(start, stop)]
    start, stop = max(0, min(a for a, _ in spans)), min(length, max(b for _, b in spans))
    if grid is not None:
        start, stop = _map_span(grid, position, start, stop)
    return start, stop - 1


def _map_span(grid: Resampling, position: int, start: int, stop: int) -> tuple[int, int]:
    """Return the part of an axis of the one grid on which a part of that of the other depends."""
    lows, highs = [0] * len(grid.target), [1] * len(grid.target)
    lows[position], highs[position] = start, stop
    found = grid.needs(Region(tuple(lows), tuple(highs)))
    return found.start[position], found.stop[position]


class SliderExtents(QObject):
    """Computes the extent of receptive fields, once for each network, on a thread of its own.

    Attributes
    ----------
    changed : Signal()
        A slider was moved, other axes are shown, or another network is known.
    failed : Signal(object)
        A network could not be asked.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._marks = SliderMarks(viewer)
        self._phases: dict[NetSpec, Phases] = {}
        self._requested: NetSpec | None = None
        self._runner = JobRunner(self)
        self._runner.yielded.connect(self._on_phases)
        self._runner.failed.connect(self.failed)

    @property
    def is_busy(self) -> bool:
        """Whether a network is being asked."""
        return self._runner.is_running

    def connect(self) -> None:
        """Watch the viewer."""
        for emitter in self._emitters():
            emitter.connect(self._on_slider_moved)

    def shutdown(self) -> None:
        """Let go of the viewer."""
        for emitter in self._emitters():
            emitter.disconnect(self._on_slider_moved)
        self._runner.shutdown()
        self._marks.clear()
        self._requested = None

    def extents(
        self, layer: Image | None, request: Request | None, model: ModelEntry | None
    ) -> tuple[SliderExtent, ...]:
        """Return what the network sees along the axes that have a slider, and mark it there; nothing if unknown."""
        found = self._compute(layer, request, model)
        self._marks.show({axis: (stretch.first, stretch.last) for axis, stretch in found.items()})
        return tuple(found.values())

    def _compute(
        self, layer: Image | None, request: Request | None, model: ModelEntry | None
    ) -> dict[int, SliderExtent]:
        """Return what is seen, by the axis of the viewer."""
        if layer is None or request is None or model is None:
            return {}
        image, spec = read_layer(layer), model.info.spec
        try:
            bound = image.bind(spec, request.axes)
            axes = bound.axes
            source = ImageSource.open(image.data, axes, spec.channels, request.settings, bound.rgb)
            grid, _ = plan_resampling(source, (bound.spacing, model.info.voxel_size), request.settings.resample)
        except ImageError:  # the dock says why the model cannot run
            return {}
        at = {axes.names[axis]: index for axis, index in slider_positions(self._viewer, layer).items()}
        if not set(axes.space) & set(at):
            return {}
        if spec not in self._phases:
            self._request_phases(spec)
            return {}
        offset = self._viewer.dims.ndim - layer.ndim
        found = slider_extents(self._phases[spec], axes, source.shape, at, grid)
        return {offset + axes.names.index(stretch.axis): stretch for stretch in found}

    def _request_phases(self, spec: NetSpec) -> None:
        if spec != self._requested:
            self._requested = spec
            self._runner.start(partial(compute_phases, spec))

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _on_slider_moved(self, _: object = None) -> None:
        self.changed.emit()

    def _on_phases(self, found: Sequence[AxisPhases]) -> None:
        self._phases |= {one.spec: one.phases for one in found}
        self.changed.emit()
