"""The mouse wheel over a dock scrolls the dock and changes no control."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui.clocks import turn
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint, QPointF, QRect, Qt
from qtpy.QtGui import QHelpEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDateEdit,
    QDoubleSpinBox,
    QGraphicsView,
    QLineEdit,
    QListWidget,
    QScrollArea,
    QScrollBar,
    QSlider,
    QSpinBox,
    QTabBar,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_fcn.gui import batch, field, segment, teach
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import Collapsible
from napari_fcn.gui._widgets.guard import DockGuard
from napari_fcn.gui.batch import BatchWidget
from napari_fcn.gui.field import FieldWidget
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.gui.synthetic import make_cells
from napari_fcn.gui.teach import TeachWidget

CONTROLS = (QComboBox, QAbstractSlider, QAbstractSpinBox, QTabBar)
DOWN = -120  # an eighth of a degree: one notch


def roll(widget: QWidget, delta: int = DOWN) -> None:
    """Turn the wheel over the centre of a widget, as the window system does."""
    at = QPointF(widget.rect().center())
    event = QWheelEvent(
        at,
        QPointF(widget.mapToGlobal(at.toPoint())),
        QPoint(0, 0),
        QPoint(0, delta),
        Qt.NoButton,
        Qt.NoModifier,
        Qt.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def value_of(control: Any) -> Any:
    if isinstance(control, QComboBox | QTabBar):
        return control.currentIndex()
    return control.text() if isinstance(control, QAbstractSpinBox) else control.value()


def controls_in(whole: QWidget) -> list[Any]:
    found = [widget for widget in whole.findChildren(QWidget) if isinstance(widget, CONTROLS)]
    return [widget for widget in found if not isinstance(widget, QScrollBar) and widget.window() is whole.window()]


@pytest.fixture(params=[SegmentWidget, BatchWidget, TeachWidget, FieldWidget], ids=lambda dock: dock.__name__)
def whole(
    request: pytest.FixtureRequest,
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> Dock:
    """A dock with all parts open and visible, too low to show them without scrolling."""
    for module in (segment, teach, field):
        monkeypatch.setattr(module, "WARM_UP_AFTER", 10**8)
    assert not hasattr(batch, "WARM_UP_AFTER")
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((60, 80), np.uint8), name="one")
    viewer.add_image(np.zeros((60, 80), np.uint8), name="two")
    widget = request.param(viewer)
    viewer.window.add_dock_widget(widget, area="right")
    for part in widget.findChildren(Collapsible):
        part.set_open(True)
    for part in widget.findChildren(QWidget):
        if part.window() is widget.window() and not isinstance(part, QScrollBar):
            part.setVisible(True)
    turn(qtbot)
    return widget


def test_the_wheel_scrolls_the_dock_and_changes_no_control(whole: Dock, qtbot: QtBot) -> None:
    area = whole.findChild(QScrollArea)
    bar = area.verticalScrollBar()
    assert bar.maximum() > 0
    controls = controls_in(whole)
    assert len(controls) > 3
    for control in controls:
        before = value_of(control)
        for delta in (DOWN, -DOWN):
            bar.setValue(bar.maximum() // 2)
            roll(control, delta)
            assert value_of(control) == before, control.accessibleName()
            assert (bar.value() - bar.maximum() // 2) * delta < 0, control.accessibleName()
            assert not control.hasFocus()
    for view in views_in(whole):
        bar.setValue(0)
        roll(view.viewport())
        assert bar.value() > 0, view


def views_in(whole: Dock) -> list[Any]:
    """Return the lists, tables and plots of a dock."""
    if isinstance(whole, TeachWidget):
        whole.curves._build()
        QApplication.processEvents()
    views = whole.findChildren(QAbstractItemView) + whole.findChildren(QGraphicsView)
    return [view for view in views if view.window() is whole.window()]


def test_a_focused_control_receives_the_wheel(qtbot: QtBot) -> None:
    whole = QWidget()
    qtbot.addWidget(whole)
    elsewhere, combo = QLineEdit(whole), QComboBox(whole)
    combo.addItems(["a", "b", "c"])
    whole.guard = DockGuard(whole)
    whole.show()
    whole.activateWindow()
    qtbot.waitUntil(whole.isActiveWindow)
    elsewhere.setFocus()
    roll(combo)
    assert combo.currentIndex() == 0
    combo.setFocus()
    roll(combo)
    assert combo.currentIndex() == 1


@pytest.mark.parametrize("kind", [QComboBox, QSpinBox, QDoubleSpinBox, QSlider, QDateEdit, QTabBar, QListWidget])
def test_controls_added_later_are_guarded(kind: type[Any], qtbot: QtBot) -> None:
    whole, column = QWidget(), None
    qtbot.addWidget(whole)
    column = QVBoxLayout(whole)
    whole.guard = DockGuard(whole)
    whole.show()
    inner = QWidget()
    column.addWidget(inner)
    control = kind(inner)
    if kind in (QComboBox, QTabBar, QListWidget):
        for name in "abc":
            (control.addTab if kind is QTabBar else control.addItem)(name)
    elif kind is QDateEdit:
        control.setDate(control.date().addDays(400))
    else:
        control.setValue(5)
    turn(qtbot)
    assert control.focusPolicy() != Qt.WheelFocus
    if kind is QListWidget:
        return
    before = value_of(control)
    for delta in (DOWN, -DOWN):
        roll(control, delta)
        assert value_of(control) == before


def test_the_wheel_does_not_change_the_synthetic_cells_dock(qtbot: QtBot) -> None:
    made = make_cells()
    made.show()
    turn(qtbot)
    try:
        controls = controls_in(made.native)
        assert len(controls) >= 6
        before = made.asdict()
        for control in controls:
            roll(control)
            roll(control, -DOWN)
        assert made.asdict() == before
    finally:
        made.close()


def test_the_open_list_of_a_combo_box_scrolls(qtbot: QtBot) -> None:
    whole = QWidget()
    qtbot.addWidget(whole)
    combo = QComboBox(whole)
    combo.addItems([f"model {n}" for n in range(200)])
    whole.guard = DockGuard(whole)
    whole.show()
    combo.showPopup()
    turn(qtbot)
    roll(combo.view().viewport())
    assert combo.view().verticalScrollBar().value() > 0
    combo.hidePopup()


def tips() -> list[QWidget]:
    """Return the tooltips that are shown."""
    return [one for one in QApplication.topLevelWidgets() if one.inherits("QTipLabel") and one.isVisible()]


def test_the_card_of_a_model_is_shown_next_to_the_dock(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer(show=True)
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, area="right")
    viewer.window._qt_window.move(0, 0)
    turn(qtbot)
    for part in (widget.source.model.combo, widget.source.model.line):
        at = part.rect().center()
        QApplication.sendEvent(part, QHelpEvent(QEvent.ToolTip, at, part.mapToGlobal(at)))
        (tip,) = tips()
        dock = QRect(widget.mapToGlobal(QPoint(0, 0)), widget.size())
        assert tip.height() > 60
        assert not tip.geometry().intersects(dock), (tip.geometry(), dock)
        QToolTip.hideText()
        qtbot.waitUntil(lambda: not tips())


def test_short_tooltips_are_shown_by_qt(qtbot: QtBot) -> None:
    whole = QWidget()
    qtbot.addWidget(whole)
    whole.setToolTip("Segment the image")
    guard = DockGuard(whole)
    assert not guard.eventFilter(whole, QHelpEvent(QEvent.ToolTip, QPoint(1, 1), QPoint(1, 1)))
