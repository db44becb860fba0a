"""Which files belong to the images that a run reads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from napari_fcn.errors import DAMAGE
from napari_fcn.io.finding import root_of
from napari_fcn.io.images import TIFF
from napari_fcn.storage import Input, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterable

OTHERS = re.compile(r'(?:FileName|MetadataFile)\s*=\s*"([^"]+)"')  # in OME-XML: where pixels and metadata lie
IMAGE, MODEL = "an image of this run", "the model of this run"


def inputs_of(images: Iterable[Path], models: Iterable[Path] = (), what: str = IMAGE) -> Inputs:
    """Return what is read for images and with models: of a level in an OME-Zarr all of it, of an OME-TIFF all files.

    Parameters
    ----------
    images, models : iterable of Path
        Files or folders; of a stack each of its files.
    what : str
        What the images are to the user.
    """
    roots = dict.fromkeys(root_of(place) for path in images for place in (path, Path(os.path.realpath(path))))
    return Inputs([*(Input(path, what) for path in roots), *(Input(path, MODEL) for path in models)], members_of)


def members_of(path: Path) -> list[Path]:
    """Return the other files that an OME-TIFF names as its own; none of other files, and of what cannot be read."""
    if path.suffix.lower() not in TIFF or not path.is_file():
        return []
    try:
        with tifffile.TiffFile(path) as tiff:
            names = OTHERS.findall(tiff.ome_metadata or "")
    except DAMAGE:
        return []
    return [path.parent / name for name in dict.fromkeys(names)]
