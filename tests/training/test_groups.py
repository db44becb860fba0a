"""Images that were cut from one larger picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_fcn.training import groups, pictures
from napari_fcn.training.groups import picture_groups


def scene(seed: int, shape: tuple[int, int] = (128, 192)) -> np.ndarray:
    """Return a smooth picture, as of tissue."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    return np.clip(120 + 900 * noise, 0, 255).astype(np.uint8)


def tiles(picture: np.ndarray, side: int = 64) -> list[np.ndarray]:
    rows, columns = (range(0, n, side) for n in picture.shape[:2])
    return [picture[r : r + side, c : c + side] for r in rows for c in columns]


def test_tiles_of_a_picture_are_one_group_in_any_order() -> None:
    mixed = [tile for pair in zip(tiles(scene(0)), tiles(scene(1)), strict=True) for tile in pair]
    numbers = picture_groups(mixed)
    assert set(numbers[::2]) == {numbers[0]}
    assert set(numbers[1::2]) == {numbers[1]}
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("block", [1, 3])
def test_edges_are_compared_in_blocks_of_any_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [*tiles(scene(0)), *tiles(scene(1))]
    expected = [replace(match, correlation=0) for match in groups.matching_edges(images)]
    assert len(expected) == 2 * 7  # the inner edges of 2 x 3 tiles
    monkeypatch.setattr(groups, "BLOCK", block)
    assert [replace(match, correlation=0) for match in groups.matching_edges(images)] == expected


def test_volumes_are_grouped_by_their_faces() -> None:
    volume = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 24, 24)), 3)
    for axis in range(3):
        first, second = np.split(volume, 2, axis)
        (match,) = groups.matching_edges([second, first])
        assert (match.first, match.second, match.axis) == (1, 0, axis)


def test_an_edge_has_one_neighbour() -> None:
    """Of two images that continue another, the better one is its neighbour."""
    first, second, *_ = tiles(scene(0))
    noise = np.random.default_rng(0).normal(0, 10, second.shape)
    matches = groups.matching_edges([first, (second + noise).astype(np.float32), second])
    assert [(match.first, match.second) for match in matches if match.axis == 1] == [(0, 2)]


def test_colours_and_other_types_are_grouped() -> None:
    colour = np.stack([scene(0), scene(0) // 2, scene(0) // 3], -1)
    assert len(set(picture_groups(tiles(colour)))) == 1
    assert len(set(picture_groups(tiles(scene(0).astype(np.uint16) * 257)))) == 1
    assert len(set(picture_groups(tiles(scene(0) / np.float32(255))))) == 1


@pytest.mark.parametrize("value", [0, 200])
def test_flat_edges_join_nothing(value: int) -> None:
    images = [np.full((32, 32), value, np.uint8) for _ in range(4)]
    for number, image in enumerate(images):
        image[8 + number : 20, 8:20] = 255 - value
    assert picture_groups(images) == [0, 1, 2, 3]


def test_images_of_other_sizes_and_of_no_neighbours_are_alone() -> None:
    assert picture_groups([scene(0), scene(1), scene(0)[:64], scene(2)]) == [0, 1, 2, 3]
    assert picture_groups([]) == []


def test_no_tile_of_a_validation_picture_trains(tmp_path: Path) -> None:
    folder = tmp_path / "dsb2018"
    folder.mkdir()
    for name, tile in zip(["train_he_a", "val_he_b", "train_he_c"], [*tiles(scene(0))[:2], scene(5)], strict=True):
        tifffile.imwrite(folder / f"{name}_image.tif", tile)
        tifffile.imwrite(folder / f"{name}_label.tif", (tile > 150).astype(np.uint16))
    assert [picture.name for picture in pictures.read_all(tmp_path)] == ["dsb2018/train_he_c", "dsb2018/val_he_b"]


def test_tiles_of_the_nuclei_sets_are_found(shared_data: Path) -> None:
    names = sorted(path for path in (shared_data / "dsb2018").glob("*_he_*_image.tif"))
    numbers = picture_groups([tifffile.imread(path) for path in names])
    assert len(set(numbers)) < 0.8 * len(numbers)
