"""Safe files and folders: bounded JSON, protected inputs, own folders, atomic replacement.

Uses the standard library only, and pydantic in `schema`.
"""

from napari_fcn.storage.bounded_json import JsonError, check_nesting, parse_json, read_json
from napari_fcn.storage.inputs import NO_INPUTS, Input, Inputs
from napari_fcn.storage.links import find_links, is_link
from napari_fcn.storage.owned_folder import FolderMark, foreign_files, remove_own_files
from napari_fcn.storage.replacement import replace_file, unused_path

__all__ = [
    "NO_INPUTS",
    "FolderMark",
    "Input",
    "Inputs",
    "JsonError",
    "check_nesting",
    "find_links",
    "foreign_files",
    "is_link",
    "parse_json",
    "read_json",
    "remove_own_files",
    "replace_file",
    "unused_path",
]
