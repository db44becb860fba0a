"""Tiny models, and a dock in a real viewer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gui.docks import Dock, MakeModel
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot

from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec


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
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (96, 80), np.uint8)


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, model: MakeModel) -> Iterator[Dock]:
    viewer = make_napari_viewer(show=True)
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment (FCN)", area="right")
    widget.model.open_file(model())
    dock = Dock(viewer, widget, qtbot)
    yield dock
    dock.wait_for_rest()
