"""Tiny models, and a dock in a real viewer."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gui.brush import TeachDock
from gui.clocks import LONG, turn
from gui.docks import Dock, MakeModel
from gui.fakes import FakeTeaching
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot

from napari_fcn.gui import teach as teach_module
from napari_fcn.gui._controllers import FILTERS, Factories
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.gui.teach import TeachWidget
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec

for wait in (QtBot.waitUntil, QtBot.waitSignal, QtBot.waitSignals, QtBot.waitExposed, QtBot.waitActive):
    wait.__kwdefaults__["timeout"] = LONG  # five seconds are not enough on a machine that is busy with other things


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """Let the garbage collector ignore what a test left in caches, after the viewer has collected and closed."""
    yield
    gc.freeze()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Return a function that makes the file of a tiny untrained model."""
    folder = tmp_path_factory.mktemp("models")

    def make(ndim: int = 2, channels: int = 1, classes: int = 3) -> Path:
        path = folder / f"tiny{ndim}d{channels}c{classes}k.safetensors"
        if not path.exists():
            spec = NetSpec(ndim=ndim, channels=channels, classes=classes, width=4, depth=1)
            net = spec.build(torch.Generator().manual_seed(0))
            Checkpoint.of(net, plain_recipe(path.stem, spec, "made for a test")).save(path)
        return path

    return make


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes the file of an untrained model with a given pixel size of the training images."""

    def make(spec: NetSpec, voxel_size: tuple[float, ...] = ()) -> Path:
        path = tmp_path / f"{spec.family}{spec.ndim}.safetensors"
        info = replace(plain_recipe(path.stem, spec, "made for a test"), voxel_size=voxel_size)
        Checkpoint.of(spec.build(torch.Generator().manual_seed(0)), info).save(path)
        return path

    return make


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (96, 80), np.uint8)


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, model: MakeModel) -> Iterator[Dock]:
    viewer = make_napari_viewer(show=True)
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment (FCN)", area="right")
    widget.source.model.open_file(model())
    dock = Dock(viewer, widget, qtbot)
    yield dock
    dock.wait_for_rest()


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeTeaching]:
    """A fast fake engine, and a folder for projects."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(FakeTeaching, "made", [], raising=False)
    monkeypatch.setattr(FakeTeaching, "prefetched", [], raising=False)
    monkeypatch.setattr(FakeTeaching, "gate", None)
    monkeypatch.setattr(FakeTeaching, "error", None)
    return FakeTeaching


@pytest.fixture
def teach(
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    fake_engine: type[FakeTeaching],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TeachDock]:
    """The Teach dock over an image that is dark on the left and bright on the right, with filters only chosen."""
    monkeypatch.setattr(teach_module, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer(show=True)
    pixels = np.zeros((80, 120), np.uint8)
    pixels[:, 60:] = 200
    viewer.add_image(pixels, name="cells")
    widget = TeachWidget(viewer)
    widget.controller._factories = Factories(teach=fake_engine)
    widget.source.model.choose_other(FILTERS)
    widget.learning.network.setCurrentIndex(widget.learning.network.findData("off"))
    viewer.window.add_dock_widget(widget, name="Teach (FCN)", area="right")
    dock = TeachDock(viewer, widget, qtbot)
    with qtbot.waitExposed(viewer.window._qt_window):
        pass
    turn(qtbot)  # the canvas finds its size
    viewer.reset_view()
    turn(qtbot)
    yield dock
    widget.controller.stop()
    dock.wait(lambda: not widget.controller.is_busy)
