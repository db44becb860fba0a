"""Output paths of the docks: next to images, never into or over inputs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from gui.docks import MakeModel
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_fcn.errors import InputAtRiskError, OutputError
from napari_fcn.gui._controllers import Request, SegmentController
from napari_fcn.gui._controllers.output_paths import file_name, unused_paths
from napari_fcn.gui._controllers.teach.commands import Save
from napari_fcn.gui._controllers.teach.open_session import Factories, SessionFactory
from napari_fcn.gui._layers import Canvas, LayerImage
from napari_fcn.io import ResultMeta
from napari_fcn.io.incremental_zarr import IncrementalZarr
from napari_fcn.models.binding import Network, bind_array
from napari_fcn.settings import OutputSettings, TeachSettings


@pytest.fixture
def level(tmp_path: Path) -> Path:
    """The only level of an OME-Zarr."""
    group = zarr.open_group(str(tmp_path / "image.zarr"), mode="w")
    group.create_array("0", shape=(16, 16), dtype="u1")[...] = 7
    return tmp_path / "image.zarr" / "0"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("layer", "source", "name"),
    [
        ("a_[1]", "/x/a_[1].tif", "a_[1]"),
        ("a.ome", "/x/a.ome.tif", "a.ome"),
        ("a b/c:d", "/x/other.tif", "a_b_c_d"),
        ("my cells", "", "my_cells"),
        ("..", "", "image"),
    ],
)
def test_results_have_the_name_of_the_file_or_a_portable_one(layer: str, source: str, name: str) -> None:
    assert file_name(layer, source) == name


def test_results_of_a_level_are_saved_next_to_the_ome_zarr(level: Path) -> None:
    (path,) = unused_paths(OutputSettings(("classes",)), "cells", str(level)).values()
    assert path == level.parent.parent / "cells_classes.ome.zarr"


def test_the_files_of_a_layer_are_known(level: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    stored = LayerImage("a", zarr.open_array(str(level), mode="r"), (), False, "")
    mapped = LayerImage("b", np.load(tmp_path / "a.npy", mmap_mode="r"), (), False, "https://x/y.tif")
    assert stored.files == (level,)
    assert mapped.files == (tmp_path / "a.npy",)
    assert LayerImage("c", np.zeros((4, 4)), (), False, "/x/c.tif").files == (Path("/x/c.tif"),)


def test_segment_writes_nothing_into_the_ome_zarr_of_a_layer(level: Path, model: MakeModel, qtbot: QtBot) -> None:
    viewer, before = ViewerModel(), contents(level.parent)
    controller = SegmentController(viewer)
    controller.connect()
    layer = viewer.add_image(zarr.open_array(str(level), mode="r"), name="cells", contrast_limits=(0, 9))
    controller.predict(
        layer, Request(model(), output=OutputSettings(("classes", "probabilities"), str(level.parent / "results")))
    )
    assert "would be written into" in controller.state.error
    assert "Choose another place for it" in controller.state.error
    controller.shutdown()
    qtbot.waitUntil(lambda: not controller.is_busy, timeout=30_000)
    assert contents(level.parent) == before


def opening(level: Path, model: Path | None, **more: Any) -> SessionFactory:
    image = LayerImage("cells", np.zeros((16, 16), np.uint8), ("y", "x"), False, str(level))
    bound = bind_array((16, 16), Network(2), "yx")
    canvas = Canvas.empty((16, 16))
    return SessionFactory(image, bound, model, TeachSettings(), canvas, None, None, **more)  # type: ignore[arg-type]


def test_a_project_is_created_next_to_the_ome_zarr(level: Path) -> None:
    before = contents(level.parent)
    how = opening(level, None)
    project = Factories().create(how, None)
    project.close()
    assert project.path == level.parent.parent / "image.fcn"
    assert contents(level.parent) == before


@pytest.mark.parametrize(
    "name", ["image.zarr/0/m.safetensors", "image.zarr", "start.safetensors", "p.fcn/start.safetensors"]
)
def test_a_model_does_not_overwrite_inputs_of_teaching(level: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "p.fcn").mkdir()
    for path in (tmp_path / "start.safetensors", tmp_path / "p.fcn" / "start.safetensors"):
        path.write_text("weights")
    before = contents(tmp_path)
    how = opening(level, tmp_path / "start.safetensors")
    never = SimpleNamespace(checkpoint=lambda number: SimpleNamespace(save=lambda path: path.write_text("taught")))
    lesson: Any = SimpleNamespace(inputs=how.inputs(str(tmp_path / "p.fcn")), teaching=never)
    with pytest.raises(InputAtRiskError):
        list(Save(tmp_path / name, 0).run(lesson))
    assert contents(tmp_path) == before


def test_a_stored_result_does_not_replace_an_existing_file(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.txt").touch()
    meta = ResultMeta(("y", "x"), (1.0, 1.0), ("pixel", "pixel"))
    with pytest.raises(OutputError, match="exists"):
        IncrementalZarr(tmp_path / "a.zarr", "classes", 0, (16, 16), (16, 16), meta)
    assert [path.name for path in (tmp_path / "a.zarr").iterdir()] == ["thesis.txt"]
