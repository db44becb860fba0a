"""Layers from image and result files: small ones in memory, large ones read as they are displayed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_fcn.geometry import Axes, Region
from napari_fcn.gui._layers import add_image, add_results, files, find_layer, fit_view, open_files
from napari_fcn.gui._layers.colorize import colorize
from napari_fcn.io import ResultMeta, open_result

CLASSES = (("background", "#000000"), ("class 1", "#56b4e9"), ("class 2", "#e69f00"))
SHAPE = (4, 40, 48)
AXES = Axes.guess(SHAPE, 2, ("z", "y", "x"))


@pytest.fixture
def probabilities(rng: np.random.Generator) -> np.ndarray:
    logits = rng.normal(size=(3, *SHAPE)).astype(np.float32)
    return np.exp(logits) / np.exp(logits).sum(0)


def write(folder: Path, probabilities: np.ndarray, suffix: str) -> dict[str, Path]:
    meta = ResultMeta(("z", "y", "x"), (2.0, 0.5, 0.5), ("micrometer",) * 3, CLASSES, {})
    blocks: dict[str, Any] = {
        "classes": probabilities.argmax(0).astype(np.uint8),
        "objects": np.arange(np.prod(SHAPE), dtype=np.uint32).reshape(SHAPE),
        "probabilities": probabilities,
        "probabilities8": np.rint(probabilities * 255).astype(np.uint8),
    }
    paths = {kind: folder / f"a_{kind}{suffix}" for kind in blocks}
    for kind, block in blocks.items():
        with open_result(paths[kind], kind, block.shape, block.dtype, meta) as writer:
            writer.write(Region.whole(SHAPE), block)
    return paths


def image(folder: Path) -> Path:
    pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    spacing = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(folder / "a.ome.tif", pixels, metadata={"axes": "ZYX", **spacing})
    return folder / "a.ome.tif"


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("limit", [2**28, 0])
def test_results_in_memory_and_on_disk_are_aligned_with_their_image(
    tmp_path: Path, probabilities: np.ndarray, monkeypatch: pytest.MonkeyPatch, suffix: str, limit: int
) -> None:
    monkeypatch.setattr(files, "MAX_IN_MEMORY_BYTES", limit)
    paths = write(tmp_path, probabilities, suffix)
    kinds = {kind: paths[kind] for kind in ("classes", "objects", "probabilities")}
    viewer = ViewerModel()
    found = open_files(image(tmp_path), kinds, AXES, CLASSES, rgb=False)
    layer = add_image(viewer, found, "a")
    add_results(viewer, found, layer)
    assert tuple(layer.scale) == (2.0, 0.5, 0.5)
    assert isinstance(found.results["probabilities"], np.ndarray) == (limit > 0)
    assert layer.source.path == str(tmp_path / "a.ome.tif")
    data = {kind: find_layer(viewer, layer, kind).data for kind in kinds}
    shown = {kind: np.asarray(value) for kind, value in data.items()}
    np.testing.assert_array_equal(shown["classes"], probabilities.argmax(0))
    np.testing.assert_array_equal(shown["objects"].ravel(), np.arange(np.prod(SHAPE)))
    colours = colorize(probabilities, [colour for _, colour in CLASSES])
    np.testing.assert_allclose(shown["probabilities"].astype(int), colours, atol=1)
    assert [one.name for one in viewer.layers if one.visible] == ["a", "a objects"]


def test_eight_bit_probabilities_have_the_same_colours(tmp_path: Path, probabilities: np.ndarray) -> None:
    paths = write(tmp_path, probabilities, ".ome.tif")
    shown = [
        open_files(None, {kind: paths[kind]}, AXES, CLASSES, rgb=False).results[kind].astype(int)
        for kind in ("probabilities", "probabilities8")
    ]
    assert np.abs(shown[0] - shown[1]).mean() < 1


def test_existing_results_are_not_added_twice(tmp_path: Path, probabilities: np.ndarray) -> None:
    paths = write(tmp_path, probabilities, ".ome.tif")
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(SHAPE))
    for _ in range(2):
        add_results(viewer, open_files(None, {"classes": paths["classes"]}, AXES, CLASSES, rgb=False), layer)
    assert len(viewer.layers) == 2


def test_sliders_move_only_if_they_are_outside_the_image() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 8, 8)))
    short = viewer.add_image(np.zeros((4, 8, 8)))
    viewer.dims.set_point(0, 3)
    fit_view(viewer, short)
    assert viewer.dims.point[0] == 3
    viewer.dims.set_point(0, 15)
    fit_view(viewer, short)
    assert -0.5 <= viewer.dims.point[0] <= 3.5


def test_image_and_results_have_the_origin_of_the_file(tmp_path: Path, probabilities: np.ndarray) -> None:
    path = image(tmp_path)
    meta = ResultMeta(("z", "y", "x"), (2.0, 0.5, 0.5), ("micrometer",) * 3, CLASSES, {}, (8.0, 100.0, 200.0))
    pixels = np.arange(np.prod(SHAPE), dtype=np.uint32).reshape(SHAPE)
    with open_result(path, "objects", SHAPE, np.uint32, meta, overwrite=True) as writer:
        writer.write(Region.whole(SHAPE), pixels)
    paths = write(tmp_path, probabilities, ".ome.zarr")
    viewer = ViewerModel()
    found = open_files(path, {"classes": paths["classes"]}, AXES, CLASSES, rgb=False)
    layer = add_image(viewer, found, "a")
    add_results(viewer, found, layer)
    result = find_layer(viewer, layer, "classes")
    assert result is not None
    for shown in (layer, result):
        assert tuple(shown.translate) == (8, 100, 200)
