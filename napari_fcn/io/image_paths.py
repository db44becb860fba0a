"""Which images a folder holds, and what their results are called."""

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

LABELS_ENDING = "_label"  # how the truth beside a training image is named
OME_SUFFIX = ".ome"
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")  # files that make a folder a zarr


def list_images(path: Path) -> list[Path]:
    """Return the images that a path stands for: those of a folder of files by name, or itself.

    OME-TIFFs that are files of one image are named by the first of them.

    Of a folder, labels beside training images (``a_label`` beside ``a_image``), results beside their images
    (``a_classes`` beside ``a``; ``a.ome.tif`` beside ``a.tif``, if it says that it is a result) and hidden files are
    left out. Folders in it are, too, unless they are OME-Zarr.

    Raises
    ------
    ImageError
        If a folder holds no image.
    """
    if not path.is_dir() or is_zarr(path):
        return unique_images([path])
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE_SUFFIXES and not p.name.startswith("."))
    names = Counter(name for p in found for name in {image_stem(p), p.name})
    found = [p for p in found if not (_is_derived(image_stem(p), names) or (names[image_stem(p)] > 1 and is_result(p)))]
    if not found:
        raise ImageError(f"The folder {path} holds no image. Readable are {', '.join(READABLE_SUFFIXES)}.")
    return unique_images(found)


def is_zarr(folder: Path) -> bool:
    """Whether a folder is one image rather than a folder of images."""
    return folder.suffix.lower() == ".zarr" or any(os.path.exists(folder / name) for name in ZARR_FILES)


def zarr_root(path: Path) -> Path:
    """Return the outermost zarr folder that a folder is a part of, as a level of an OME-Zarr; else the path itself."""
    path = Path(os.path.abspath(path))
    if not os.path.isdir(path):  # which says no where the system refuses to tell
        return path
    return next((folder for folder in reversed((path, *path.parents)) if is_zarr(folder)), path)


def results_folder(path: Path) -> Path:
    """Return where results beside an image go: never into an OME-Zarr of which it is a level."""
    return zarr_root(path).parent


def image_stem(path: Path) -> str:
    """Return the name of an image without its suffix, ``.ome`` included, all else as it is."""
    name = path.name.removesuffix(path.suffix)
    name = name[: -len(OME_SUFFIX)] if name.lower().endswith(OME_SUFFIX) else name
    return path.name if name in ("", ".", "..") else name


def result_suffix(image: Path) -> str:
    """Return the suffix of results where nobody asks for another: those of an OME-Zarr are OME-Zarr."""
    return ".ome.zarr" if image.is_dir() else ".ome.tif"


def _is_derived(name: str, names: Collection[str]) -> bool:
    """Whether a file belongs to an image beside it: its labels, or one of its results."""
    if name.endswith(LABELS_ENDING) and name.removesuffix(LABELS_ENDING) + "_image" in names:
        return True
    return any(name.endswith(f"_{kind}") and name.removesuffix(f"_{kind}") in names for kind in RESULT_KINDS)
