"""Result files dropped onto napari open with class names and colours; other files are left to other readers."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from npe2 import PluginManager, PluginManifest

import napari_fcn
from napari_fcn.geometry import Region
from napari_fcn.gui._layers import is_segmentable
from napari_fcn.gui._reader import get_reader
from napari_fcn.io import ResultMeta, open_result

CLASSES = (("background", "#000000"), ("nucleus", "#56b4e9"), ("rim", "#e69f00"))
SHAPE = (20, 30)
MANIFEST = PluginManifest.from_file(Path(napari_fcn.__file__).with_name("napari.yaml"))


def written(path: Path, kind: str) -> Path:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, SHAPE, np.uint8)
    blocks = {
        "classes": classes,
        "objects": np.arange(600, dtype=np.uint32).reshape(SHAPE),
        "probabilities": np.stack([classes == k for k in range(3)]).astype(np.float32),
        "probabilities8": np.stack([classes == k for k in range(3)]).astype(np.uint8) * np.uint8(255),
    }
    meta = ResultMeta(("y", "x"), (0.5, 0.25), ("micrometer",) * 2, CLASSES, {}, (3.0, 4.0))
    with open_result(path, kind, blocks[kind].shape, blocks[kind].dtype, meta) as writer:
        writer.write(Region.whole(SHAPE), blocks[kind])
    return path


def opened(path: Path) -> Layer:
    read = get_reader(str(path))
    assert read is not None
    (data,) = read(str(path))
    layer = Layer.create(*data)
    ViewerModel().add_layer(layer)
    return layer


def test_class_files_open_as_aligned_labels_with_names_and_colours(tmp_path: Path) -> None:
    layer = opened(written(tmp_path / "a_classes.ome.tif", "classes"))
    assert isinstance(layer, Labels)
    assert layer.name == "a_classes"
    assert list(layer.features["class"]) == [name for name, _ in CLASSES]
    np.testing.assert_allclose(layer.get_color(1)[:3], np.array([0x56, 0xB4, 0xE9]) / 255, atol=0.01)
    assert layer.get_color(0) is None  # nothing is drawn
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (3, 4))
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2


@pytest.mark.parametrize("kind", ["objects", "probabilities", "probabilities8"])
def test_probability_and_object_files_open_as_their_layer_types(tmp_path: Path, kind: str) -> None:
    layer = opened(written(tmp_path / f"a_{kind}.ome.tif", kind))
    assert isinstance(layer, Labels if kind == "objects" else Image)
    assert tuple(layer.data.shape[:2]) == SHAPE
    assert not is_segmentable(layer)


def test_files_of_other_software_are_ignored(tmp_path: Path) -> None:
    foreign = tmp_path / "b_classes.ome.tif"
    tifffile.imwrite(foreign, np.zeros(SHAPE, np.uint8), ome=True)
    damaged = tmp_path / "c_classes.ome.tif"
    damaged.write_bytes(written(tmp_path / "a_classes.ome.tif", "classes").read_bytes()[:200])
    for path in (foreign, damaged, tmp_path / "none_classes.ome.tif", tmp_path):
        assert get_reader(str(path)) is None
    assert get_reader([str(tmp_path / "a_classes.ome.tif"), str(foreign)]) is None


def test_the_manifest_matches_only_names_of_result_files(tmp_path: Path) -> None:
    manager = PluginManager()
    manager.register(MANIFEST, warn_disabled=False)

    def is_asked(name: str) -> bool:
        return bool(list(manager.iter_compatible_readers([str(tmp_path / name)])))

    assert all(
        map(is_asked, ("a_classes.ome.tif", "a_classes-2.ome.tif", "a.b_objects.ome.TIF", "x_probabilities.ome.tif"))
    )
    assert not any(map(is_asked, ("a.tif", "a.ome.tif", "classes.tif", "a_classes.png", "a_classes.npy")))
    (tmp_path / "folder_classes.ome.zarr").mkdir()
    assert not is_asked("folder_classes.ome.zarr")
