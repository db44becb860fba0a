"""Which files belong to the images that a run reads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.finding import root_of
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
    """Return the files that an OME-TIFF or its companion draws on, as they are named in it and as they are called now.

    None of other files, and of what cannot be read.
    """
    from napari_fcn.io.ome_sets import COMPANION, TIFF, Folder, set_of

    folder = Folder()
    if not path.name.lower().endswith((*TIFF, COMPANION)) or not path.is_file():
        return []
    try:
        named = OTHERS.findall(folder.head(path)[0])
        together = set_of(path, folder) if named else None
    except (ImageError, *DECODE_ERRORS):
        return []
    return list(dict.fromkeys([*(path.parent / name for name in named), *(together.present if together else ())]))
