"""The label values of a stroke as they stand in the journal: compressed, in its line or in a file of their own."""

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
MAX_INLINE = 2**15  # bytes, compressed, up to which a block stands in the journal itself
MAX_RATIO = 1100  # pixels in a byte; zlib reaches 1032
LEVEL = 1  # of zlib: labels are flat, more would take longer and win little


def encode_block(folder: Path, n: int, region: Region, block: Block) -> tuple[dict[str, Any], bytes | None]:
    """Return what entry ``n`` of a project says of a block, and the content of its file if it needs one.

    No file is written through a link: where the folder for them is one, every block stands in the journal.
    """
    if block.dtype != np.uint8 or block.shape != region.shape:
        raise ValueError(f"A block of uint8 and shape {region.shape} is needed, not {block.dtype} and {block.shape}.")
    data = zlib.compress(np.ascontiguousarray(block).data, LEVEL)
    facts = {"region": {"start": list(region.start), "stop": list(region.stop)}, "shape": list(block.shape)}
    if len(data) <= MAX_INLINE or is_link(folder / FOLDER):
        return {**facts, "block": b64encode(data).decode("ascii")}, None
    return {**facts, "file": file_name(n), "file_sum": checksum(data)}, data


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


def decode_block(folder: Path, entry: dict[str, Any], region: Region, data: bytes | None = None) -> Block:
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
        data = _read(folder, entry, prod(region.shape))
    size = prod(region.shape)
    if size > MAX_RATIO * len(data):
        raise ValueError(f"The block of entry {entry['n']} cannot hold the {size} pixels of its region.")
    stream = zlib.decompressobj()
    try:
        values = stream.decompress(data, size + 1)  # one more, so that a block that is too long shows
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(values) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"The block of entry {entry['n']} has not the size of its region.")
    return np.frombuffer(values, np.uint8).reshape(region.shape)


def _read(folder: Path, entry: dict[str, Any], size: int) -> bytes:
    """Return the content of the file of a block of this many pixels."""
    if entry["file"] != file_name(entry["n"]):
        raise ValueError(f"The block of entry {entry['n']} is in the wrong file, {entry['file']}.")
    path = folder / entry["file"]
    most = size + size // 2**10 + 2**10  # what zlib makes of noise
    data = path.read_bytes() if path.stat().st_size <= most else b""
    if not data or checksum(data) != (entry.get("file_sum") or checksum(data)):
        raise ValueError(f"{path} does not match its checksum.")
    return data


def check_pixel(at: Sequence[int], shape: Sequence[int]) -> None:
    """Raise ValueError if an index is none of a pixel of an image of this shape."""
    if len(at) != len(shape) or any(not 0 <= i < n for i, n in zip(at, shape, strict=True)):
        raise ValueError(f"{tuple(at)} is not a pixel of an image of shape {tuple(shape)}.")
