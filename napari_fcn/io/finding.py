"""Which images a folder holds, and what their results are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.io.images import READABLE
from napari_fcn.io.results import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

LABELS = "_label"  # how the truth beside a training image is named
ZARR = ("zarr.json", ".zgroup", ".zarray")  # files that make a folder a zarr


def images_at(path: Path) -> list[Path]:
    """Return the images that a path stands for: those of a folder of files by name, or itself.

    Of a folder, labels beside training images (``a_label`` beside ``a_image``), results beside their images
    (``a_classes`` beside ``a``) and hidden files are left out. Folders in it are, too, unless they are OME-Zarr.

    Raises
    ------
    ImageError
        If a folder holds no image.
    """
    if not path.is_dir() or is_zarr(path):
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE and not p.name.startswith("."))
    names = {stem(p) for p in found}
    found = [p for p in found if not _is_made(stem(p), names)]
    if not found:
        raise ImageError(f"The folder {path} holds no image. Readable are {', '.join(READABLE)}.")
    return found


def is_zarr(folder: Path) -> bool:
    """Whether a folder is one image rather than a folder of images."""
    return folder.suffix.lower() == ".zarr" or any((folder / name).exists() for name in ZARR)


def stem(path: Path) -> str:
    """Return the name of an image without its suffix, ``.ome`` included."""
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def result_suffix(image: Path) -> str:
    """Return the suffix of results where nobody asks for another: those of an OME-Zarr are OME-Zarr."""
    return ".ome.zarr" if image.is_dir() else ".ome.tif"


def _is_made(name: str, names: Collection[str]) -> bool:
    """Whether a file belongs to an image beside it: its labels, or one of its results."""
    if name.endswith(LABELS) and name.removesuffix(LABELS) + "_image" in names:
        return True
    return any(name.endswith(f"_{kind}") and name.removesuffix(f"_{kind}") in names for kind in KINDS)
