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
from napari_fcn.inference.resampling import plan_grid
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
    position : int
        Position of the slider, counted from 0.
    first, last : int
        The first and the last of these slices.
    count : int
        Length of the axis.
    """

    axis: str
    position: int
    first: int
    last: int
    count: int

    @property
    def line(self) -> str:
        """The extent as a sentence."""
        singular, plural = AXIS_WORDS.get(self.axis, (f"position along {self.axis}", f"positions along {self.axis}"))
        whole = " (all)" if self.last - self.first + 1 == self.count else ""
        used = f"{plural} {self.first} to {self.last} of {self.count}{whole}"
        return f"At {singular} {self.position}, the model uses {used}."


@dataclass(frozen=True, slots=True)
class AxisPhases:
    """Receptive field of a network along each axis, for each phase of its pooling grid; empty if unbounded."""

    spec: NetSpec
    phases: Phases


def compute_phases(spec: NetSpec) -> Iterator[AxisPhases]:
    """Yield the receptive field of a network; for the worker thread, as it takes a second."""
    from napari_fcn.receptive_fields.theoretical import analyze

    analysis = analyze(spec)
    yield AxisPhases(spec, () if analysis.unbounded else analysis.phases)


def slider_extents(
    phases: Phases, axes: Axes, shape: Sequence[int], sliders: dict[str, int], grid: Resampling | None = None
) -> tuple[SliderExtent, ...]:
    """Return the receptive field along each axis that has a slider, exact for its phase and at the border.

    Parameters
    ----------
    phases : tuple of tuple of (int, int)
        Pixels of the receptive field before and after, for each axis of the network and phase of its pooling grid.
    axes : Axes
        Role of each axis of the image.
    shape : sequence of int
        Length of each of the image axes.
    sliders : dict of str to int
        Position of the slider of each axis.
    grid : Resampling, optional
        Mapping from the pixels of the image to those of the network, if their sizes differ.

    Returns
    -------
    tuple of SliderExtent
        One for each axis along which the receptive field is longer than one pixel.
    """
    extents = []
    for axis_phases, axis, name in zip(phases, axes.space_positions, axes.space, strict=False):
        if name in sliders and any(before or after for before, after in axis_phases):
            first, last = _extent_at(axis_phases, axis, sliders[name], shape[axis], grid)
            extents.append(SliderExtent(name, sliders[name], first, last, shape[axis]))
    return tuple(extents)


def _extent_at(
    phases: tuple[tuple[int, int], ...], axis: int, position: int, length: int, grid: Resampling | None
) -> tuple[int, int]:
    """Return the first and the last pixel of the receptive field of a position on an axis of the image."""
    start, stop = position, position + 1
    if grid is not None:
        start, stop = _map_span(grid.back, axis, start, stop)
        length = grid.target[axis]
    spans = [(i - phases[i % len(phases)][0], i + phases[i % len(phases)][1] + 1) for i in range(start, stop)]
    start, stop = max(0, min(a for a, _ in spans)), min(length, max(b for _, b in spans))
    if grid is not None:
        start, stop = _map_span(grid, axis, start, stop)
    return start, stop - 1


def _map_span(grid: Resampling, axis: int, start: int, stop: int) -> tuple[int, int]:
    """Return the pixels of the source grid on which a span of the target grid depends, along one axis."""
    lows, highs = [0] * len(grid.target), [1] * len(grid.target)
    lows[axis], highs[axis] = start, stop
    needed = grid.needs(Region(tuple(lows), tuple(highs)))
    return needed.start[axis], needed.stop[axis]


class SliderExtents(QObject):
    """Computes the extent of receptive fields on its own thread, once for each network.

    Attributes
    ----------
    changed : Signal()
        A slider was moved, other axes are displayed, or the analysis of a network is ready.
    failed : Signal(object)
        The analysis of a network raised an error.
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
        """Whether the worker thread is alive."""
        return self._runner.is_running

    def connect(self) -> None:
        """Watch the viewer."""
        for emitter in self._emitters():
            emitter.connect(self._on_slider_moved)

    def shutdown(self) -> None:
        """Disconnect from the viewer."""
        for emitter in self._emitters():
            emitter.disconnect(self._on_slider_moved)
        self._runner.shutdown()
        self._marks.clear()
        self._requested = None

    def extents(
        self, layer: Image | None, request: Request | None, model: ModelEntry | None
    ) -> tuple[SliderExtent, ...]:
        """Return the extents along the axes that have a slider, and mark them there; empty if not known yet."""
        extents = self._compute(layer, request, model)
        self._marks.show({axis: (extent.first, extent.last) for axis, extent in extents.items()})
        return tuple(extents.values())

    def _compute(
        self, layer: Image | None, request: Request | None, model: ModelEntry | None
    ) -> dict[int, SliderExtent]:
        """Return the extents by the axes of the viewer."""
        if layer is None or request is None or model is None:
            return {}
        image, spec = read_layer(layer), model.info.spec
        try:
            bound = image.bind(spec, request.axes)
            axes = bound.axes
            source = ImageSource.open(image.data, axes, spec.channels, request.settings, bound.rgb, spec.colours)
            grid, _ = plan_grid(source, bound.spacing, model.info, request.settings)
        except ImageError:  # the dock shows why the model cannot run
            return {}
        sliders = {axes.names[axis]: index for axis, index in slider_positions(self._viewer, layer).items()}
        if not set(axes.space) & set(sliders):
            return {}
        if spec not in self._phases:
            self._request_phases(spec)
            return {}
        offset = self._viewer.dims.ndim - layer.ndim
        extents = slider_extents(self._phases[spec], axes, source.shape, sliders, grid)
        return {offset + axes.names.index(extent.axis): extent for extent in extents}

    def _request_phases(self, spec: NetSpec) -> None:
        if spec != self._requested:
            self._requested = spec
            self._runner.start(partial(compute_phases, spec))

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _on_slider_moved(self, _: object = None) -> None:
        self.changed.emit()

    def _on_phases(self, results: Sequence[AxisPhases]) -> None:
        self._phases |= {result.spec: result.phases for result in results}
        self.changed.emit()
