from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_fcn.gui._controllers import DockController, ModelEntry
from napari_fcn.gui._controllers.model_catalog import read_entry
from napari_fcn.gui._widgets.form import Form
from napari_fcn.gui._widgets.source_panel import NO_MODEL, Source, SourcePanel
from napari_fcn.nets.spec import NetSpec
from napari_fcn.settings import PredictSettings

MakeModel = Callable[..., Path]
NEW = {"filters only": "no network", "new video": "a network for movies"}


@dataclass(frozen=True)
class State:
    """The state of a controller."""

    error: str = ""


class Panel:
    """A source panel over a viewer, and all values that it has signalled."""

    def __init__(self, qtbot: QtBot, **options: Any) -> None:
        self.viewer = ViewerModel()
        self.controller = DockController(self.viewer, State())
        self.settings = Form(PredictSettings)
        self.widget = SourcePanel(self.viewer, self.controller, self.settings, others=NEW, **options)
        for part in (self.settings, self.widget):
            qtbot.addWidget(part)
            part.show()
        self.values: list[Source] = []
        self.widget.changed.connect(self.values.append)
        self.widget.connect_viewer()

    def add(self, *shape: int, **options: Any) -> Any:
        return self.viewer.add_image(np.zeros(shape, np.uint8), **options)


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[Panel]:
    panel = Panel(qtbot, purpose="to segment", advice="Paint more.")
    yield panel
    panel.widget.disconnect_viewer()


def typed(panel: Panel, model: ModelEntry | None, tile: str) -> str:
    """Choose a model, type the length of a tile, and return why the dock cannot run."""
    panel.widget.model.choose(model)
    panel.settings.fields["tile"].editor.setText(tile)
    return panel.widget.value.problem


def test_the_problem_is_the_first_of_image_model_settings_and_axes(panel: Panel, model: MakeModel) -> None:
    volumes = read_entry(model(3))
    assert typed(panel, None, "big") == "Open or select an image to segment."
    panel.add(20, 30, name="cells")
    assert typed(panel, None, "big") == NO_MODEL
    assert typed(panel, volumes, "big").startswith("Tile: ")
    assert "3" in typed(panel, volumes, "")
    assert typed(panel, read_entry(model(2)), "") == ""


def test_without_an_image_list_only_a_model_is_needed(qtbot: QtBot, model: MakeModel) -> None:
    panel = Panel(qtbot)
    assert not panel.widget.image.isVisible()
    assert typed(panel, None, "") == NO_MODEL
    assert typed(panel, read_entry(model()), "") == ""
    panel.widget.disconnect_viewer()


def test_each_edit_emits_all_choices_once(panel: Panel, model: MakeModel) -> None:
    layer, chosen = panel.add(2, 20, 30, name="cells"), read_entry(model())
    panel.widget.model.choose(chosen)
    panel.values.clear()
    panel.widget.axes.setText("CYX")
    (value,) = panel.values
    assert (value.layer, value.model, value.axes, value.info.channels) == (
        layer,
        chosen,
        ("c", "y", "x"),
        ("channel 0", "channel 1"),
    )
    panel.settings.fields["channel"].set_value(1)
    assert panel.values[-1].request is not None
    assert panel.values[-1].request.settings.channel == 1
    panel.widget.axes.setText("zyx")
    assert panel.widget.value.settings == PredictSettings()  # the channel is gone with its axis


def test_an_edit_clears_the_error(panel: Panel) -> None:
    panel.controller.state = State("It went wrong.")
    panel.add(20, 30)
    assert panel.controller.state.error  # the user has changed nothing
    panel.widget.axes.setText("yx")
    assert not panel.controller.state.error


def test_a_locked_panel_is_disabled_and_hides_descriptions(panel: Panel) -> None:
    panel.add(20, 30)
    panel.widget.model.choose_other("new video")
    assert panel.widget.image.line.isVisible()
    panel.widget.set_locked(True)
    assert not any(part.isEnabled() for part in (panel.widget.image, panel.widget.model, panel.widget.axes))
    assert not panel.widget.image.line.isVisible()
    assert not panel.widget.model.line.isVisible()
    panel.widget.set_locked(False)
    assert panel.widget.model.line.isVisible()


def test_image_and_model_of_a_session_are_shown_until_it_ends(panel: Panel) -> None:
    first, second = panel.add(4, 20, 30, name="first"), panel.add(20, 30, name="second")
    panel.widget.hold(first, None, "new video", ("t", "y", "x"))
    assert panel.widget.value.axes == ()  # as guessed
    panel.widget.hold(first, None, "filters only", ("c", "y", "x"))
    panel.viewer.layers.selection.active = second
    value = panel.widget.value
    assert (value.layer, value.other, value.axes) == (first, "filters only", ("c", "y", "x"))
    panel.widget.hold(None)
    assert panel.widget.value.layer is second


def test_a_different_pixel_size_gives_advice(panel: Panel, make_checkpoint: Callable[..., Path]) -> None:
    panel.add(20, 30, scale=(0.1, 0.1), units=("um", "um"))
    panel.widget.model.open_file(make_checkpoint(NetSpec(width=4, depth=1, classes=3), (0.5, 0.5)))
    assert panel.widget.image.line.text().endswith("Paint more.")


def test_a_typed_device_is_accepted(panel: Panel, qtbot: QtBot) -> None:
    editor = panel.settings.fields["device"].editor
    editor.setFocus()
    editor.lineEdit().selectAll()
    qtbot.keyClicks(editor, "cuda:1")
    qtbot.keyClick(editor, Qt.Key_Tab)
    assert panel.widget.value.settings.device == "cuda:1"
