"""Reading of the record of a result file: kind, axes, classes and provenance, without the pixels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.png import read_png_text
from napari_fcn.io.result_meta import parse_record


def read_result_meta(path: str | Path) -> dict[str, Any]:
    """Return the record of a result file: kind, axes, scale, units, classes, provenance.

    It is empty for files of other programs, and for npy, which cannot store it.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"There is no file {path}. Check the name and the folder.")
    if path.is_dir():
        from napari_fcn.io.zarr_reader import read_attributes

        try:
            return parse_record((read_attributes(path) or {}).get("napari_fcn"))
        except DECODE_ERRORS as error:
            raise ImageError(f"{path} cannot be read as zarr ({error}). Copy or write it again.") from error
    if path.suffix.lower() in (".tif", ".tiff"):
        from napari_fcn.io.tiff_reader import read_record

        return read_record(path)
    if path.suffix.lower() == ".png":
        return read_png_record(path)
    return {}


def read_png_record(path: Path) -> dict[str, Any]:
    """Return the record of a result in the text of a png; empty if it has none.

    Raises
    ------
    ImageError
        If the file is damaged or cannot be read.
    """
    try:
        text = read_png_text(path, "napari_fcn")
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read as png ({error}). The file is damaged: copy or write it again."
        ) from error
    return parse_record(text)


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance in a result file; empty if there is no such file, or it has none."""
    with suppress(ImageError):
        return dict(read_result_meta(path).get("provenance", {})) if path.exists() else {}
    return {}
