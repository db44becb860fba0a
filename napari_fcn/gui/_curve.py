"""The live plots: how the model does on each new stroke, and the loss of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 190  # pixels
AXIS = "#8c8c8c"  # readable on light and dark
ACCEPTED, CANDIDATE, LOSS = "#56b4e9", "#e69f00", "#009e73"  # Okabe & Ito (2008)
ROOM = 34  # pixels for the numbers of the y axes, so that both plots line up


class Curves(QWidget):
    """Two plots, made when there is something to show: pyqtgraph takes its time to load."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(HEIGHT)
        self.setAccessibleName("Plots of examination scores and of the loss")
        self.accepted: Any = None
        self.candidate: Any = None
        self.loss: Any = None
        self._shown: object = None

    def show_scores(
        self, exams: Sequence[tuple[int, float]], trials: Sequence[tuple[int, float]], losses: Sequence[float]
    ) -> None:
        """Show examination scores by turn, of the accepted weights and of candidates, and the loss by step."""
        if not self.isVisible() or self._shown == (exams, trials, losses):
            return
        if self.accepted is None:
            self._build()
        self._shown = (exams, trials, losses)
        for curve, points in ((self.accepted, exams), (self.candidate, trials)):
            curve.setData([turn for turn, _ in points], [100 * right for _, right in points])
        self.loss.setData(list(range(1, len(losses) + 1)), list(losses))

    def _build(self) -> None:
        import pyqtgraph

        area = pyqtgraph.GraphicsLayoutWidget()
        area.setBackground(None)
        area.ci.setContentsMargins(0, 0, 4, 0)
        scores = _plot(area, 0, "new strokes right (%)", "turn")
        scores.setYRange(0, 100, padding=0.05)
        scores.setLimits(yMin=-5, yMax=105)
        legend = scores.addLegend(offset=(-4, -4), labelTextColor=AXIS, labelTextSize="8pt", verSpacing=-8)
        legend.setBrush((0, 0, 0, 0))
        self.accepted = scores.plot(pen=_pen(ACCEPTED), symbol="o", name="accepted", **_symbols(ACCEPTED))
        self.candidate = scores.plot(pen=None, symbol="t1", name="candidate", **_symbols(CANDIDATE))
        steps = _plot(area, 1, "loss", "step")
        self.loss = steps.plot(pen=_pen(LOSS))
        self._layout.addWidget(area)


def _plot(area: Any, row: int, left: str, bottom: str) -> Any:
    plot = area.addPlot(row=row, col=0)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(x=False, y=False)
    plot.showGrid(y=True, alpha=0.2)
    plot.setTitle(f"{left} by {bottom}", size="8pt", color=AXIS)
    for name in ("left", "bottom"):
        axis = plot.getAxis(name)
        axis.setPen(AXIS)
        axis.setTextPen(AXIS)
        axis.setStyle(tickLength=3)
    plot.getAxis("left").setWidth(ROOM)
    return plot


def _pen(colour: str) -> dict[str, Any]:
    return {"color": colour, "width": 2}


def _symbols(colour: str) -> dict[str, Any]:
    return {"symbolBrush": colour, "symbolPen": None, "symbolSize": 7}
