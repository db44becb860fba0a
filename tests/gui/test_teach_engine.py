"""The Teach dock with the real engine, from the first stroke to the saved model."""

from pathlib import Path

import numpy as np
import pytest
from gui.brush import TeachDock
from gui.docks import MakeModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_fcn.gui._controllers import Factories
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets.validation import FAMILIES

STROKES = {Qt.Key_1: ((20, 10), (20, 30)), Qt.Key_2: ((20, 90), (20, 110))}
MORE = {Qt.Key_1: ((60, 10), (60, 30)), Qt.Key_2: ((60, 90), (60, 110))}


def paint(teach: TeachDock, strokes: dict[int, tuple[tuple[int, int], ...]]) -> None:
    for key, places in strokes.items():
        teach.press(key)
        turn = teach.state.turn
        teach.draw(*places)  # fine-tuning of the whole network continues
        teach.wait(lambda turn=turn: teach.state.turn > turn)


@pytest.mark.parametrize("is_network", [False, True])
def test_from_the_first_stroke_to_the_saved_model(
    teach: TeachDock, model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_network: bool
) -> None:
    teach.widget.controller._factories = Factories()
    if is_network:
        teach.widget.source.model.open_file(model(2, 1, 2))
        network = teach.widget.learning.network
        network.setCurrentIndex(network.findData("automatic"))
    noise = np.random.default_rng(0).integers(0, 30, (80, 120), np.uint8)
    image = teach.viewer.layers["cells"]
    image.data = image.data + noise
    teach.start()
    paint(teach, STROKES)
    teach.rest()
    assert (teach.overlay_classes[10:70, 5:50] == 0).mean() > 0.9
    assert (teach.overlay_classes[10:70, 70:115] == 1).mean() > 0.9
    assert teach.widget.controller.latencies
    paint(teach, MORE)
    teach.rest()
    assert is_network == (teach.state.update is not None)
    painted, present = teach.painted(), teach.state.present
    teach.press(Qt.Key_U)
    teach.wait(lambda: teach.state.present != present)
    teach.rest()
    teach.press(Qt.Key_U, Qt.ShiftModifier)
    teach.wait(lambda: teach.state.present == present)
    teach.rest()
    assert teach.painted() == painted
    file = tmp_path / "mine.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    teach.click(teach.widget.history.save)
    teach.wait(file.exists)
    teach.rest()
    assert len(Checkpoint.load(file).info.classes) == 2
    project = teach.state.project
    teach.click(teach.widget.setup.start)  # its text is Stop
    teach.rest()
    layer = teach.viewer.layers["cells corrections"]
    layer.name = "put aside"
    layer.metadata.clear()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: project)
    teach.click(teach.widget.setup.open)
    teach.wait(lambda: teach.state.is_open or bool(teach.state.error))
    assert not teach.state.error
    teach.rest()
    assert teach.painted() == painted
    assert (teach.overlay_classes[10:70, 70:115] == 1).mean() > 0.9


@pytest.mark.parametrize("family", ["unet", "fcn", "resunet", "dilated", "deeplab"])
def test_a_new_network_is_taught_in_the_dock(teach: TeachDock, family: str) -> None:
    teach.widget.controller._factories = Factories()
    teach.widget.source.model.choose_other(f"new {family}")
    assert teach.widget.source.model.line.text() == FAMILIES[family]
    teach.start()
    paint(teach, STROKES)
    teach.rest()
    assert (teach.overlay_classes[10:70, 5:50] == 0).mean() > 0.9
    found = Checkpoint.load(Path(teach.state.project) / "start.safetensors").info.spec
    assert (found.family, found.ndim, found.original) == (family, 2, 0)
    teach.click(teach.widget.setup.start)  # its text is Stop
    teach.rest()
    teach.click(teach.widget.setup.start)  # resumes the project
    teach.wait(lambda: teach.state.is_open or bool(teach.state.error))
    assert not teach.state.error
    teach.rest()


def test_a_new_network_for_movies_has_a_time_axis(teach: TeachDock) -> None:
    teach.widget.controller._factories = Factories()
    teach.viewer.layers["cells"].data = np.stack([teach.viewer.layers["cells"].data] * 4)
    teach.widget.source.model.choose_other("new video")
    teach.start()
    assert teach.widget.controller.axis_names() == ("t", "y", "x")
    found = Checkpoint.load(Path(teach.state.project) / "start.safetensors").info.spec
    assert (found.ndim, found.time) == (3, 0)


def test_a_new_network_for_movies_needs_a_movie(teach: TeachDock) -> None:
    teach.widget.source.model.choose_other("new video")
    assert not teach.widget.setup.start.isEnabled()
    assert "needs time and 2 axes" in teach.widget.setup.message.text()
