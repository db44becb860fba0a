"""Reading of OME-Zarr 0.4 (zarr 2) and 0.5 (zarr 3)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError
from napari_fcn.file_kinds import is_pointer, mistaken
from napari_fcn.geometry.axes import axis_names
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.io.image_file import ImageFile, ImageHeader
from napari_fcn.io.lazy_array import LazyArray
from napari_fcn.io.zarr_calibration import zarr_calibration
from napari_fcn.io.zarr_store import open_array, open_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import zarr

METADATA_FILES = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
MAX_GROUP_DEPTH = 3  # levels from a resolution up to its group: image.zarr/resolutions/s0
UNNAMED_AXES = ("t", "c", "z", "y", "x")  # of OME-Zarr before 0.3, which did not store names
AXIS_BY_TYPE = {"time": "t", "channel": "c"}


def read_zarr(path: Path, level: int, memory: float | None = None) -> ImageFile:
    """Return an image of an OME-Zarr: ``path`` is its group, one of its levels, or a bare zarr array.

    Axes of length 1 stay, so that results have the shape of the stored array.
    """
    for name in METADATA_FILES:
        if is_pointer(path / name):
            raise ImageError(*mistaken(path / name) or ())
    folder, first, multiscale = _locate(path)
    if multiscale is None:
        return _read_bare_array(path, memory)
    datasets: Sequence[Mapping[str, Any]] = multiscale.get("datasets") or []
    names = [str(dataset.get("path")) for dataset in datasets]
    index = level + (names.index(first) if first else 0)
    if not 0 <= index < len(names):
        raise ImageError(f"{path} has {len(names)} levels ({', '.join(names)}); there is no level {index}.")
    array = _open_level(folder, names[index], names, memory)
    axes = _axis_names(multiscale, array.ndim)
    calibration, notes = zarr_calibration(multiscale, datasets[index], axes)
    return ImageFile(
        path,
        LazyArray(array, path),
        axes,
        calibration,
        levels=len(names) - index + level,
        notes=(*notes, *_collection_note(path, folder)),
    )


def _collection_note(path: Path, folder: Path) -> tuple[str, ...]:
    """Return a note if the first image of a collection was read; empty if the path is an image."""
    return (f"The folder is a collection; its first image, {folder.name}, was read.",) if folder.parent == path else ()


def zarr_header(path: Path) -> ImageHeader:
    """Return the header of an OME-Zarr image or of one of its levels."""
    image = read_zarr(path, 0)
    attributes = read_attributes(_locate(path)[0]) or {}
    channels = (attributes.get("ome", attributes).get("omero") or {}).get("channels") or []
    names = [str(channel.get("label") or "") for channel in channels if isinstance(channel, dict)]
    return ImageHeader(tuple(image.data.shape), image.axes, image.calibration, tuple(names) if all(names) else ())


def read_attributes(folder: Path) -> dict[str, Any] | None:
    """Return the attributes of a zarr group; None if the folder is not one."""
    if not any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs")):
        return None
    try:
        return open_attributes(folder)
    except (FileNotFoundError, TypeError, KeyError, ValueError):  # an array, or metadata that is no zarr
        return None


def _locate(path: Path) -> tuple[Path, str, Mapping[str, Any] | None]:
    """Return the group of the image, the level that ``path`` names (or ""), and the multiscales entry."""
    for folder in islice((path, *path.absolute().parents), MAX_GROUP_DEPTH + 1):
        attributes = read_attributes(folder) or {}
        ome = attributes.get("ome", attributes)
        if "bioformats2raw.layout" in ome and folder == path and (folder / "0").is_dir():
            return _locate(folder / "0")
        if folder == path and ("plate" in ome or "labels" in ome or "well" in ome):
            inside = sorted(child.name for child in folder.iterdir() if child.is_dir())[:5]
            raise ImageError(
                f"{path} is a collection of images, not one. Name one inside it, such as {', '.join(inside)}."
            )
        for multiscale in ome.get("multiscales") or []:
            inner = path.absolute().relative_to(folder.absolute()).as_posix() if folder != path else ""
            if not inner or inner in [dataset.get("path") for dataset in multiscale.get("datasets", [])]:
                return folder, inner, multiscale
    return path, "", None


def _read_bare_array(path: Path, memory: float | None) -> ImageFile:
    """Return a zarr array without OME metadata."""
    try:
        array = open_array(path, memory)
    except (FileNotFoundError, TypeError, KeyError, ValueError) as error:
        raise ImageError(
            f"{path} is a folder without the multiscales of an OME-Zarr image. Give a file, an OME-Zarr "
            "image, or one level inside it; a folder of files is given file by file."
        ) from error
    names = getattr(array.metadata, "dimension_names", None) or ()
    axes = axis_names(names) if all(names) else ()
    return ImageFile(path, LazyArray(array, path), axes, Calibration.unknown(array.ndim))


def _open_level(folder: Path, name: str, names: Sequence[str], memory: float | None) -> zarr.Array[Any]:
    try:
        return open_array(folder / name, memory)
    except (FileNotFoundError, KeyError) as error:
        present = [other for other in names if (folder / other).is_dir()]
        raise ImageError(
            f"The level {name} of {folder} is missing; there is {', '.join(present) or 'none'}. "
            "The copy is incomplete: copy the folder again, or choose another level."
        ) from error


def _axis_names(multiscale: Mapping[str, Any], ndim: int) -> tuple[str, ...]:
    """Return lower-case axis names, with t and c for the axes of type time and channel."""
    stated = multiscale.get("axes") or UNNAMED_AXES[-ndim:]
    axes = axis_names(
        [
            AXIS_BY_TYPE.get(str(axis.get("type")).lower(), str(axis["name"])) if isinstance(axis, dict) else str(axis)
            for axis in stated
        ]
    )
    if len(axes) != ndim:
        raise ImageError(
            f"The OME-Zarr names {len(axes)} axes ({' '.join(axes)}); the array has {ndim}. Export it again."
        )
    return axes
