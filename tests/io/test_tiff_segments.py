"""Encoded pictures inside a TIFF are not larger than its tiles."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_fcn.errors import ImageError
from napari_fcn.io import read_image
from napari_fcn.io.tiff_segments import encoded_size

SHAPE = (150, 170)
ENCODERS = {
    "jpeg": imagecodecs.jpeg8_encode,
    "jpeg2000": lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"),
    "boxed": lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="jp2"),
    "png": imagecodecs.png_encode,
}
TILES = {"jpeg": "jpeg", "jpeg2000": "jpeg2000", "png": "png"}


def pixels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (np.indices(shape[:2]).sum(0) % 251).astype(np.uint8)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_size_is_read_from_the_header(name: str) -> None:
    assert encoded_size(bytes(ENCODERS[name](pixels()))) == SHAPE


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00", b"\xff\xd8" + b"\xff" * 99, b"II*\0"])
def test_data_without_a_known_header_have_no_size(data: bytes) -> None:
    assert encoded_size(data) is None


def test_the_largest_of_several_frames_counts() -> None:
    frame = b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 9, 8) + b"\x01\x01\x11\x00"
    large = b"\xff\xc2\x00\x0b\x08" + struct.pack(">HH", 60000, 50000) + b"\x01\x01\x11\x00"
    assert encoded_size(b"\xff\xd8" + frame + large + frame) == (60000, 50000)


def claiming(data: bytes, name: str) -> bytes:
    """Return a picture whose header claims 60000 x 60000 pixels."""
    if name == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", 60000, 60000) + data[at + 4 :]
    if name == "png":
        return data[:16] + struct.pack(">II", 60000, 60000) + data[24:]
    at = data.index(b"\xff\x4f\xff\x51") + 8
    return data[:at] + struct.pack(">II", 60000, 60000) + data[at + 8 :]


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("name", TILES)
def test_a_tile_larger_than_its_place_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_lazy: bool
) -> None:
    if is_lazy:
        monkeypatch.setattr("napari_fcn.io.tiff_reader.DECODE_AT_ONCE_BYTES", 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(), tile=(64, 64), compression=TILES[name])
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[4], tiff.pages.first.databytecounts[4]
    assert read_image(path).data[:].shape == SHAPE
    content = path.read_bytes()
    harm = claiming(content[offset : offset + count], name)
    path.write_bytes(content[:offset] + harm + content[offset + count :])
    with pytest.raises(ImageError, match=r"is a picture of 60000 x 60000 pixels instead of 4096"):
        read_image(path).data[:]
