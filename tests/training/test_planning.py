"""A network that fits the images of a training folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fcn.errors import FcnError, ImageError
from napari_fcn.settings import TrainSettings
from napari_fcn.training.planning import describe_network, plan_for_folder


def put(folder: Path, shape: tuple[int, ...], labels: tuple[int, ...], name: str = "train_a", **how: Any) -> None:
    rng = np.random.default_rng(0)
    suffix = ".ome.tif" if how else ".tif"
    pixels = rng.integers(0, 255, shape).astype(np.uint8)
    tifffile.imwrite(folder / f"{name}_image{suffix}", pixels, **({"photometric": "minisblack"} | how))
    tifffile.imwrite(folder / f"{name}_label.tif", np.zeros(labels, np.uint8), photometric="minisblack")


def voxels(axes: str, z: float, xy: float) -> dict[str, Any]:
    sizes = {"PhysicalSizeX": xy, "PhysicalSizeY": xy, "PhysicalSizeZ": z}
    return {"metadata": {"axes": axes} | sizes | {f"{name}Unit": "µm" for name in sizes}}


def test_a_plain_image_has_the_default_network(tmp_path: Path) -> None:
    put(tmp_path, (256, 256), (256, 256))
    spec, size = plan_for_folder("unet", tmp_path, TrainSettings())
    assert (spec.ndim, spec.channels, spec.classes, spec.depth, spec.width) == (2, 1, 3, 3, 16)
    assert size == ()


@pytest.mark.parametrize("shape", [(5, 64, 60), (64, 60, 5)])
def test_unnamed_channels_are_those_that_the_labels_lack(tmp_path: Path, shape: tuple[int, ...]) -> None:
    put(tmp_path, shape, (64, 60))
    assert plan_for_folder("unet", tmp_path, TrainSettings())[0].channels == 5


def test_colours_are_luminance_unless_the_network_reads_three_channels(tmp_path: Path) -> None:
    put(tmp_path, (64, 60, 3), (64, 60), photometric="rgb")
    assert plan_for_folder("unet", tmp_path, TrainSettings())[0].channels == 1
    assert plan_for_folder("unet channels=3", tmp_path, TrainSettings())[0].channels == 3


def test_thick_planes_are_pooled_last(tmp_path: Path) -> None:
    put(tmp_path, (16, 64, 64), (16, 64, 64), **voxels("ZYX", 2.0, 0.5))
    spec, size = plan_for_folder("unet depth=3", tmp_path, TrainSettings())
    assert (spec.ndim, spec.pool) == (3, ((1, 2, 2), (1, 2, 2), (2, 2, 2)))
    assert spec.kernel[0] == (1, 3, 3)
    assert size == (2.0, 0.5, 0.5)


def test_the_spacing_of_the_settings_is_preferred(tmp_path: Path) -> None:
    put(tmp_path, (16, 64, 64), (16, 64, 64))
    cubes, _ = plan_for_folder("unet ndim=3 depth=2", tmp_path, TrainSettings())
    thick, _ = plan_for_folder("unet ndim=3 depth=2", tmp_path, TrainSettings(spacing=(4, 1, 1)))
    assert cubes.pool == ((2, 2, 2), (2, 2, 2))
    assert thick.pool == ((1, 2, 2), (1, 2, 2))


def test_different_voxel_sizes_are_not_stored(tmp_path: Path) -> None:
    put(tmp_path, (16, 64, 64), (16, 64, 64), **voxels("ZYX", 2.0, 0.5))
    put(tmp_path, (16, 64, 64), (16, 64, 64), "train_b", **voxels("ZYX", 2.0, 0.4))
    assert plan_for_folder("unet", tmp_path, TrainSettings())[1] == ()


def test_short_axes_limit_the_depth_unless_it_is_stated(tmp_path: Path) -> None:
    put(tmp_path, (30, 30), (30, 30))
    assert plan_for_folder("unet", tmp_path, TrainSettings())[0].depth == 1
    assert plan_for_folder("unet depth=3", tmp_path, TrainSettings())[0].depth == 3


def test_stated_values_are_kept(tmp_path: Path) -> None:
    put(tmp_path, (6, 64, 64), (6, 64, 64), **voxels("ZYX", 2.0, 0.5))
    text = "resunet ndim=2 classes=7 width=5 depth=2 pool=[[4,4],[2,2]] kernel=5"
    spec, size = plan_for_folder(text, tmp_path, TrainSettings(target="classes"))
    assert (spec.family, spec.ndim, spec.classes, spec.width) == ("resunet", 2, 7, 5)
    assert spec.pool == ((4, 4), (2, 2))
    assert size == (0.5, 0.5)
    assert describe_network(spec) == "Network: resunet, 2-D, 1 channel, 7 classes, width 5, depth 2, pools 4x4, 2x2."


def test_a_movie_network_convolves_the_first_axis_of_an_unnamed_stack(tmp_path: Path) -> None:
    put(tmp_path, (9, 64, 64), (9, 64, 64))
    spec, _ = plan_for_folder("video depth=2", tmp_path, TrainSettings())
    assert (spec.ndim, spec.time, spec.pool) == (3, 0, ((1, 2, 2), (1, 2, 2)))


@pytest.mark.parametrize(("text", "words"), [("unet width=two", "cannot be built"), ("unet width", "not name=value")])
def test_invalid_networks_are_refused(tmp_path: Path, text: str, words: str) -> None:
    put(tmp_path, (64, 64), (64, 64))
    with pytest.raises(FcnError, match=words):
        plan_for_folder(text, tmp_path, TrainSettings())


def test_a_folder_without_training_images_is_named(tmp_path: Path) -> None:
    put(tmp_path, (64, 64), (64, 64), "val_a")
    with pytest.raises(ImageError, match=r"no labelled image whose name fits 'train_\*'"):
        plan_for_folder("unet", tmp_path, TrainSettings())


def test_labels_of_another_size_are_named(tmp_path: Path) -> None:
    put(tmp_path, (64, 64), (64, 60))
    with pytest.raises(ImageError, match=r"train_a: .* must have the same size"):
        plan_for_folder("unet", tmp_path, TrainSettings())
