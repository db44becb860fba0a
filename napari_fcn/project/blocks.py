"""The label values of a stroke as they stand in the journal: compressed, in its line or in a file of their own."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Block = npt.NDArray[np.uint8]

FOLDER = "blocks"
INLINE = 2**15  # bytes, compressed, up to which a block stands in the journal itself
LEVEL = 1  # of zlib: labels are flat, more would take longer and win little


def describe(n: int, region: Region, block: Block) -> tuple[dict[str, Any], bytes | None]:
    """Return what entry ``n`` says of a block, and the content of its file if it needs one."""
    if block.dtype != np.uint8 or block.shape != region.shape:
        raise ValueError(f"A block of uint8 and shape {region.shape} is needed, not {block.dtype} and {block.shape}.")
    data = zlib.compress(np.ascontiguousarray(block).data, LEVEL)
    facts = {"region": {"start": list(region.start), "stop": list(region.stop)}, "shape": list(block.shape)}
    if len(data) <= INLINE:
        return {**facts, "block": b64encode(data).decode("ascii")}, None
    return {**facts, "file": file_name(n)}, data


def file_name(n: int) -> str:
    """Return the file of the block of entry ``n``, as the journal names it."""
    return f"{FOLDER}/{n:06d}.bin"


def region_of(entry: dict[str, Any], shape: Sequence[int]) -> Region:
    """Return the region of an entry.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it has none, or none that lies in an image of this shape.
    """
    region = Region(tuple(map(int, entry["region"]["start"])), tuple(map(int, entry["region"]["stop"])))
    if region.ndim != len(shape) or region.is_empty or not Region.whole(shape).contains(region):
        raise ValueError(f"{region} does not lie in an image of shape {tuple(shape)}.")
    return region


def content(folder: Path, entry: dict[str, Any], region: Region, data: bytes | None = None) -> Block:
    """Return the block of an entry, from its line or its file, or from ``data`` if that is not written yet.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is not whole.
    OSError
        If its file cannot be read.
    """
    if data is None and "block" in entry:
        data = b64decode(entry["block"], validate=True)
    elif data is None:
        if entry["file"] != file_name(entry["n"]):
            raise ValueError(f"The block of entry {entry['n']} is said to be in {entry['file']}.")
        data = (folder / entry["file"]).read_bytes()
    size = prod(region.shape)
    stream = zlib.decompressobj()
    try:
        values = stream.decompress(data, size + 1)  # one more, so that a block that is too long shows
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(values) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"The block of entry {entry['n']} has not the size of its region.")
    return np.frombuffer(values, np.uint8).reshape(region.shape)
