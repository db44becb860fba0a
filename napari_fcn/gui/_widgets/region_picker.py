"""The region of the image that a run predicts: whole, visible, or the box of shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_fcn.gui._widgets.text import hint, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_fcn.gui._controllers import SegmentController

HELP = (
    "Part of the image to segment. Visible region: what is on screen when you press Run, on its plane. Shapes: the box "
    "of the selected shapes of a layer, or of all if none is selected, on all planes. Files have its size."
)


class RegionPicker(QWidget):
    """A list of regions, with the Shapes layers of a viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    controller : SegmentController
        Lists the regions.
    """

    def __init__(self, viewer: ViewerModel, controller: SegmentController) -> None:
        super().__init__()
        self._viewer, self._controller = viewer, controller
        self.combo = QComboBox()
        self.combo.setAccessibleName("Region")
        self.combo.setAccessibleDescription(HELP)
        self.combo.setToolTip(hint(HELP))
        self.combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(8)
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        rows.addRow("Region", self.combo)
        self._fill()

    def value(self) -> Any:
        """Return the chosen region, for `SegmentController.predict`."""
        return self.combo.currentData()

    def connect_viewer(self) -> None:
        """Watch the layers of the viewer."""
        for emitter in self._emitters():
            emitter.connect(self._fill)
        self._fill()

    def disconnect_viewer(self) -> None:
        """Disconnect from the viewer."""
        for emitter in self._emitters():
            emitter.disconnect(self._fill)

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed

    def _fill(self, _: object = None) -> None:
        """List the regions; the choice stays if its layer does."""
        before, choices = self.value(), self._controller.region_choices()
        self.combo.clear()
        for text, choice in choices:
            self.combo.addItem(one_line(text), choice)
        self.combo.setCurrentIndex(next((n for n, (_, choice) in enumerate(choices) if choice == before), 0))
