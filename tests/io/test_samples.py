"""The meaning of the numbers of a TIFF: intensities, channels, colours or palette indices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fcn.errors import ImageError
from napari_fcn.io import read_image, read_labels, tiff_reader
from napari_fcn.io.images import read_header
from napari_fcn.io.lazy_array import LazyArray

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (20, 24, 3), np.uint8)
PALETTE = RNG.integers(0, 256, (3, 256), np.uint8)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_image(path).data)


def written(path: Path, data: np.ndarray, **how: Any) -> Path:
    tifffile.imwrite(path, data, **how)
    return path


def test_a_palette_is_read_as_colours_as_in_png(tmp_path: Path) -> None:
    picture = Image.fromarray(PICTURE).quantize(16)
    for suffix in ("png", "tif"):
        picture.save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == (("y", "x", "s"), True)
    assert np.array_equal(np.asarray(image.data), pixels(tmp_path / "a.png"))
    assert "palette" in image.notes[0]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("names", ["YX", "ZYX"])
def test_parts_of_a_palette_image_are_read_as_colours(
    tmp_path: Path, names: str, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_reader, "DECODE_AT_ONCE_BYTES", 10)
    indices = RNG.integers(0, 256, (3, 20, 24)[-len(names) :], np.uint8)
    table = (PALETTE * np.uint16(257)).astype(np.uint16)
    how = {"photometric": "palette", "colormap": table, "metadata": {"axes": names}, "compression": compression}
    image = read_image(written(tmp_path / "a.tif", indices, **how))
    expected = PALETTE.T[indices]
    assert image.axes == (*names.lower(), "s")
    assert isinstance(image.data, LazyArray)
    assert image.data.dtype == np.uint8
    assert np.array_equal(image.data[..., 2:9, 3:7, :], expected[..., 2:9, 3:7, :])
    assert np.array_equal(image.data[..., 5, 3:7, 1], expected[..., 5, 3:7, 1])
    assert np.array_equal(np.asarray(image.data), expected)


def test_a_16_bit_palette_is_read_with_16_bits(tmp_path: Path) -> None:
    table = RNG.integers(0, 65536, (3, 65536)).astype(np.uint16)
    indices = RNG.integers(0, 65536, (20, 24)).astype(np.uint16)
    path = written(tmp_path / "a.tif", indices, photometric="palette", colormap=table)
    assert np.array_equal(pixels(path), table.T[indices])


@pytest.mark.parametrize("is_ramp", [True, False])
def test_a_display_palette_of_imagej_is_ignored(tmp_path: Path, is_ramp: bool) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    table = np.stack([ramp * 0, ramp, ramp * 0]) if is_ramp else PALETTE * np.uint16(257)
    data = RNG.integers(0, 256, (20, 24), np.uint8)
    text = "ImageJ=1.54f\nimages=1\nunit=micron\n"
    how = {"photometric": "palette", "colormap": table, "description": text, "metadata": None}
    image = read_image(written(tmp_path / "a.tif", data, **how))
    assert image.rgb != is_ramp
    assert "palette" in image.notes[0]
    if is_ramp:
        assert np.array_equal(np.asarray(image.data), data)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_labels_with_a_palette_are_read_as_indices(tmp_path: Path, suffix: str) -> None:
    labels = RNG.integers(0, 3, (20, 24), np.uint8)
    picture = Image.fromarray(labels)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").rgb
    found = read_labels(tmp_path / f"a.{suffix}")
    assert np.array_equal(np.asarray(found.data), labels)
    assert not found.rgb


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("count", [3, 4])
def test_grey_samples_are_channels_not_colours(tmp_path: Path, planar: str, count: int) -> None:
    shape, names = ((20, 24, count), "YXS") if planar == "contig" else ((count, 20, 24), "SYX")
    data = RNG.integers(0, 999, shape).astype(np.uint16)
    how = {"photometric": "minisblack", "planarconfig": planar, "metadata": {"axes": names}}
    image = read_image(written(tmp_path / "a.tif", data, **how))
    assert image.axes == tuple(names.lower().replace("s", "c"))
    assert not image.rgb
    assert np.array_equal(np.asarray(image.data), data)


def test_the_alpha_channel_of_a_grey_image_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(PICTURE[..., :2])).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.data.shape) == (("y", "x", "c"), (20, 24, 1))
    assert np.array_equal(np.asarray(image.data)[..., 0], PICTURE[..., 0])
    assert "transparency" in image.notes[0]


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_extra_samples_after_red_green_and_blue_are_dropped(tmp_path: Path, planar: str) -> None:
    data = RNG.integers(0, 256, (20, 24, 5), np.uint8)
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    how = {"photometric": "rgb", "planarconfig": planar, "extrasamples": ["unspecified", "unspecified"]}
    image = read_image(written(tmp_path / "a.tif", stored, **how))
    assert image.data.shape[image.axes.index("s")] == 3
    found = np.moveaxis(np.asarray(image.data), image.axes.index("s"), -1)
    assert np.array_equal(found, data[..., :3])
    assert "Only the red, green and blue samples were read" in image.notes[0]


def test_cmyk_is_converted_as_by_pillow(tmp_path: Path) -> None:
    inks = Image.frombytes("CMYK", (24, 20), RNG.integers(0, 256, 20 * 24 * 4, np.uint8).tobytes())
    inks.save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == (("y", "x", "s"), True)
    expected = np.asarray(inks.convert("RGB")).astype(int)
    assert np.abs(np.asarray(image.data).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_ycbcr_is_converted_to_rgb(tmp_path: Path, compression: str | None) -> None:
    picture = Image.fromarray(np.full((32, 32, 3), (200, 80, 30), np.uint8))
    stored = np.asarray(picture if compression == "jpeg" else picture.convert("YCbCr"))
    how = {"photometric": "rgb" if compression == "jpeg" else "ycbcr", "compression": compression}
    found = pixels(written(tmp_path / "a.tif", stored, **how))
    assert np.abs(found.astype(int) - (200, 80, 30)).max() <= 3


def test_unsupported_colour_spaces_are_refused_with_a_message(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", PICTURE, photometric="cielab")
    with pytest.raises(ImageError, match=r"CIE L\*a\*b\*, which cannot be read. Save it with red, green and blue"):
        read_image(path)
    path = written(tmp_path / "b.tif", np.zeros((20, 24, 4), np.float32), photometric="separated")
    with pytest.raises(ImageError, match="4 samples of float32"):
        read_image(path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_intensities_are_inverted_if_white_is_zero(tmp_path: Path, dtype: str) -> None:
    data = RNG.integers(0, 256, (20, 24)).astype(dtype)
    image = read_image(written(tmp_path / "a.tif", data, photometric="miniswhite"))
    assert np.array_equal(np.asarray(image.data), np.iinfo(dtype).max - data)
    assert "inverted" in image.notes[0]
    assert np.array_equal(np.asarray(read_labels(tmp_path / "a.tif").data), data)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32"])
def test_floats_and_booleans_are_not_inverted_if_white_is_zero(tmp_path: Path, dtype: str) -> None:
    data = RNG.integers(0, 2, (20, 24)).astype(dtype)
    image = read_image(written(tmp_path / "a.tif", data, photometric="miniswhite"))
    assert np.array_equal(np.asarray(image.data), data)
    assert "White is 0" in image.notes[0]


def test_a_header_describes_the_stored_numbers(tmp_path: Path) -> None:
    table = (PALETTE * np.uint16(257)).astype(np.uint16)
    how = {"photometric": "palette", "colormap": table, "metadata": {"axes": "YX"}}
    assert read_header(written(tmp_path / "a.tif", PICTURE[..., 0], **how)).axes == ("y", "x")
    how = {"photometric": "minisblack", "planarconfig": "contig", "metadata": {"axes": "YXS"}}
    for name in ("b.ome.tif", "b.tif"):
        assert read_header(written(tmp_path / name, PICTURE, **how)).axes == ("y", "x", "c")
