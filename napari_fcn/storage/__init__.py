"""Files and folders: what those from anywhere may be, which must survive, which are ours.

The standard library is all that it knows, and pydantic in `schema`.
"""

from napari_fcn.storage.bounded_json import JsonError, parse_json, read_json, refuse_deep
from napari_fcn.storage.inputs import NO_INPUTS, Input, Inputs
from napari_fcn.storage.links import is_link, links_inside
from napari_fcn.storage.owned import Mark, remove_known, strangers
from napari_fcn.storage.replacing import replacing, unused

__all__ = [
    "NO_INPUTS",
    "Input",
    "Inputs",
    "JsonError",
    "Mark",
    "is_link",
    "links_inside",
    "parse_json",
    "read_json",
    "refuse_deep",
    "remove_known",
    "replacing",
    "strangers",
    "unused",
]
