"""Stacks of image files."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fcn.errors import ImageError
from napari_fcn.io import ImageLocation, natural_sort, read_series, series


def planes(folder: Path, rng: np.random.Generator, count: int = 12, **more: object) -> tuple[list[Path], np.ndarray]:
    """Write planes named z1 to z12; return their paths in the order of the file system, and the stack."""
    stack = rng.integers(0, 999, (count, 7, 9)).astype(np.uint16)
    paths = []
    for number, plane in enumerate(stack, start=1):
        paths.append(folder / f"z{number}.tif")
        tifffile.imwrite(paths[-1], plane, **more)
    return sorted(paths), stack


def test_files_are_sorted_by_numbers_in_their_names() -> None:
    names = ["z10.tif", "z2.tif", "Z1.tif", "a.tif", "z2b.tif", "10.tif", "9.tif"]
    assert [path.name for path in natural_sort([Path(name) for name in names])] == [
        "9.tif",
        "10.tif",
        "a.tif",
        "Z1.tif",
        "z2.tif",
        "z2b.tif",
        "z10.tif",
    ]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_files_are_stacked_along_the_given_axis(
    compression: str | None, tmp_path: Path, rng: np.random.Generator
) -> None:
    paths, stack = planes(tmp_path, rng, compression=compression)
    image = ImageLocation.from_stack(paths, "Z").read()
    assert image.axes == ("z", "y", "x")
    assert image.data.shape == stack.shape
    assert "12 files were read as one stack along z, z1.tif to z12.tif." in image.notes
    np.testing.assert_array_equal(image.data[...], stack)
    np.testing.assert_array_equal(image.data[3:9:2, 1:4, 5], stack[3:9:2, 1:4, 5])
    np.testing.assert_array_equal(image.data[4], stack[4])
    assert image.data[5:5].shape == (0, 7, 9)


def test_only_few_planes_are_cached(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, stack = planes(tmp_path, rng)
    monkeypatch.setattr(series, "CACHE_BYTES", 3 * stack[0].nbytes)
    image = read_series(natural_sort(paths), "t")
    np.testing.assert_array_equal(image.data[...], stack)
    assert image.data._source._plane.cache_info().currsize == 3


def test_spacing_in_the_plane_comes_from_the_first_file(tmp_path: Path, rng: np.random.Generator) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3}
    paths, _ = planes(tmp_path, rng, metadata=metadata, ome=True)
    image = read_series(paths, "z")
    assert image.scale == (1.0, 0.3, 0.2)
    assert image.units[0] == "pixel"


def test_pictures_in_colour_can_be_stacked(tmp_path: Path, rng: np.random.Generator) -> None:
    from skimage.io import imsave

    stack = rng.integers(0, 255, (3, 5, 6, 3)).astype(np.uint8)
    for number, plane in enumerate(stack):
        imsave(tmp_path / f"{number}.png", plane, check_contrast=False)
    image = read_series(sorted(tmp_path.iterdir()), "t")
    assert (image.axes, image.rgb) == (("t", "y", "x", "s"), True)
    np.testing.assert_array_equal(image.data[...], stack)


@pytest.mark.parametrize("plane", [np.zeros((7, 8), np.uint16), np.zeros((7, 9), np.uint8), np.zeros((2, 7, 9), "u2")])
def test_a_file_with_another_header_is_named_at_once(
    plane: np.ndarray, tmp_path: Path, rng: np.random.Generator
) -> None:
    paths, _ = planes(tmp_path, rng)
    tifffile.imwrite(tmp_path / "z7.tif", plane)
    with pytest.raises(ImageError, match=r"must be alike: z1.tif is 7 x 9 uint16 and z7.tif is"):
        ImageLocation.from_stack(paths, "z").read()


def test_a_different_npy_is_named_when_it_is_read(tmp_path: Path) -> None:
    for number, shape in enumerate([(3, 4), (3, 5)]):
        np.save(tmp_path / f"{number}.npy", np.zeros(shape))
    image = read_series(sorted(tmp_path.iterdir()), "z")
    image.data[0]
    with pytest.raises(ImageError, match=r"0.npy is 3 x 4 float64 and 1.npy is 3 x 5"):
        image.data[1]


def test_a_damaged_file_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    paths, _ = planes(tmp_path, rng)
    (tmp_path / "z5.tif").write_bytes(b"II*\0 this is no picture")
    with pytest.raises(ImageError, match=r"z5.tif"):
        read_series(paths, "z")


def test_files_that_have_the_axis_already_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 7, 9), np.uint16), metadata={"axes": "ZYX"}, ome=True)
    with pytest.raises(ImageError, match="axis z of its own"):
        read_series([tmp_path / "a.tif"], "z")


def test_a_stack_without_files_is_an_error() -> None:
    with pytest.raises(ImageError, match="needs files"):
        read_series([], "z")
