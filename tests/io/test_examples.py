"""Training images are read by the same rules as images to segment."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fcn.io.examples import read_example
from napari_fcn.models.binding import Network
from napari_fcn.models.normalise import Normaliser
from napari_fcn.training.dataset import read_folder

COLOURS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


def examples(folder: Path, image: np.ndarray, **how: Any) -> Path:
    tifffile.imwrite(folder / "a_image.tif", image, **how)
    tifffile.imwrite(folder / "a_label.tif", np.ones((20, 24), np.uint8))
    return folder


def learnt(folder: Path) -> Any:
    return read_folder(folder, ("*", ""), "", 2, Normaliser())[0]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_are_recognised_on_any_axis(tmp_path: Path, planar: str) -> None:
    image = COLOURS if planar == "contig" else np.moveaxis(COLOURS, -1, 0)
    examples(tmp_path, image, photometric="rgb", planarconfig=planar)
    found = read_example(tmp_path / "a_image.tif")
    assert np.array_equal(np.moveaxis(found.data, found.axes.index("s"), -1), COLOURS)
    assert len(learnt(tmp_path).views) == 4


def test_grey_samples_are_channels_of_training_images(tmp_path: Path) -> None:
    how = {"photometric": "minisblack", "planarconfig": "contig", "metadata": {"axes": "YXS"}}
    examples(tmp_path, COLOURS, **how)
    assert not read_example(tmp_path / "a_image.tif").rgb
    image = learnt(tmp_path)
    assert len(image.views) == 1
    assert "has 3 channels, the network reads one: channel 0. To use all of them, add channels=3" in image.notes[0]
    three = read_folder(tmp_path, ("*", ""), "", Network(2, 3), Normaliser())[0]
    assert three.views[0].shape == (3, 20, 24)


def test_a_palette_is_converted_to_colours(tmp_path: Path) -> None:
    table = (np.random.default_rng(1).integers(0, 256, (3, 256)) * 257).astype(np.uint16)
    examples(tmp_path, COLOURS[..., 0], photometric="palette", colormap=table)
    found = read_example(tmp_path / "a_image.tif")
    assert found.rgb
    assert np.array_equal(found.data, (table // 257).T[COLOURS[..., 0]])


def test_three_unnamed_values_per_pixel_are_colours(tmp_path: Path) -> None:
    examples(tmp_path, COLOURS.astype(np.float32), metadata=None, photometric="minisblack")
    assert len(learnt(tmp_path).views) == 4
