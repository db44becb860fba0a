"""The picture of a training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_fcn.storage import NO_INPUTS
from napari_fcn.training.curve import COLOURS, is_curve, save_curve


def has_colour(path: Path, colour: str, side: slice) -> bool:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))[:, side]
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((pixels[26:] == wanted).all(-1).any())


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_loss_is_on_the_left_and_scores_are_on_the_right(tmp_path: Path, epochs: int) -> None:
    path = tmp_path / "m.png"
    history = [{"loss": 2 / (1 + n), "dice": 0.03 * n, "class_dice": 0.02 * n} for n in range(epochs)]
    save_curve(path, history, 30, NO_INPUTS)
    left, right = slice(0, 480), slice(480, None)
    assert has_colour(path, COLOURS[0], left)
    assert not has_colour(path, COLOURS[1], left)
    assert all(has_colour(path, colour, right) for colour in (COLOURS[1], *(COLOURS[:1] if epochs > 1 else ())))
    assert not has_colour(path, COLOURS[2], right)


def test_a_higher_score_is_drawn_higher(tmp_path: Path) -> None:
    tops = []
    for score in (0.2, 0.9):
        save_curve(tmp_path / "m.png", [{"loss": 1.0, "dice": score}], 1, NO_INPUTS)
        with Image.open(tmp_path / "m.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))[40:, 480:]
        wanted = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
        tops.append(np.argwhere((pixels == wanted).all(-1))[:, 0].mean())
    assert tops[1] < tops[0] - 100


def test_missing_numbers_are_left_out(tmp_path: Path) -> None:
    save_curve(tmp_path / "m.png", [{"dice": 0.5}, {"loss": 1.0, "dice": 0.6}], 2, NO_INPUTS)
    assert is_curve(tmp_path / "m.png")


def test_only_pictures_of_a_training_count_as_such(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("no picture")
    assert not is_curve(tmp_path / "other.png")
    assert not is_curve(tmp_path / "text.png")
    assert not is_curve(tmp_path / "missing.png")
