"""The type of a file whose name is wrong."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_fcn.errors import FcnError, ImageError, ModelError
from napari_fcn.file_kinds import is_pointer, mistaken
from napari_fcn.io import read_image
from napari_fcn.models.card import read_info

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"
SUFFIXES = (".tif", ".ome.tif", ".png", ".jpg", ".bmp", ".npy")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "Git LFS pointer.*git lfs pull"),
        (b"", r"is empty \(0 bytes\)\. .*copy the file again"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "is a web page.*Download the file again"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), r"is an HDF5 file.*Rename it to a.*\.h5"),
    ],
)
def test_a_file_that_is_not_an_image_is_named_by_its_type(
    tmp_path: Path, suffix: str, content: bytes, said: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=said):
        read_image(path)


def test_a_picture_with_a_wrong_suffix_should_be_renamed(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((9, 9), np.uint8))
    np.save(tmp_path / "c.npy", np.zeros((9, 9)))
    for made, name, said in (
        ("a.png", "a.tif", r"a\.tif is a PNG picture, .*Rename it to a\.png"),
        ("a.png", "a.npy", r"Rename it to a\.png"),
        ("b.tif", "b.png", r"b\.png is a TIFF, .*Rename it to b\.tif"),
        ("c.npy", "c.tiff", r"is a numpy array, .*Rename it to c\.npy"),
    ):
        (tmp_path / made).rename(tmp_path / name)
        with pytest.raises(ImageError, match=said):
            read_image(tmp_path / name)
        (tmp_path / name).rename(tmp_path / made)


@pytest.mark.parametrize(("content", "said"), [(POINTER, "git lfs pull"), (b"", "0 bytes"), (b"<html>", "web page")])
def test_a_file_that_is_not_a_model_is_named_by_its_type(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        read_info(path)


@pytest.mark.parametrize("name", ["zarr.json", "c/0/0"])
def test_a_pointer_inside_a_zarr_is_named(tmp_path: Path, name: str) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), np.ones((4, 4), np.uint8))
    (tmp_path / "a.zarr" / name).write_bytes(POINTER)
    with pytest.raises(FcnError, match="Git LFS pointer"):
        np.asarray(read_image(tmp_path / "a.zarr").data)


def test_an_unknown_type_is_not_mentioned(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0 but damaged")
    (tmp_path / "b.tif").write_bytes(bytes(99))
    (tmp_path / "c.txt").write_bytes(POINTER + bytes(2000))
    assert [mistaken(tmp_path / name) for name in ("a.tif", "b.tif", "gone.tif", "c.txt")] == [None] * 4
    assert not is_pointer(tmp_path / "c.txt")
