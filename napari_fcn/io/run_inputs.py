"""The files that a run reads, which must not be overwritten."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.image_file import COMPANION_SUFFIX, TIFF_SUFFIXES
from napari_fcn.io.image_paths import zarr_root
from napari_fcn.storage import Input, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REFERENCED_FILE = re.compile(r'(?:FileName|MetadataFile)\s*=\s*"([^"]+)"')  # in OME-XML: files with pixels or metadata
IMAGE_INPUT, MODEL_INPUT = "an image of this run", "the model of this run"


def collect_inputs(paths_by_role: Mapping[str, Iterable[str | Path]]) -> Inputs:
    """Return the files that a run reads, including the whole OME-Zarr of a level and all files of an OME-TIFF.

    Parameters
    ----------
    paths_by_role : mapping of str to iterable of str or Path
        Files and folders by their role in messages, such as ``"the model"``; each file of a stack. Empty names are
        ignored.
    """
    entries = [(role, Path(path)) for role, paths in paths_by_role.items() for path in paths if str(path)]
    roots = {zarr_root(name): role for role, path in entries for name in (path, Path(os.path.realpath(path)))}
    return Inputs((Input(path, role) for path, role in roots.items()), referenced_files)


def referenced_files(path: Path) -> list[Path]:
    """Return the files that an OME-TIFF or its companion refers to, by their names in it and by their present names.

    Empty for other and for unreadable files.
    """
    from napari_fcn.io.ome_sets import OmeHeaders, find_ome_set

    headers = OmeHeaders()
    if not path.name.lower().endswith((*TIFF_SUFFIXES, COMPANION_SUFFIX)) or not path.is_file():
        return []
    try:
        names = REFERENCED_FILE.findall(headers.header(path)[0])
        ome_set = find_ome_set(path, headers) if names else None
    except (ImageError, *DECODE_ERRORS):
        return []
    return list(dict.fromkeys([*(path.parent / name for name in names), *(ome_set.existing_files if ome_set else ())]))
