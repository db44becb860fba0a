"""What files that may come from anywhere are allowed to be: the standard library is all that it knows."""

from napari_fcn.storage.bounded_json import JsonError, parse_json, read_json
from napari_fcn.storage.links import is_link, links_inside

__all__ = ["JsonError", "is_link", "links_inside", "parse_json", "read_json"]
