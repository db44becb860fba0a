"""The layer of corrections, and the detection of strokes on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt, Signal

from napari_fcn.geometry import Region
from napari_fcn.gui._layers.canvas import zeros
from napari_fcn.gui._layers.class_colours import stroke_colormap, stroke_name_table
from napari_fcn.gui._layers.layer_image import METADATA_KEY
from napari_fcn.gui._layers.napari_private import clear_undo_history
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui._layers.strokes import Stroke, painted_box, painted_region
from napari_fcn.gui._layers.transforms import (
    CORRECTIONS_KIND,
    add_on_top,
    align,
    find_layer,
    keep_aligned,
    region_on_image,
    region_on_layer,
    result_transform,
    select_layer,
    tag_layer,
    to_layer_axes,
)
from napari_fcn.gui._layers.viewport import WindowedArray
from napari_fcn.learning.annotations import AnnotationSet
from napari_fcn.learning.sparse import SparseLabels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.gui._layers.strokes import LabelChange

BRUSH_SCREEN_PIXELS = 12  # pixels of the screen
MAX_BRUSH_SIZE = 200  # pixels of the image
MAX_CLASSES = 254


class Corrections(QObject):
    """The strokes of the user on one image, as a uint8 Labels layer: 0 is unpainted, ``k + 1`` is class ``k``.

    Regions that may have changed are compared with the labels reported before, so painting, erasing, filling, undo and
    redo are handled alike. All edits within one turn of the event loop are reported together, after napari has written
    them. For images that are too large, the layer is a window that follows the view; strokes elsewhere are kept.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layer is added.
    source : Image
        The image on which the user paints.
    channel : int, optional
        Axis of the image layer that holds its channels; None if it has none or they are colours.
    shape : sequence of int
        Length of the image axes.
    window : Region
        Part of the image in the layer; an existing layer keeps its window.
    classes : sequence of (str, str)
        Name and colour ``#rrggbb`` of each class.

    Attributes
    ----------
    changed : Signal(tuple)
        New strokes, at least one.
    lost : Signal(str)
        Painting on the layer is no longer possible; the reason.
    label_chosen : Signal(int)
        The new value of the brush; 0 erases.
    edited_at : float
        Start of the latest edit by the user, `time.monotonic`.
    is_new : bool
        Whether the layer was created, not found in the viewer.
    """

    changed = Signal(tuple)
    lost = Signal(str)
    label_chosen = Signal(int)
    _edited = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        source: Image,
        channel: int | None,
        shape: Sequence[int],
        window: Region,
        classes: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__()
        self._viewer, self._source, self._channel = viewer, source, channel
        self._shape, self._classes = tuple(shape), tuple(classes)
        self._painted_regions: list[Region] = []
        self._is_pending, self._hold_count = False, 0
        self._reported = SparseLabels(self._shape)  # all strokes reported so far
        self._annotated = AnnotationSet()
        self.edited_at = 0.0
        self._edited.connect(self._on_edited, Qt.QueuedConnection)  # before the next frame; a timer would fire after it
        reused = _find_reusable_layer(viewer, source, region_on_layer(window, channel).shape)
        self.is_new = reused is None
        self._previous_strokes: SparseLabels | None = None  # strokes in all windows of a reused layer
        if reused is None:
            self.window, self.layer = window, self._create_layer(window)
        else:
            self.layer, metadata = reused, reused.metadata.get(METADATA_KEY, {})
            origin = metadata.get("origin") or (0,) * reused.ndim
            start = region_on_image(Region(origin, origin), channel).start
            self.window = Region((0,) * len(start), window.shape).shift(start)
            self._previous_strokes = metadata.get("painted")
        self._record_state()
        self.set_classes(classes)

    @property
    def labels(self) -> WindowedArray:
        """The pixels of the layer, addressed on the image axes; only the GUI thread may touch them."""
        array = self._layer_data[(slice(None),) * self._channel + (0,)] if self._channel else self._layer_data
        return WindowedArray(self._shape, self.window, array)

    def move_window(self, window: Region) -> bool:
        """Move to another part of the image, unless strokes are held back; return whether it was done."""
        if self._hold_count:
            return False
        self.flush()
        labels = WindowedArray(self._shape, window, zeros(window.shape))
        for region in self._annotated.regions:
            if region.intersects(window):
                labels[region.slices] = self._reported[region.slices]
        self.window = window
        self.layer.data = to_layer_axes(labels.array, self._channel)
        clear_undo_history(self.layer)  # its steps belong to the old window
        self._record_state()
        align(self.layer, self._source)
        return True

    def _record_state(self) -> None:
        """Store the window of the layer and the strokes in all windows in its metadata."""
        self._layer_data = self.layer.data
        origin = region_on_layer(self.window, self._channel).start
        tag_layer(self.layer, self._source, CORRECTIONS_KIND, self._channel, origin=origin, painted=self._reported)

    def connect(self) -> None:
        """Watch the layer."""
        events = self.layer.events
        events.paint.connect(self._on_paint)
        events.set_data.connect(self._on_set_data)
        events.selected_label.connect(self._on_label)
        events.mode.connect(self._on_label)

    def disconnect_layer(self) -> None:
        """Disconnect from the layer, which stays."""
        events = self.layer.events
        events.paint.disconnect(self._on_paint)
        events.set_data.disconnect(self._on_set_data)
        events.selected_label.disconnect(self._on_label)
        events.mode.disconnect(self._on_label)

    def activate_brush(self) -> None:
        """Select the layer and the brush."""
        select_layer(self._viewer, self.layer)
        self.layer.mode = "paint"

    def set_classes(self, classes: Sequence[tuple[str, str]]) -> None:
        """Show other names and colours."""
        self._classes = tuple(classes)
        self.layer.colormap, self.layer.features = stroke_colormap(classes), stroke_name_table(classes)

    def select_label(self, label: int) -> None:
        """Set the value of the brush; 0 erases."""
        if self._viewer.layers.selection.active is not self.layer:
            select_layer(self._viewer, self.layer)
        if label == 0:
            self.layer.mode = "erase"
            return
        self.layer.selected_label = min(label, len(self._classes))
        if self.layer.mode not in ("paint", "polygon", "fill"):
            self.layer.mode = "paint"

    def hold(self) -> None:
        """Hold back new strokes until `release`, because the layer is about to be changed."""
        self.flush()
        self._hold_count += 1

    def release(self) -> None:
        """Report the strokes that were held back."""
        self._hold_count = max(0, self._hold_count - 1)
        self.flush()

    def flush(self) -> None:
        """Report at once what the next turn of the event loop would report."""
        if self._is_pending:
            self._on_edited()

    def report_existing_strokes(self) -> None:
        """Report all strokes on a reused layer as new."""
        previous = self._previous_strokes or SparseLabels(self._shape)
        differences = [Stroke.from_difference(self._reported, previous, region) for region in previous.regions]
        strokes = tuple(stroke for stroke in differences if stroke is not None)
        self.mark_reported(strokes)
        if strokes:
            self.changed.emit(strokes)
        box = painted_box(self.labels.array)
        if box is not None:
            self._painted_regions.append(box.shift(self.window.start))
        self._schedule_report()

    def mark_reported(self, strokes: Sequence[Stroke]) -> None:
        """Mark strokes as reported, without drawing them."""
        for stroke in strokes:
            stroke.write(self._reported)
            self._annotated = self._annotated.add(stroke.region)

    def restore(self, parts: Sequence[LabelChange]) -> None:
        """Restore parts of the layer to earlier labels; this is not reported."""
        for part in parts:
            part.write(self.labels)
            part.write(self._reported)
            self._annotated = self._annotated.add(part.region)
        if parts:
            self.layer.refresh(extent=False, highlight=False)

    def draw_strokes(self, strokes: Sequence[Stroke]) -> None:
        """Draw the strokes of an earlier session; this is not reported."""
        for stroke in strokes:
            stroke.write(self.labels)
        self.mark_reported(strokes)
        if strokes:
            self.layer.refresh(extent=False, highlight=False)

    def _create_layer(self, window: Region) -> Labels:
        origin = region_on_layer(window, self._channel).start
        layer = Labels(
            to_layer_axes(zeros(window.shape), self._channel),
            name=f"{self._source.name} {CORRECTIONS_KIND}",
            opacity=0.9,
            colormap=stroke_colormap(self._classes),
            **result_transform(self._source, self._channel, origin),
        )
        tag_layer(layer, self._source, CORRECTIONS_KIND, self._channel, origin=origin)
        add_on_top(self._viewer, layer)
        keep_aligned(layer, self._source)
        layer.n_edit_dimensions = min(2, layer.ndim)
        layer.brush_size = self._initial_brush_size()
        layer.selected_label = 1
        return layer

    def _initial_brush_size(self) -> int:
        """Return the brush size in pixels of the image for a convenient size on the screen."""
        shown = self._viewer.dims.displayed[-1] - self._viewer.dims.ndim
        pixel = abs(float(self._source.scale[shown])) * max(1e-6, float(camera_of(self._viewer).zoom))
        return int(np.clip(round(BRUSH_SCREEN_PIXELS / max(1e-6, pixel)), 1, MAX_BRUSH_SIZE))

    def _on_paint(self, event: Any) -> None:
        region = painted_region(event.value, self.layer.ndim)
        if region is not None:
            self._painted_regions.append(region_on_image(region, self._channel).shift(self.window.start))
            self._schedule_report()

    def _on_set_data(self, _: object = None) -> None:
        """Check for changes after undo, redo, and any other redraw of the layer."""
        self._schedule_report()

    def _on_label(self, _: object = None) -> None:
        if self.layer.selected_label > len(self._classes):
            self.layer.selected_label = len(self._classes)
        self.label_chosen.emit(0 if self.layer.mode == "erase" else int(self.layer.selected_label))

    def _schedule_report(self) -> None:
        if not self._is_pending:
            self._is_pending = True
            self.edited_at = time.monotonic()
            self._edited.emit()

    def _on_edited(self) -> None:
        if not self._is_pending or self._hold_count:
            return
        self._is_pending = False
        painted, self._painted_regions = self._painted_regions, []
        if self.layer.data is not self._layer_data:
            self.lost.emit(f"The data of {self.layer.name} were replaced, so teaching has stopped.")
            return
        strokes = self._find_changes([*painted, *self._annotated.regions])
        if strokes:
            self.changed.emit(strokes)

    def _find_changes(self, regions: Sequence[Region]) -> tuple[Stroke, ...]:
        """Return the unreported strokes in these regions, and mark them as reported."""
        strokes = []
        labels = self.labels
        for region in regions:
            stroke = Stroke.from_difference(self._reported, labels, region.intersection(self.window))
            if stroke is not None:
                strokes.append(stroke)
                self.mark_reported([stroke])
        return tuple(strokes)


def _find_reusable_layer(viewer: ViewerModel, source: Image, shape: Sequence[int]) -> Labels | None:
    """Return an existing corrections layer of this image: ours, or one of the same name."""
    tagged = find_layer(viewer, source, CORRECTIONS_KIND)
    named = [layer for layer in viewer.layers if layer.name == f"{source.name} {CORRECTIONS_KIND}"]
    return next((layer for layer in filter(None, [tagged, *named]) if _is_paintable(layer, shape)), None)


def _is_paintable(layer: Layer, shape: Sequence[int]) -> bool:
    """Whether a layer is a uint8 Labels layer of this shape in memory."""
    return (
        isinstance(layer, Labels)
        and isinstance(layer.data, np.ndarray)
        and layer.data.dtype == np.uint8
        and layer.data.shape == tuple(shape)
    )
