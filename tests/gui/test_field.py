"""The Receptive field dock in a real viewer, used with a real mouse and keyboard."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gui.docks import LONG, MakeModel
from napari.layers import Layer
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_fcn.gui._controllers import FieldState
from napari_fcn.gui._field_panels.text import field_text, growth_line
from napari_fcn.gui._layers import METADATA_KEY
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui.field import FieldWidget

NARROW = 320  # pixels: the width of a dock on a small screen


@dataclass
class FieldDock:
    """A viewer with the dock, used by mouse and keyboard."""

    viewer: Viewer
    widget: FieldWidget
    qtbot: QtBot

    @property
    def state(self) -> FieldState:
        return self.widget.controller.state

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def rest(self) -> None:
        self.wait(lambda: not self.widget.controller.is_busy and not self.state.task)

    def press(self, button: Any) -> None:
        self.qtbot.mouseClick(button, Qt.LeftButton)

    def layer(self, kind: str) -> Layer | None:
        found = [layer for layer in self.viewer.layers if layer.metadata.get(METADATA_KEY, {}).get("kind") == kind]
        return found[0] if found else None

    def move(self, *index: float) -> QPointF:
        """Move the mouse to a pixel of the first layer."""
        at = self._on_canvas(index)
        self._mouse(QEvent.MouseMove, at, Qt.NoButton, Qt.NoButton)
        return at

    def click(self, *index: float) -> None:
        """Click on a pixel of the first layer, and wait for the influence."""
        at = self.move(*index)
        self._mouse(QEvent.MouseButtonPress, at, Qt.LeftButton, Qt.LeftButton)
        self._mouse(QEvent.MouseButtonRelease, at, Qt.LeftButton, Qt.NoButton)
        self.rest()

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        """Draw from one pixel to another."""
        self._mouse(QEvent.MouseButtonPress, self.move(*start), Qt.LeftButton, Qt.LeftButton)
        begin = self._on_canvas(start)
        end = self._on_canvas(stop)
        for share in (0.2, 0.6, 1.0):
            at = begin + (end - begin) * share
            self._mouse(QEvent.MouseMove, at, Qt.NoButton, Qt.LeftButton)
        self._mouse(QEvent.MouseButtonRelease, at, Qt.LeftButton, Qt.NoButton)

    def _on_canvas(self, index: Any) -> QPointF:
        camera = camera_of(self.viewer)
        world = np.asarray(self.viewer.layers[0].data_to_world(index))[-2:]
        size = np.array([self.canvas.height(), self.canvas.width()])
        y, x = size / 2 + (world - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPointF(float(x), float(y))

    def _mouse(self, kind: Any, at: QPointF, button: Any, buttons: Any) -> None:
        everywhere = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, at, at, everywhere, button, buttons, Qt.NoModifier))


@pytest.fixture
def field(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, model: MakeModel) -> Iterator[FieldDock]:
    viewer = make_napari_viewer(show=True)
    image = np.random.default_rng(0).integers(0, 255, (90, 110), np.uint8)
    viewer.add_image(image, name="cells", scale=(0.5, 0.5), rotate=20, units="um")
    widget = FieldWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Receptive field (FCN)", area="right")
    widget.source.model.open_file(model())
    dock = FieldDock(viewer, widget, qtbot)
    viewer.reset_view()
    dock.wait(lambda: widget.controller.state.growth is not None)
    dock.rest()
    yield dock
    dock.rest()


def test_a_click_shows_the_receptive_field_of_a_pixel(field: FieldDock) -> None:
    field.press(field.widget.pixel.toggle)
    field.click(40, 50)
    pixel_field = field.state.field
    assert pixel_field is not None
    assert np.abs(np.subtract([index for _, index in pixel_field.pixel], (40, 50))).max() <= 1
    box, heat = field.layer("receptive field"), field.layer("influence")
    assert box is not None
    assert heat is not None
    assert box.visible
    assert heat.visible
    text = field.widget.field_label.text()
    assert all(words in text for words in ("theoretical", "effective", "µm", "50%", "of the box matters")), text
    assert field.widget.pixel.pixel.text() == ", ".join(str(index) for _, index in pixel_field.pixel)
    assert field.viewer.layers.selection.active is field.viewer.layers[0]
    field.press(field.widget.pixel.toggle)
    field.click(10, 10)
    assert field.state.field == pixel_field  # the toggle is off


def test_a_drag_selects_no_pixel(field: FieldDock) -> None:
    field.press(field.widget.pixel.toggle)
    field.drag((40, 50), (60, 80))
    field.rest()
    assert field.state.field is None


def test_the_box_follows_the_mouse_and_the_influence_appears_when_it_rests(field: FieldDock) -> None:
    field.press(field.widget.pixel.toggle)
    field.press(field.widget.pixel.follow)
    field.move(40, 50)
    field.wait(lambda: field.layer("receptive field"))
    field.wait(lambda: field.layer("influence"))
    field.rest()
    first = field.state.field
    field.move(60, 70)
    field.wait(lambda: field.state.field is not None and field.state.field.pixel != first.pixel)  # type: ignore[union-attr]
    field.wait(lambda: field.state.field is not None and field.state.field.label)


def test_a_pixel_and_a_class_can_be_chosen_by_keyboard(field: FieldDock) -> None:
    choice = field.widget.pixel
    field.qtbot.keyClick(field.canvas, Qt.Key_F, Qt.ShiftModifier)
    assert choice.toggle.isChecked()
    choice.pixel.setFocus()
    field.qtbot.keyClicks(choice.pixel, "30, 20")
    field.qtbot.keyClick(choice.pixel, Qt.Key_Return)
    field.rest()
    assert field.state.field is not None
    assert field.state.field.pixel == (("y", 30), ("x", 20))
    before = field.state.field.label
    other = next(n for n in range(1, choice.label.count()) if choice.label.itemText(n) != before)
    choice.label.setCurrentIndex(other)
    choice.label.activated.emit(other)
    field.rest()
    assert field.state.field.label == choice.label.itemText(other)
    choice.pixel.clear()
    field.qtbot.keyClicks(choice.pixel, "over there")
    field.qtbot.keyClick(choice.pixel, Qt.Key_Return)
    assert "is not a pixel. Type whole numbers" in field.widget.error.text()


def test_growth_is_shown_in_plot_and_table(field: FieldDock) -> None:
    growth = field.state.growth
    assert growth is not None
    assert growth_line(growth) in field.widget.growth.heading.text()
    assert field.widget.growth.plot is not None
    assert field.widget.table.rowCount() == len(growth.layers)
    field.press(field.widget.layers.heading)
    assert field.widget.table.isVisible()
    assert field.widget.table.item(0, 1).text() == str(growth.layers[0].size[0])


def test_advice_follows_a_diameter_in_micrometres(field: FieldDock) -> None:
    objects = field.widget.objects
    objects.unit.setCurrentIndex(1)
    field.qtbot.keyClicks(objects.diameter, "50")
    field.qtbot.keyClick(objects.diameter, Qt.Key_Return)
    assert field.state.objects == pytest.approx(100)
    assert "Objects are 100 px" in objects.advice.text()
    assert objects.advice.isVisible()


def test_the_checks_show_their_results(field: FieldDock) -> None:
    for kind, button in field.widget.checks.buttons.items():
        field.press(button)
        assert field.widget.running.isVisible()
        assert not button.isEnabled()
        field.rest()
        finding = field.state.check_result(kind)
        assert finding is not None
        assert finding.sentence.split(".")[0] in field.widget.checks.check_results[kind].text()
    assert not field.widget.running.isVisible()
    assert sum(layer.visible for layer in field.viewer.layers) == 2  # the image and the latest map


def test_the_dock_shows_why_an_image_is_missing_or_unsuitable(field: FieldDock, model: MakeModel) -> None:
    field.widget.source.model.open_file(model(3))
    field.rest()
    assert not any(button.isEnabled() for button in field.widget.checks.buttons.values())
    assert "3" in field.widget.message.text()
    field.viewer.layers.clear()
    assert "Open or select an image" in field.widget.message.text()


def test_the_dock_fits_a_small_screen_in_both_themes(field: FieldDock) -> None:
    field.click(40, 50)
    field.press(field.widget.pixel.toggle)
    field.click(40, 50)
    field.press(field.widget.layers.heading)
    field.press(field.widget.advanced.heading)
    for theme in ("light", "dark"):
        field.viewer.theme = theme
        inner = field.widget.findChild(QScrollArea).widget()
        assert inner.minimumSizeHint().width() <= NARROW
    assert field_text(field.state.field) == field.widget.field_label.text()  # type: ignore[arg-type]


def test_closing_the_dock_stops_its_tasks(field: FieldDock) -> None:
    before = list(field.viewer.mouse_drag_callbacks)
    field.press(field.widget.pixel.toggle)
    assert field.viewer.mouse_drag_callbacks != before
    field.press(field.widget.checks.buttons["equivariance"])
    field.viewer.window.remove_dock_widget(field.widget)
    field.wait(lambda: not field.widget.controller.is_busy)
    assert field.viewer.mouse_drag_callbacks == before


def test_napari_opens_the_dock_from_its_menu(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot) -> None:
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-fcn", "Receptive field (FCN)")
    assert isinstance(widget, FieldWidget)
    qtbot.waitUntil(lambda: widget.controller.state.growth is not None, timeout=LONG)
    qtbot.waitUntil(lambda: not widget.controller.is_busy, timeout=LONG)
