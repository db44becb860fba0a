"""Which files belong to the images that a run reads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

<<<<<<< HEAD
import tifffile

from napari_fcn.errors import DAMAGE, ImageError
=======
from napari_fcn.errors import DAMAGE
>>>>>>> 472f3a6 (The docks replace nothing that they read, keep names of files, and give images of one name results of their own)
from napari_fcn.io.finding import root_of
from napari_fcn.io.images import TIFF
from napari_fcn.io.ome_sets import set_of
from napari_fcn.storage import Input, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OTHERS = re.compile(r'(?:FileName|MetadataFile)\s*=\s*"([^"]+)"')  # in OME-XML: where pixels and metadata lie
IMAGE, MODEL = "an image of this run", "the model of this run"


def inputs_of(read: Mapping[str, Iterable[str | Path]]) -> Inputs:
    """Return what is read: of a level in an OME-Zarr all of it, of an OME-TIFF all its files.

    Parameters
    ----------
    read : mapping of str to iterable of str or Path
        Files and folders by what they are to the user, such as ``"the model"``; of a stack each of its files. Empty
        names are left out.
    """
    places = [(what, Path(path)) for what, paths in read.items() for path in paths if str(path)]
    roots = {root_of(one): what for what, path in places for one in (path, Path(os.path.realpath(path)))}
    return Inputs((Input(path, what) for path, what in roots.items()), members_of)


def members_of(path: Path) -> list[Path]:
    """Return the other files that an OME-TIFF names as its own; none of other files, and of what cannot be read."""
    if path.suffix.lower() not in TIFF or not path.is_file():
        return []
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            names = OTHERS.findall(tiff.ome_metadata or "")
    except DAMAGE:
        return []
    named = [path.parent / name for name in dict.fromkeys(names)]
    try:
        found = set_of(path)
    except (ImageError, OSError):  # files are missing; reading the image will say which
        return named
    return [*named, *(found.present if found else ())]  # those that were renamed too
