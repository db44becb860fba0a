"""The images in a folder, and the folder and suffix of their results."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.io.image_file import READABLE_SUFFIXES
from napari_fcn.io.ome_sets import unique_images
from napari_fcn.io.overwrite import is_result
from napari_fcn.io.result_kinds import RESULT_KINDS

if TYPE_CHECKING:
    from collections.abc import Collection

LABELS_ENDING = "_label"  # ends the name of the labels of a training image
OME_SUFFIX = ".ome"
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")  # files that make a folder a zarr


def list_images(path: Path) -> list[Path]:
    """Return the images of a path: the image files of a folder, sorted by name, or the path itself.

    Of an OME-TIFF image of several files only the first is returned.

    In a folder, hidden files, labels of training images (``a_label`` next to ``a_image``) and results (``a_classes``
    next to ``a``; ``a.ome.tif`` next to ``a.tif``, if its record says so) are skipped, as are subfolders other than
    OME-Zarr.

    Raises
    ------
    ImageError
        If a folder contains no image.
    """
    if not path.is_dir() or is_zarr(path):
        return unique_images([path])
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE_SUFFIXES and not p.name.startswith("."))
    names = Counter(name for p in images for name in {image_stem(p), p.name})
    images = [
        p for p in images if not (_is_derived(image_stem(p), names) or (names[image_stem(p)] > 1 and is_result(p)))
    ]
    if not images:
        raise ImageError(f"The folder {path} contains no image. Supported: {', '.join(READABLE_SUFFIXES)}.")
    return unique_images(images)


def is_zarr(folder: Path) -> bool:
    """Whether a folder is one image rather than a folder of images."""
    return folder.suffix.lower() == ".zarr" or any(os.path.exists(folder / name) for name in ZARR_FILES)


def zarr_root(path: Path) -> Path:
    """Return the outermost zarr folder around a path, such as that of a level of an OME-Zarr; else the path itself."""
    path = Path(os.path.abspath(path))
    if not os.path.isdir(path):  # False where the system denies access
        return path
    return next((folder for folder in reversed((path, *path.parents)) if is_zarr(folder)), path)


def results_folder(path: Path) -> Path:
    """Return the folder for results next to an image: never inside an OME-Zarr of which it is a level."""
    return zarr_root(path).parent


def image_stem(path: Path) -> str:
    """Return the name of an image without its suffix and ``.ome``."""
    name = path.name.removesuffix(path.suffix)
    name = name[: -len(OME_SUFFIX)] if name.lower().endswith(OME_SUFFIX) else name
    return path.name if name in ("", ".", "..") else name


def result_suffix(image: Path) -> str:
    """Return the default suffix of results: OME-Zarr for an OME-Zarr, else OME-TIFF."""
    return ".ome.zarr" if image.is_dir() else ".ome.tif"


def _is_derived(name: str, names: Collection[str]) -> bool:
    """Whether a file is the labels or a result of another image in the folder."""
    if name.endswith(LABELS_ENDING) and name.removesuffix(LABELS_ENDING) + "_image" in names:
        return True
    return any(name.endswith(f"_{kind}") and name.removesuffix(f"_{kind}") in names for kind in RESULT_KINDS)
