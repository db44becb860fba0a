"""The receptive field of each layer of a model, as a plot and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_fcn.gui._field_panels.text import growth_line
from napari_fcn.gui._teach_panels.curves import plot_widget
from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.gui._widgets.text import escaped, hint

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_fcn.gui._controllers import LayerGrowth, LayerRow

COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7")  # Okabe & Ito (2008)
COLUMNS = ("Layer", "Field", "Step", "Start")
HINTS = (
    "Layers in the order of computation",
    "Receptive field of one value of this layer, in image pixels along each axis; ∞: the whole image",
    "Distance between neighbouring values of this layer, in image pixels",
    "Centre of the receptive field of the first value of this layer, in image pixels",
)
TABLE_HEIGHT = 220
WHOLE_IMAGE = "∞"


class GrowthPlot(QWidget):
    """Plot of the receptive field by layer, made when first visible, as pyqtgraph is slow to load."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Plot of the receptive field by layer")
        self.heading = WrappingLabel("Receptive field by layer")
        self.plot: Any = None
        self._growth: LayerGrowth | None = None
        self._drawn: LayerGrowth | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self._layout.addWidget(self.heading)

    def show_growth(self, growth: LayerGrowth | None) -> None:
        """Show the receptive field of each layer, or nothing."""
        self._growth = growth
        self.setVisible(growth is not None)
        if growth is not None:
            lines = _lines(growth)
            names = lines if len(lines) > 1 else ()
            legend = [f"<span style='color:{colour}'>▬</span>&nbsp;{escaped(name)}" for colour, name, _ in names]
            self.heading.set_markup(" ".join([growth_line(growth), *legend]))
            self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        """Draw changes that were made while the plot was hidden."""
        super().showEvent(event)
        self._draw()

    def _draw(self) -> None:
        if self._growth is None or self._growth == self._drawn or not self.isVisible():
            return
        if self.plot is None:
            self.plot = plot_widget()
            self.plot.setToolTip(
                "<qt>Receptive field in pixels of each layer, from the first (left) to the output.</qt>"
            )
            self.plot.getAxis("bottom").setLabel("layer")
            self.plot.getAxis("left").setLabel("px")
            self.plot.getAxis("bottom").setHeight(None)
            self.plot.getAxis("left").setWidth(None)
            self.plot.setFixedHeight(130)
            self._layout.addWidget(self.plot)
        self.plot.clear()
        for colour, _, sizes in _lines(self._growth):
            values = [size or float("nan") for size in sizes]
            self.plot.plot(range(1, len(values) + 1), values, pen={"color": colour, "width": 2}, connect="finite")
        self._drawn = self._growth


class LayerTable(QTableWidget):
    """Read-only table with one row for each layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setAccessibleName("Layers of the model")
        self.setEditTriggers(QAbstractItemView.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setFixedHeight(TABLE_HEIGHT)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(20)
        self.setTextElideMode(Qt.ElideMiddle)
        header = self.horizontalHeader()
        for column, (text, tooltip) in enumerate(zip(COLUMNS, HINTS, strict=True)):
            item = QTableWidgetItem(text)
            item.setToolTip(tooltip)
            self.setHorizontalHeaderItem(column, item)
            header.setSectionResizeMode(column, QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.Stretch)
        self._shown: LayerGrowth | None = None

    def show_growth(self, growth: LayerGrowth | None) -> None:
        """Show the layers of a model, or nothing."""
        if growth == self._shown:
            return
        self._shown = growth
        rows = () if growth is None else growth.layers
        self.setRowCount(len(rows))
        for number, layer in enumerate(rows):
            for column, text in enumerate(_cells(layer)):
                item = QTableWidgetItem(text)
                item.setToolTip(hint(f"{layer.name} ({layer.kind})" if column == 0 else HINTS[column]))
                if column:
                    item.setTextAlignment(int(Qt.AlignRight | Qt.AlignVCenter))
                self.setItem(number, column, item)


def _lines(growth: LayerGrowth) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return colour, name and sizes of each line; axes with the same field share one."""
    names_by_size: dict[tuple[int, ...], list[str]] = {}
    for axis, name in enumerate(growth.axes):
        names_by_size.setdefault(tuple(layer.size[axis] for layer in growth.layers), []).append(name)
    return [
        (COLOURS[n % len(COLOURS)], ", ".join(names), sizes) for n, (sizes, names) in enumerate(names_by_size.items())
    ]


def _cells(layer: LayerRow) -> tuple[str, ...]:
    return layer.name, _joined([size or WHOLE_IMAGE for size in layer.size]), _joined(layer.jump), _joined(layer.start)


def _joined(values: object) -> str:
    """Return one number for each axis, or one for all if they are equal."""
    texts = [value if isinstance(value, str) else f"{value:g}" for value in values]  # type: ignore[attr-defined]
    return texts[0] if len(set(texts)) == 1 else " × ".join(texts)
