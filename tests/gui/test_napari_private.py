"""Every dock opens and runs with a napari that lacks a private name."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.docks import Dock
from napari.layers import Image
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot

from napari_fcn import gui
from napari_fcn.geometry import Axes, Region
from napari_fcn.gui._layers import Canvas, Corrections, Overlay, add_image, napari_private, open_files
from napari_fcn.gui._layers.napari_private import NAMES
from napari_fcn.gui.batch import BatchWidget
from napari_fcn.gui.field import FieldWidget
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.gui.teach import TeachWidget

CLASSES = (("background", "#000000"), ("cell", "#56b4e9"))
LOOK_UP = napari_private.look_up


def remove(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Remove names from napari."""

    def look_up(owner: Any, name: str, default: Any = None) -> Any:
        return default if name in names else LOOK_UP(owner, name, default)

    monkeypatch.setattr(napari_private, "look_up", look_up)


def test_the_segment_dock_runs_while_some_private_names_are_missing(
    dock: Dock, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.viewer.add_image(np.stack([image, image]))
    for names in (NAMES[::3], NAMES[1::3], NAMES[2::3]):  # each of them together with others
        with monkeypatch.context() as patch:
            remove(patch, *names)
            assert "Mpx/s" in dock.run().line, names
            assert dock.layer("classes").data.shape == (2, *image.shape), names
            assert dock.layer("classes").data.any(), names
            dock.wait_for_rest()
            del dock.viewer.layers[1:]


def test_all_docks_open_and_layers_work_without_all_private_names(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remove(monkeypatch, *NAMES)
    viewer = make_napari_viewer(show=True)
    docks = [make(viewer) for make in (SegmentWidget, BatchWidget, TeachWidget, FieldWidget)]
    for dock in docks:
        viewer.window.add_dock_widget(dock)
    np.save(tmp_path / "a.npy", np.zeros((40, 60), np.uint8))
    opened = open_files(tmp_path / "a.npy", {}, Axes(("y", "x"), ("y", "x")), CLASSES, rgb=False)
    source = add_image(viewer, opened, "a")
    assert source.source.path is None
    corrections = Corrections(viewer, source, None, (40, 60), Region((0, 0), (20, 20)), CLASSES)
    assert corrections.move_window(Region((10, 10), (30, 30)))
    corrections.activate_brush()
    Overlay(viewer, source, None, Canvas.empty((40, 60)), CLASSES).finish()
    assert [layer.name for layer in viewer.layers] == ["a", "a probabilities", "a classes", "a corrections"]
    qtbot.waitUntil(lambda: not any(dock.controller.is_busy for dock in docks))


def test_results_are_shown_in_3d_without_slicing_of_hidden_layers(
    make_napari_viewer: Callable[..., Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove(monkeypatch, "_slice_dims")
    viewer = make_napari_viewer(show=True)
    source = viewer.add_image(np.zeros((40, 60), np.uint8))
    viewer.dims.ndisplay = 3
    overlay = Overlay(viewer, source, None, Canvas.empty((40, 60)), CLASSES)
    overlay.finish()
    assert sum(layer.visible for layer in overlay.layers.values()) == 1


def test_a_missing_module_is_handled_like_a_missing_name() -> None:
    assert napari_private.import_name("napari.layers._no_such_module", "layer_source") is None
    assert napari_private.import_name("napari.layers._source", "layer_source") is not None


def test_a_new_layer_stores_its_path(tmp_path: Path) -> None:
    with napari_private.file_source(tmp_path / "a.tif"):
        assert Image(np.zeros((4, 4))).source.path == str(tmp_path / "a.tif")


def private_uses(path: Path) -> Iterator[str]:
    """Yield the uses of private names of napari or vispy in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("napari", "vispy"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if any(name.startswith("_") or name in NAMES for name in names):
                yield f"{path.name}:{node.lineno} imports from {node.module}"
        elif isinstance(node, ast.Attribute) and node.attr in NAMES and ast.unparse(node.value) != "self":
            yield f"{path.name}:{node.lineno} uses {node.attr}"


def test_private_names_are_used_in_one_module() -> None:
    folder = Path(gui.__file__).parent
    modules = [path for path in folder.rglob("*.py") if path.name != "napari_private.py"]
    uses = [use for path in modules for use in private_uses(path)]
    assert [use.split()[-1] for use in uses] == ["flush_commands"], uses  # which gl_context.py replaces
    uses = list(private_uses(folder / "_layers" / "napari_private.py"))
    assert {use.split()[-1] for use in uses} == {"_activate_on_insert", "_view_direction"}, uses
