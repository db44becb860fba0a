"""Watches the sliders, and says what of the axes that they move along the network sees."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_fcn.errors import ImageError
from napari_fcn.gui._controller.stretch import probe, stretches
from napari_fcn.gui._jobs import JobRunner
from napari_fcn.gui._layers import SliderMarks, read, slid
from napari_fcn.inference.resampling import choose
from napari_fcn.inference.source import ImageSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controller.catalogue import ModelEntry
    from napari_fcn.gui._controller.state import Request
    from napari_fcn.gui._controller.stretch import Phases, Probed, Stretch
    from napari_fcn.nets.spec import NetSpec


class Lookout(QObject):
    """Knows what networks see. Each is asked once, on a thread of its own: a run is not given up for it.

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
        self._known: dict[NetSpec, Phases] = {}
        self._asked: NetSpec | None = None
        self._runner = JobRunner(self)
        self._runner.yielded.connect(self._on_probed)
        self._runner.failed.connect(self.failed)

    @property
    def is_busy(self) -> bool:
        """Whether a network is being asked."""
        return self._runner.is_running

    def connect(self) -> None:
        """Watch the viewer."""
        for emitter in self._emitters():
            emitter.connect(self._on_slid)

    def shutdown(self) -> None:
        """Let go of the viewer."""
        for emitter in self._emitters():
            emitter.disconnect(self._on_slid)
        self._runner.shutdown()
        self._marks.clear()
        self._asked = None

    def seen(self, layer: Image | None, request: Request | None, model: ModelEntry | None) -> tuple[Stretch, ...]:
        """Return what the network sees along the axes that have a slider, and mark it there; nothing if unknown."""
        found = self._seen(layer, request, model)
        self._marks.show({axis: (stretch.first, stretch.last) for axis, stretch in found.items()})
        return tuple(found.values())

    def _seen(self, layer: Image | None, request: Request | None, model: ModelEntry | None) -> dict[int, Stretch]:
        """Return what is seen, by the axis of the viewer."""
        if layer is None or request is None or model is None:
            return {}
        image, spec = read(layer), model.info.spec
        try:
            bound = image.bind(spec, request.axes)
            axes = bound.axes
            source = ImageSource.open(image.data, axes, spec.channels, request.settings, bound.rgb)
            grid, _ = choose(source, (bound.spacing, model.info.voxel_size), request.settings.resample)
        except ImageError:  # the dock says why the model cannot run
            return {}
        at = {axes.names[axis]: index for axis, index in slid(self._viewer, layer).items()}
        if not set(axes.space) & set(at):
            return {}
        if spec not in self._known:
            self._ask(spec)
            return {}
        offset = self._viewer.dims.ndim - layer.ndim
        found = stretches(self._known[spec], axes, source.shape, at, grid)
        return {offset + axes.names.index(stretch.axis): stretch for stretch in found}

    def _ask(self, spec: NetSpec) -> None:
        if spec != self._asked:
            self._asked = spec
            self._runner.start(partial(probe, spec))

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _on_slid(self, _: object = None) -> None:
        self.changed.emit()

    def _on_probed(self, found: Sequence[Probed]) -> None:
        self._known |= {one.spec: one.phases for one in found}
        self.changed.emit()
