"""Figures of receptive fields for planes, volumes, movies and lines."""

from pathlib import Path

import numpy as np
import pytest
from inspection.test_influence import influence, session
from net_contract import SPECS
from PIL import Image

from napari_fcn.errors import OutputError
from napari_fcn.figures import Scene, joined, save_field


@pytest.mark.parametrize(
    ("name", "shape", "names", "index"),
    [
        ("unet-2d", (70, 70), "yx", (30, 31)),
        ("unet-2d", (2, 70, 70), "tyx", (1, 30, 31)),
        ("unet-3d", (30, 30, 30), "zyx", (14, 15, 16)),
        ("unet-1d", (90,), "x", (40,)),
        ("anisotropic-pool", (70, 70), "yx", (0, 0)),
    ],
)
def test_a_figure_is_written(
    name: str, shape: tuple[int, ...], names: str, index: tuple[int, ...], tmp_path: Path
) -> None:
    running = session(SPECS[name], shape, names)
    event = influence(running, index)
    scene = Scene(event, running.axes.image, running.source.read(event.region)[0], "nucleus")
    save_field(tmp_path / "field.png", "Receptive field", running.analysis.layers, scene)
    with Image.open(tmp_path / "field.png") as picture:
        left = np.asarray(picture.convert("L"))[:, : picture.width // 3]
    assert left.std() > 10


def test_the_middle_of_a_long_table_is_omitted(tmp_path: Path) -> None:
    layers = session(SPECS["unet-2d"], (9, 9), "yx").analysis.layers * 5
    save_field(tmp_path / "field.png", "Many", layers, None)
    assert (tmp_path / "field.png").stat().st_size > 10_000


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    layers = session(SPECS["unet-2d"], (9, 9), "yx").analysis.layers
    with pytest.raises(OutputError, match="Choose another --out"):
        save_field(tmp_path / "nowhere" / "field.png", "", layers, None)


def test_equal_axes_are_shown_as_one_number() -> None:
    assert joined((3, 3)) == "3"
    assert joined((1.5, 2)) == "1.5×2"
    assert joined((0.0, -0.0)) == "0"
