"""Live plots of the score on new strokes by round, and of the loss by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFrame, QSizePolicy, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.form import WrappingLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

HEIGHT = 92  # pixels of each plot
AXIS = "#8c8c8c"  # readable on light and dark
ACCEPTED, CANDIDATE, LOSS = "#56b4e9", "#e69f00", "#009e73"  # Okabe & Ito (2008)
SCORES = (
    f"New strokes correct (%) by round: <span style='color:{ACCEPTED}'>●</span>&nbsp;current&nbsp;model "
    f"<span style='color:{CANDIDATE}'>▲</span>&nbsp;update"
)
STEPS = f"Loss by step <span style='color:{LOSS}'>▬</span>"
LEFT, BOTTOM = 30, 18  # pixels for numbers, so that both plots line up
TICKS = 7  # points


class Curves(QWidget):
    """Two plots, created when first visible, because pyqtgraph is slow to load."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self.setAccessibleName("Plots of the scores and of the loss")
        self.accepted: Any = None
        self.candidate: Any = None
        self.loss: Any = None
        self._shown: object = None

    def show_scores(
        self,
        scores: Sequence[tuple[int, float]],
        candidate_scores: Sequence[tuple[int, float]],
        losses: Sequence[float],
    ) -> None:
        """Show the scores of the current model and of updates by round, and the loss by step."""
        if not self.isVisible() or self._shown == (scores, candidate_scores, losses):
            return
        if self.accepted is None:
            self._build()
        self._shown = (scores, candidate_scores, losses)
        for curve, points in ((self.accepted, scores), (self.candidate, candidate_scores)):
            curve.setData([turn for turn, _ in points], [100 * score for _, score in points])
        self.loss.setData(list(range(1, len(losses) + 1)), list(losses))

    def _build(self) -> None:
        scores, steps = plot_widget(), plot_widget()
        scores.setYRange(0, 100, padding=0.08)
        scores.getAxis("left").setTicks([[(n, str(n)) for n in (0, 50, 100)]])
        self.accepted = scores.plot(pen=_pen(ACCEPTED), symbol="o", **_symbols(ACCEPTED))
        self.candidate = scores.plot(pen=None, symbol="t1", **_symbols(CANDIDATE))
        self.loss = steps.plot(pen=_pen(LOSS))
        for text, plot in ((SCORES, scores), (STEPS, steps)):
            heading = WrappingLabel("Plot")
            heading.set_markup(text)
            self._layout.addWidget(heading)
            self._layout.addWidget(plot)


def plot_widget() -> Any:
    """Return an empty plot that follows the theme and cannot be moved by the mouse."""
    import pyqtgraph
    from qtpy.QtGui import QFont

    plot = pyqtgraph.PlotWidget(background=None)
    plot.setStyleSheet("background: transparent;")  # so that it follows the theme
    plot.setFixedHeight(HEIGHT)
    plot.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)  # or its heading would fill a high dock
    plot.setFrameShape(QFrame.NoFrame)
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(x=False, y=False)
    plot.showGrid(y=True, alpha=0.2)
    font = QFont()
    font.setPointSize(TICKS)
    for name in ("left", "bottom"):
        axis = plot.getAxis(name)
        axis.setPen(AXIS)
        axis.setTextPen(AXIS)
        axis.setStyle(tickLength=3, tickFont=font, tickTextOffset=3)
    plot.getAxis("left").setWidth(LEFT)
    plot.getAxis("bottom").setHeight(BOTTOM)
    return plot


def _pen(colour: str) -> dict[str, Any]:
    return {"color": colour, "width": 2}


def _symbols(colour: str) -> dict[str, Any]:
    return {"symbolBrush": colour, "symbolPen": None, "symbolSize": 7}
