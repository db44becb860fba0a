"""The Teach dock in a real viewer, used with a real mouse and keyboard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.brush import TeachDock
from gui.clocks import turn
from gui.docks import MakeModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QColorDialog, QComboBox, QFileDialog, QLineEdit

from napari_fcn.events import Change
from napari_fcn.geometry import Region
from napari_fcn.gui import teach as teach_module
from napari_fcn.gui._controllers import FILTERS
from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.teach import layers
from napari_fcn.gui._layers import viewport
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.gui.teach import TeachWidget
from napari_fcn.nets.spec import NetSpec
from napari_fcn.project import Project

DARK, BRIGHT = ((20, 10), (20, 30)), ((20, 90), (20, 110))


def test_two_strokes_teach_dark_from_bright(teach: TeachDock) -> None:
    teach.start()
    assert teach.layer.mode == "paint"
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    assert set(teach.painted()) == {1, 2}
    assert (teach.overlay_classes[:, :60] == 0).all()
    assert (teach.overlay_classes[:, 60:] == 1).all()
    teach.wait(lambda: len(teach.widget.controller.latencies) == 2)
    assert "Updated in" in teach.widget.learning.latency.text()
    assert [row.count.text() for row in teach.widget.classes.rows] == [f"{n} px" for n in teach.painted().values()]


def test_the_overlay_is_drawn(teach: TeachDock) -> None:
    teach.start()
    teach.stroke(*DARK)
    before = teach.viewer.screenshot(flash=False)[..., :3].astype(int)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    teach.wait(lambda: len(teach.widget.controller.latencies) == 2)
    after = teach.viewer.screenshot(flash=False)[..., :3].astype(int)
    assert np.abs(after - before).max(-1).astype(bool).mean() > 0.1


def test_ctrl_z_undoes_a_stroke(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    first = teach.painted()
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    teach.press(Qt.Key_Z, Qt.ControlModifier)
    teach.rest()
    assert teach.painted() == first
    assert teach.engine.samples.counts(2) == (first[1], 0)


def test_erasing_filling_and_polygons_are_learnt(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    whole = teach.painted()[2]
    teach.press(Qt.Key_E)
    assert teach.widget.classes.eraser.isChecked()
    teach.stroke((20, 100), (20, 110))
    assert 0 < teach.painted()[2] < whole
    assert teach.engine.samples.counts(2)[1] == teach.painted()[2]
    teach.press(Qt.Key_1)
    teach.layer.mode = "fill"
    teach.stroke((20, 90), (20, 90))
    assert teach.painted() == {1: teach.engine.samples.counts(2)[0]}
    teach.layer.mode = "polygon"
    teach.press(Qt.Key_2)
    assert teach.layer.mode == "polygon"
    for corner in ((50, 20), (50, 40), (70, 40)):
        teach.stroke(corner, corner)
    teach.press(Qt.Key_Return)
    teach.rest()
    assert teach.engine.samples.counts(2)[1] == teach.painted()[2] > 100


def test_keys_choose_classes_whichever_layer_is_active(teach: TeachDock) -> None:
    teach.start()
    for layer in ("cells", "cells corrections", "cells probabilities"):
        for key, label in ((Qt.Key_1, 1), (Qt.Key_2, 2)):
            teach.viewer.layers.selection.active = teach.viewer.layers[layer]
            teach.press(key)
            assert teach.layer.selected_label == label
            assert teach.viewer.layers.selection.active is teach.layer
            assert teach.layer.mode == "paint"
    teach.press(Qt.Key_0)
    assert teach.layer.mode == "erase"
    teach.press(Qt.Key_2)
    assert teach.widget.classes.rows[1].key.isChecked()
    assert not teach.widget.classes.eraser.isChecked()


def test_keys_are_unbound_after_stop(teach: TeachDock) -> None:
    teach.start()
    layer = teach.layer
    teach.click(teach.widget.setup.start)  # its text is Stop
    assert not layer.keymap
    assert teach.viewer.keymap
    teach.viewer.window.remove_dock_widget(teach.widget)
    assert not teach.viewer.keymap
    teach.viewer.window.add_dock_widget(teach.widget)


def test_every_key_is_listed_and_free(teach: TeachDock) -> None:
    from napari.components.viewer_model import ViewerModel
    from napari.layers import Image, Labels

    listed = teach.widget.keys.text()
    taken = {str(key) for kind in (ViewerModel, Labels, Image) for key in kind.class_keymap}
    for key in teach.widget._keys._keys:
        assert not key.description or key.name in listed
        assert key.key in {*"0123456789E"} or key.key.replace("-", "+") not in taken, key.key


def test_a_click_on_a_row_selects_the_class(teach: TeachDock) -> None:
    teach.start()
    row = teach.widget.classes.rows[0]
    teach.click(row.key)
    assert teach.layer.selected_label == 1
    teach.click(teach.widget.classes.rows[1].count)
    assert teach.layer.selected_label == 2
    teach.layer.selected_label = 1
    assert row.key.isChecked()


def test_classes_are_added_named_coloured_and_removed(teach: TeachDock, monkeypatch: pytest.MonkeyPatch) -> None:
    teach.start()
    classes = teach.widget.classes
    teach.click(classes.add_button)
    teach.wait(lambda: len(teach.state.classes) == 3)
    row = classes.rows[2]
    teach.qtbot.keyClick(row.name, Qt.Key_A, Qt.ControlModifier)
    teach.qtbot.keyClicks(row.name, "dust")
    teach.qtbot.keyClick(row.name, Qt.Key_Return)
    teach.wait(lambda: teach.state.classes[2].name == "dust")
    from qtpy.QtGui import QColor

    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#cc79a7"))
    teach.click(row.swatch)
    teach.wait(lambda: teach.state.classes[2].colour == "#cc79a7")
    assert "#cc79a7" in row.swatch.styleSheet()
    teach.press(Qt.Key_3)
    teach.stroke(*DARK)
    assert set(teach.painted()) == {3}
    teach.click(classes.rows[1].remove_button)
    teach.wait(lambda: len(teach.state.classes) == 2)
    assert set(teach.painted()) == {2}
    assert not row.isVisible()
    assert not classes.rows[0].remove_button.isEnabled()


def test_edits_of_a_removed_class_change_nothing(teach: TeachDock) -> None:
    teach.start()
    classes, before = teach.widget.classes, teach.state.classes
    classes.named.emit(len(before), "late")
    classes.coloured.emit(len(before), "#cc79a7")
    classes.removed.emit(0)  # at least two classes are needed
    teach.rest()
    assert teach.state.classes == before


def test_undo_and_redo_by_keys_and_buttons(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    both = teach.painted()
    teach.press(Qt.Key_U)
    teach.rest()
    assert set(teach.painted()) == {1}
    teach.press(Qt.Key_U, Qt.ShiftModifier)
    teach.rest()
    assert teach.painted() == both
    teach.click(teach.widget.history.undo)
    teach.rest()
    assert set(teach.painted()) == {1}
    history = teach.widget.history
    assert history.list.topLevelItem(1).font(0).bold()
    history.select(2)
    teach.click(history.go)
    teach.rest()
    assert teach.painted() == both


def test_a_commit_is_renamed_in_the_history(teach: TeachDock) -> None:
    teach.start()
    teach.stroke(*DARK)
    item = teach.widget.history.list.topLevelItem(1)
    item.setText(3, "good")
    teach.wait(lambda: teach.state.commits[1].name == "good")


def test_without_live_learn_now_fits_the_strokes(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_G)
    assert not teach.state.is_live
    assert "off" in teach.widget.learning.live.text()
    teach.stroke(*DARK)
    assert teach.state.turn == 0
    assert "1 new stroke" in teach.widget.learning.learn.text()
    teach.click(teach.widget.learning.learn)
    teach.wait(lambda: teach.state.turn == 1)


def test_a_candidate_is_accepted_by_key(teach: TeachDock) -> None:
    teach.viewer.layers["cells"].data[:, 50:60] = 99  # nearly between the two
    teach.start()
    network = teach.widget.learning.network
    network.setCurrentIndex(network.findData("ask"))
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    card = teach.widget.candidate_card
    teach.wait(card.isVisible)
    assert "80% → <b>90%</b>" in card.headline.text()
    assert "Better on the new strokes" in card.text.text()
    assert "px at y 40, x 55: background → object" in card.change_list.item(0).text()
    assert card.accept.isVisible()
    teach.click(card.changes_button)
    assert teach.viewer.layers["cells changes"].visible
    teach.press(Qt.Key_H)
    assert not teach.viewer.layers["cells changes"].visible
    teach.press(Qt.Key_K)
    teach.rest()
    assert teach.state.commits[-1].kind == "network"
    assert not card.accept.isVisible()
    assert "The update is in use" in card.text.text()


def test_uncertainty_next_place_and_overlay_by_keys(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_Q)
    teach.wait(lambda: "cells uncertainty" in teach.viewer.layers)
    assert teach.widget.uncertainty_button.isChecked()
    teach.press(Qt.Key_Q)
    assert not teach.viewer.layers["cells uncertainty"].visible
    teach.press(Qt.Key_N)
    teach.wait(lambda: "cells next place" in teach.viewer.layers)
    assert "Uncertainty here" in teach.widget.setup.message.text()
    teach.press(Qt.Key_W)
    assert not teach.viewer.layers["cells probabilities"].visible
    teach.press(Qt.Key_W)
    assert teach.viewer.layers["cells probabilities"].visible
    assert teach.viewer.layers[-1] is teach.layer


def test_two_states_are_compared(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    teach.widget.history.select(1, 2)
    teach.click(teach.widget.history.compare)
    bar = teach.widget.compare_bar
    teach.wait(bar.isVisible)
    layer = teach.viewer.layers["cells compared"]
    assert not layer.data[..., 3].any()
    teach.press(Qt.Key_J)
    assert layer.data[..., 3].any()
    assert bar.buttons["second"].isChecked()
    teach.click(bar.buttons["split"])
    assert teach.state.comparison.shown == "split"
    teach.click(bar.close_button)
    assert not layer.visible
    assert not bar.isVisible()


def test_pins_are_added_and_removed(teach: TeachDock) -> None:
    teach.start()
    teach.click(teach.widget.folds["pins"].heading)
    teach.click(teach.widget.pins.pin)
    teach.wait(lambda: teach.state.pins == ("pin 1",))
    teach.qtbot.keyClicks(teach.widget.pins.name, "left")
    teach.click(teach.widget.pins.pin)
    teach.wait(lambda: teach.state.pins == ("pin 1", "left"))
    teach.widget.pins.list.setCurrentRow(0)
    teach.click(teach.widget.pins.unpin)
    teach.wait(lambda: teach.state.pins == ("left",))


def test_the_model_is_saved(teach: TeachDock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teach.start()
    teach.stroke(*DARK)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    teach.click(teach.widget.history.save)
    teach.wait((tmp_path / "mine.safetensors").exists)
    teach.wait(lambda: "mine.safetensors" in teach.widget.setup.message.text())


def test_a_project_is_reopened(teach: TeachDock, monkeypatch: pytest.MonkeyPatch) -> None:
    teach.start()
    teach.stroke(*DARK)
    project, painted = teach.state.project, teach.painted()
    assert "cells.fcn" in teach.widget.setup.project.text()
    teach.wait(lambda: "saved 0 s ago" in teach.widget.setup.project.text())
    teach.click(teach.widget.setup.start)
    teach.rest()
    teach.viewer.layers["cells corrections"].data[:] = 0
    teach.viewer.layers["cells corrections"].name = "put aside"
    del teach.viewer.layers["put aside"].metadata["napari_fcn"]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: project)
    teach.click(teach.widget.setup.open)
    teach.wait(lambda: teach.state.is_open)
    teach.rest()
    assert teach.painted() == painted


def test_strokes_on_a_plane_of_a_stack_are_learnt(teach: TeachDock) -> None:
    stack = np.zeros((4, 80, 120), np.uint8)
    stack[:, :, 60:] = 200
    teach.viewer.add_image(stack, name="stack", scale=(3, 1, 1))
    teach.viewer.dims.set_point(0, 6)
    turn(teach.qtbot)
    teach.start()
    teach.press(Qt.Key_1)
    teach.stroke((2, 20, 10), (2, 20, 30))
    teach.press(Qt.Key_2)
    teach.stroke((2, 20, 90), (2, 20, 110))
    assert set(np.nonzero(teach.layer.data)[0]) == {2}
    assert (teach.overlay_classes[2, :, 60:] == 1).all()
    assert not teach.overlay_classes[0].any()
    teach.viewer.dims.set_point(0, 0)
    teach.wait(lambda: (teach.overlay_classes[0, :, 60:] == 1).all())


def test_moving_the_camera_predicts_the_visible_region(teach: TeachDock) -> None:
    teach.start()
    teach.press(Qt.Key_1)
    teach.stroke(*DARK)
    calls = teach.engine.calls
    camera_of(teach.viewer).zoom *= 8
    teach.wait(lambda: teach.engine.calls > calls)
    view = teach.engine.views[-1]
    assert view.shape[0] < 40
    assert view.shape[1] < 60


def test_teaching_restarts_after_the_corrections_layer_is_deleted(teach: TeachDock) -> None:
    teach.start()
    teach.stroke(*DARK)
    painted = teach.painted()
    teach.viewer.layers.selection.active = teach.layer
    teach.press(Qt.Key_Delete, Qt.ControlModifier)
    assert "was removed" in teach.widget.setup.message.text()
    assert teach.widget.setup.start.text() == "Start"
    teach.rest()
    teach.start()
    assert teach.painted() == painted


def test_closing_the_dock_keeps_layers_and_strokes(teach: TeachDock) -> None:
    teach.start()
    project = teach.state.project
    teach.draw(*DARK)
    layer = teach.layer
    teach.viewer.window.remove_dock_widget(teach.widget)
    teach.wait(lambda: not teach.widget.controller.is_busy)
    assert layer in teach.viewer.layers
    assert Project.open_read_only(project).strokes == 1
    teach.viewer.window.add_dock_widget(teach.widget)
    teach.start()
    assert teach.state.project == project


def test_napari_opens_the_dock_from_its_menu(
    make_napari_viewer: Callable[..., Any], fake_engine: object, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    monkeypatch.setattr(teach_module, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-fcn", "Teach (FCN)")
    assert isinstance(widget, TeachWidget)
    assert not widget.setup.start.isEnabled()
    assert widget.setup.message.text() == "Open or select an image to teach on."


def test_the_window_moves_with_the_camera(teach: TeachDock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(viewport, "MAX_WINDOW_SIDE", 40)
    camera_of(teach.viewer).center, camera_of(teach.viewer).zoom = (0, 20, 20), 20
    teach.wait(lambda: teach.viewer.layers["cells"].corner_pixels[1].max() < 60)  # the canvas has been drawn
    teach.start()
    teach_layers = teach.widget.controller.layers
    assert teach_layers is not None
    assert teach_layers.canvas.window.shape == (40, 40)
    teach.press(Qt.Key_1)
    teach.stroke((15, 15), (15, 22))
    painted = teach.painted()[1]
    place = Region((20, 100), (24, 104))
    teach.widget.controller.go_to_change(Change(place, 16, 0, 1))
    teach.wait(lambda: teach_layers.canvas.window.contains(place))
    teach.rest()
    assert teach.painted() == {}
    teach.press(Qt.Key_2)
    start = teach_layers.canvas.window.start
    teach.stroke(*((y - start[0], x - start[1]) for y, x in [(20, 100), (20, 104)]))
    assert teach.painted()[2] == teach.engine.samples.counts(2)[1] > 0
    assert teach.engine.samples.counts(2)[0] == painted
    assert (teach.engine.samples.coordinates()[teach.engine.samples.class_index == 1][:, 1] > 90).all()
    teach.widget.controller.go_to_change(Change(Region((14, 14), (18, 24)), 40, 0, 1))
    teach.wait(lambda: teach_layers.canvas.window.start == (0, 0))
    assert teach.painted() == {1: painted}


def test_another_pixel_size_is_shown_before_the_start(teach: TeachDock, make_checkpoint: Callable[..., Path]) -> None:
    layer, line = teach.viewer.layers["cells"], teach.widget.source.image.line
    teach.widget.source.model.open_file(make_checkpoint(NetSpec(width=4, depth=1, classes=3), (0.5, 0.5)))
    assert "measure" not in line.text()
    layer.units, layer.scale = "um", (0.25, 0.25)
    teach.wait(lambda: "image is 0.25 µm, that of the training images 0.5 µm" in line.text())
    assert "more strokes" in line.text()


def test_the_dock_fits_320_pixels(teach: TeachDock, model: MakeModel) -> None:
    teach.viewer.layers["cells"].name = "an_image_with_quite_a_long_name_as_files_have_them" * 2
    teach.widget.source.model.open_file(model())
    inside = teach.widget.setup.parentWidget()
    assert inside.minimumSizeHint().width() <= 320
    teach.widget.source.model.choose_other(FILTERS)
    teach.start()
    for fold in (*teach.widget.folds.values(), teach.widget.advanced):
        fold.set_open(True)
    network = teach.widget.learning.network
    network.setCurrentIndex(network.findData("ask"))
    teach.stroke(*DARK)
    teach.press(Qt.Key_2)
    teach.stroke(*BRIGHT)
    turn(teach.qtbot)
    assert inside.minimumSizeHint().width() <= 320


def test_every_control_has_an_accessible_name(teach: TeachDock) -> None:
    teach.start()
    teach.stroke(*DARK)
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    controls = [control for kind in kinds for control in teach.widget.findChildren(kind)]
    named = [control for control in controls if control.accessibleName() or getattr(control, "text", str)()]
    inner = [control for control in controls if isinstance(control.parent(), QComboBox)]
    assert set(controls) == {*named, *inner}


def test_a_damaged_model_shows_an_error(teach: TeachDock, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no model")
    teach.widget.source.model.open_file(path)
    assert "broken.safetensors" in teach.widget.setup.error.text()
    assert teach.widget.source.model.other == FILTERS
    assert isinstance(teach.widget.controller, DockController)


def test_destroying_the_controller_closes_the_project(teach: TeachDock) -> None:
    teach.start()
    teach.stroke(*DARK)
    writer = teach.widget.controller._lifecycle.guard.writer
    assert writer is not None
    teach.widget.controller._lifecycle.guard.close()  # as Qt does
    assert writer._wait(10)
    with Project.open(teach.state.project) as found:
        assert found.strokes == 1
