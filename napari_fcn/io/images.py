"""Reading of images, labels and headers from files."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.file_kinds import mistaken
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.io.bounds import check_memory, check_pixel_count, too_large_error
from napari_fcn.io.image_file import (
    COMPANION_SUFFIX,
    PICTURE_SUFFIXES,
    READABLE_SUFFIXES,
    TIFF_SUFFIXES,
    ImageFile,
    ImageHeader,
)
from napari_fcn.io.png import read_png_header
from napari_fcn.io.result_meta import record_calibration
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


def read_header(path: str | Path) -> ImageHeader:
    """Return the header of a TIFF or OME-Zarr; an empty one for other or missing files."""
    path = Path(path)
    try:
        if path.is_dir():
            from napari_fcn.io.zarr_reader import zarr_header

            return zarr_header(path)
        if path.suffix.lower() in TIFF_SUFFIXES and path.is_file():
            from napari_fcn.io.tiff_reader import tiff_header

            return tiff_header(path)
    except (ImageError, OSError, *DECODE_ERRORS):
        pass
    return ImageHeader()


def read_image(path: str | Path, level: int = 0, memory: float | None = None) -> ImageFile:
    """Return the image in a TIFF, OME-TIFF, ImageJ TIFF, OME-Zarr 0.4 or 0.5, npy, png, jpg or bmp.

    Axes, voxel size and units come from the file's metadata. Axes are those of the stored array; only TIFF's
    axes of length 1 are missing (y and x excepted), as TIFF readers commonly leave them out.

    Parameters
    ----------
    path : str or Path
        A file, an OME-Zarr folder, or one level inside it.
    level : int
        Resolution: 0 is the finest, or the one that ``path`` names.
    memory : float, optional
        Memory in GiB that one read may use; half of the free memory by default.

    Raises
    ------
    ImageError
        If the file is missing or damaged, its format is unknown, a part that must be decoded at once does not fit in
        memory, or the array is empty or not numeric.
    """
    return _read(Path(path), level, memory, _reader)


def read_labels(path: str | Path, memory: float | None = None) -> ImageFile:
    """Return the labels in a file: like `read_image`, but the stored numbers, even if a palette colours them.

    Raises
    ------
    ImageError
        As for `read_image`.
    """
    return _read(Path(path), 0, memory, _label_reader)


def _read(path: Path, level: int, memory: float | None, choose_reader: Callable[[Path], Any]) -> ImageFile:
    try:
        image = choose_reader(path)(path, level, memory)
    except FileNotFoundError as error:
        raise ImageError(f"There is no image {path}. Check the name and the folder.") from error
    except PermissionError as error:
        raise ImageError(f"{path} cannot be read: you have no permission. Ask its owner for access.") from error
    except MemoryError as error:
        raise too_large_error(path, str(error) or "its pixels were to be decoded") from error
    except DECODE_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise refused(f"{path} cannot be read", error, ImageError) from error
        if found := mistaken(path):
            raise ImageError(*found) from error
        raise ImageError(
            f"{path} cannot be read as {path.suffix or 'an image'} ({error}). "
            "The file is damaged, incomplete or of another type: copy or export it again."
        ) from error
    if hasattr(image.data, "memory"):
        image.data.memory = memory
    return _check_image(image, level)


def _label_reader(path: Path) -> Any:
    """Return the function that reads labels from this kind of file."""
    if path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        from napari_fcn.io.tiff_reader import read_tiff_labels

        return read_tiff_labels
    return _read_indices if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES else _reader(path)


def _reader(path: Path) -> Any:
    """Return the function that reads this kind of file."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(path)
    if path.is_dir():
        from napari_fcn.io.zarr_reader import read_zarr

        return read_zarr
    if suffix in TIFF_SUFFIXES or path.name.lower().endswith(COMPANION_SUFFIX):
        from napari_fcn.io.tiff_reader import read_tiff

        return read_tiff
    if suffix == ".npy":
        return _read_npy
    if suffix in PICTURE_SUFFIXES:
        return _read_picture
    raise ImageError(
        f"{path} has an unsupported file type ({suffix or 'no suffix'}). Supported: "
        f"{', '.join(READABLE_SUFFIXES)}. Fiji (Bio-Formats) saves other formats as OME-TIFF."
    )


def _check_image(image: ImageFile, level: int) -> ImageFile:
    shape, dtype = tuple(image.data.shape), np.dtype(image.data.dtype)
    if not 0 <= level < image.levels:
        raise ImageError(f"{image.path} has the levels 0 to {image.levels - 1}; there is no level {level}.")
    if dtype.kind not in "biufc":
        raise ImageError(f"{image.path} holds {dtype}, not numbers. Save it as integers or floats.")
    if not shape or 0 in shape:
        raise ImageError(f"{image.path} has the shape {shape}: there are no pixels in it. Check how it was saved.")
    check_pixel_count(image.path, shape)
    return image


def _read_npy(path: Path, level: int, memory: float | None) -> ImageFile:
    """Return a memory map of an npy file. Objects are never unpickled: a pickle may run any code."""
    del level, memory  # one level only, as the caller checks, and nothing is decoded
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        offset = file.tell()
    if dtype.hasobject:
        raise ImageError(
            f"{path} holds pickled Python objects, which can run code when opened and are never read. "
            "Save the numbers themselves: numpy.save(path, numpy.asarray(image, dtype=float))."
        )
    needed = prod(map(int, shape)) * dtype.itemsize
    if needed > path.stat().st_size - offset:
        raise ValueError(f"it ends before the last of {' x '.join(map(str, shape))} pixels")
    data: npt.NDArray[Any] = np.empty(shape, dtype) if 0 in shape else np.load(path, mmap_mode="r", allow_pickle=False)
    return ImageFile(path, data, (), Calibration.unknown(len(shape)))


def _read_picture(path: Path, level: int, memory: float | None) -> ImageFile:
    """Return a png, jpg or bmp without its alpha channel; a note tells the user if there is one."""
    del level
    data = (_decode_png if path.suffix.lower() == ".png" else _decode_picture)(path, memory)
    notes: tuple[str, ...] = ()
    if data.ndim == 3 and data.shape[-1] in (2, 4):
        data = data[..., :-1]
        notes = ("The transparency (alpha channel) of the picture was left out.",)
        if data.shape[-1] == 1:
            data = data[..., 0]
    axes = ("y", "x", "s")[: data.ndim]
    return ImageFile(path, data, axes, _recorded_calibration(path, axes), rgb=data.ndim == 3, notes=notes)


def _recorded_calibration(path: Path, axes: tuple[str, ...]) -> Calibration:
    """Return the calibration in the record of a result png; other pictures state at most a print size."""
    if path.suffix.lower() == ".png":
        from napari_fcn.io.result_reader import read_png_record

        record = read_png_record(path)
        if tuple(record.get("axes", ())) == axes:
            return record_calibration(record)
    return Calibration.unknown(len(axes))


def _read_indices(path: Path, level: int, memory: float | None) -> ImageFile:
    """Return the palette indices of a picture; other pictures unchanged."""
    from PIL import BmpImagePlugin, PngImagePlugin

    picture = _read_picture(path, level, memory)
    plugins: dict[str, Any] = {".png": PngImagePlugin.PngImageFile, ".bmp": BmpImagePlugin.BmpImageFile}
    if (plugin := plugins.get(path.suffix.lower())) is None:
        return picture
    with plugin(path) as found:
        if found.mode != "P":
            return picture
        return ImageFile(path, np.array(found), ("y", "x"), Calibration.unknown(2))


def _decode_png(path: Path, memory: float | None) -> npt.NDArray[Any]:
    """Return ``(y, x)`` or ``(y, x, samples)``; palettes become colours, 16 bits stay 16 (pillow keeps 8)."""
    import imagecodecs

    head = read_png_header(path)
    check_memory(path, head.nbytes, f"A picture of {head.width} x {head.height} pixels", memory)
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _decode_picture(path: Path, memory: float | None) -> npt.NDArray[Any]:
    from PIL import BmpImagePlugin, JpegImagePlugin

    # Not Image.open, which limits the number of pixels and reads other formats.
    plugin: Any = BmpImagePlugin.BmpImageFile if path.suffix.lower() == ".bmp" else JpegImagePlugin.JpegImageFile
    with plugin(path) as picture:
        width, height = picture.size
        check_memory(path, 4 * width * height, f"A picture of {width} x {height} pixels", memory)
        return np.array(picture if picture.mode in ("1", "L", "RGB") else picture.convert("RGB"))
