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

NAME_LIST_KEYS = ("channel_names", "channels", "Channels", "ChNames", "name")  # used by readers for channel names
NAME_KEYS = ("label", "name", "Name")
NESTED_KEYS = ("ome", "omero", "attributes", "metadata", "Channel", "Summary")  # entries that may contain such a list


def file_header(layer: Image, shape: Sequence[int]) -> ImageHeader:
    """Return the header of the file of a layer; empty if there is none, or if its shape differs.

    Parameters
    ----------
    layer : Image
        The layer.
    shape : sequence of int
        Shape of the layer, colours included. A header may describe only the last axes.
    """
    path = Path(str(layer.source.path or ""))
    try:
        header = _read_header(path, path.stat().st_mtime_ns) if layer.source.path else ImageHeader()
    except OSError:  # the file is missing
        return ImageHeader()
    return header if header.shape and tuple(shape[-len(header.shape) :]) == header.shape else ImageHeader()


@lru_cache(maxsize=32)
def _read_header(path: Path, changed: int) -> ImageHeader:
    del changed  # part of the key, so that a changed file is read again
    return read_header(path)


def channel_names(metadata: Mapping[str, Any], depth: int = 3) -> tuple[str, ...]:
    """Return the channel names in the metadata of a layer, where file readers store them; empty if there are none."""
    direct = (_parse_names(metadata.get(key)) for key in (*NAME_LIST_KEYS, "Name") if key in metadata)
    entries = (metadata.get(key) for key in NESTED_KEYS)
    nested = (channel_names(entry, depth - 1) for entry in entries if depth and isinstance(entry, dict))
    return next((names for names in chain(direct, nested) if names), ())


def _parse_names(value: Any) -> tuple[str, ...]:
    """Return the names in a list of texts or of entries with a label or name; empty for anything else."""
    if not isinstance(value, list | tuple):
        return ()
    names = tuple(map(_parse_name, value))
    return names if all(names) else ()


def _parse_name(entry: Any) -> str:
    name = next((entry[key] for key in NAME_KEYS if key in entry), "") if isinstance(entry, dict) else entry
    return name if isinstance(name, str) else ""
