"""Channel names and headers from the metadata and the file of a layer."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.io.image_file import ImageHeader
from napari_fcn.io.images import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

NAME_LIST_KEYS = (
    "channel_names",
    "channels",
    "Channels",
    "ChNames",
    "name",
)  # where readers put one name for each channel
NAME_KEYS = ("label", "name", "Name")
NESTED_KEYS = ("ome", "omero", "attributes", "metadata", "Channel", "Summary")  # which hold such an entry


def file_header(layer: Image, shape: Sequence[int]) -> ImageHeader:
    """Return what the file of a layer says of it; an empty header if there is none, or if it says so of other pixels.

    Parameters
    ----------
    layer : Image
        The layer.
    shape : sequence of int
        Of its pixels, colours included. A header may speak of the last axes only.
    """
    path = Path(str(layer.source.path or ""))
    try:
        header = _read_header(path, path.stat().st_mtime_ns) if layer.source.path else ImageHeader()
    except OSError:  # the file is gone
        return ImageHeader()
    return header if header.shape and tuple(shape[-len(header.shape) :]) == header.shape else ImageHeader()


@lru_cache(maxsize=32)
def _read_header(path: Path, changed: int) -> ImageHeader:
    del changed  # a file that is written anew is read anew
    return read_header(path)


def channel_names(metadata: Mapping[str, Any], depth: int = 3) -> tuple[str, ...]:
    """Return the names of channels among the metadata of a layer, as readers of files leave them; empty if none."""
    found = (_parse_names(metadata.get(key)) for key in (*NAME_LIST_KEYS, "Name") if key in metadata)
    inner = (metadata.get(key) for key in NESTED_KEYS)
    deeper = (channel_names(one, depth - 1) for one in inner if depth and isinstance(one, dict))
    return next((names for names in chain(found, deeper) if names), ())


def _parse_names(value: Any) -> tuple[str, ...]:
    """Return a list of texts, or of entries that have a label or a name, as names; empty if it is no such list."""
    if not isinstance(value, list | tuple):
        return ()
    names = tuple(map(_parse_name, value))
    return names if all(names) else ()


def _parse_name(one: Any) -> str:
    found = next((one[key] for key in NAME_KEYS if key in one), "") if isinstance(one, dict) else one
    return found if isinstance(found, str) else ""
