"""Encoding of the label values of strokes and pins: compressed, in the journal entry or in a file of its own."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.geometry import Region
from napari_fcn.storage import is_link
from napari_fcn.storage.atomic import checksum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Block = npt.NDArray[np.uint8]

FOLDER = "blocks"
MAX_INLINE = 2**15  # bytes of a compressed block in the journal; larger ones have a file
MAX_RATIO = 1100  # pixels per compressed byte; zlib reaches 1032
LEVEL = 1  # of zlib: higher levels are slower and hardly better on labels


def encode_block(folder: Path, n: int, region: Region, block: Block) -> tuple[dict[str, Any], bytes | None]:
    """Return the fields of entry ``n`` that describe a block, and the content of its file; None if it is inline.

    If the folder of block files is a link, all blocks are inline: nothing is written through a link.
    """
    if block.dtype != np.uint8 or block.shape != region.shape:
        raise ValueError(f"A block of uint8 and shape {region.shape} is needed, not {block.dtype} and {block.shape}.")
    data = zlib.compress(np.ascontiguousarray(block).data, LEVEL)
    fields = {"region": {"start": list(region.start), "stop": list(region.stop)}, "shape": list(block.shape)}
    if len(data) <= MAX_INLINE or is_link(folder / FOLDER):
        return {**fields, "block": b64encode(data).decode("ascii")}, None
    return {**fields, "file": file_name(n), "file_sum": checksum(data)}, data


def file_name(n: int) -> str:
    """Return the path of the block file of entry ``n``, relative to the project folder."""
    return f"{FOLDER}/{n:06d}.bin"


def region_of(entry: dict[str, Any], shape: Sequence[int]) -> Region:
    """Return the region of an entry.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the entry has no region, or the region is not inside an image of this shape.
    """
    region = Region(tuple(map(int, entry["region"]["start"])), tuple(map(int, entry["region"]["stop"])))
    if region.ndim != len(shape) or region.is_empty or not Region.whole(shape).contains(region):
        raise ValueError(f"{region} is not inside an image of shape {tuple(shape)}.")
    return region


def decode_block(folder: Path, entry: dict[str, Any], region: Region, data: bytes | None = None) -> Block:
    """Return the block of an entry.

    Parameters
    ----------
    folder : Path
        The project's folder.
    entry : dict
        The journal entry.
    region : Region
        Region of the entry.
    data : bytes, optional
        The compressed block, if its file is not written yet.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the block is damaged.
    OSError
        If its file cannot be read.
    """
    if data is None and "block" in entry:
        data = b64decode(entry["block"], validate=True)
    elif data is None:
        data = _read(folder, entry, prod(region.shape))
    size = prod(region.shape)
    if size > MAX_RATIO * len(data):
        raise ValueError(f"The block of entry {entry['n']} cannot hold the {size} pixels of its region.")
    stream = zlib.decompressobj()
    try:
        values = stream.decompress(data, size + 1)  # one more byte, to detect a block that is too long
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(values) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"The block of entry {entry['n']} does not have the size of its region.")
    return np.frombuffer(values, np.uint8).reshape(region.shape)


def _read(folder: Path, entry: dict[str, Any], size: int) -> bytes:
    """Return the content of the block file of an entry; ``size`` is its number of pixels."""
    if entry["file"] != file_name(entry["n"]):
        raise ValueError(f"The block of entry {entry['n']} is in the wrong file, {entry['file']}.")
    path = folder / entry["file"]
    max_bytes = size + size // 2**10 + 2**10  # of incompressible data
    data = path.read_bytes() if path.stat().st_size <= max_bytes else b""
    if not data or checksum(data) != (entry.get("file_sum") or checksum(data)):
        raise ValueError(f"{path} does not match its checksum.")
    return data


def check_pixel(index: Sequence[int], shape: Sequence[int]) -> None:
    """Raise ValueError if an index is not that of a pixel in an image of this shape."""
    if len(index) != len(shape) or any(not 0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise ValueError(f"{tuple(index)} is not a pixel of an image of shape {tuple(shape)}.")
