"""Checks that data fit in memory before they are decoded."""

from __future__ import annotations

import bz2
import lzma
import zlib
from math import prod
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import Advice, ImageError
from napari_fcn.inference.budget import host_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

ALWAYS_ALLOWED_BYTES = 2**26  # read without checking the free memory
MAX_PIXELS = 2**50  # of an image; more than any disk can store
CHUNK_OVERHEAD_BYTES = 4096  # for each chunk of one read, measured with zarr 3.1
CHUNK_SLACK_BYTES = 2**20  # by which a chunk may exceed its data: filters, checksums, an index
MAX_DEFLATE_RATIO = 1032  # of the deflate format
MAX_ZSTD_BLOCK_BYTES = 2**17  # of the zstd format
DECODE_STEP_BYTES = 2**20
PARALLEL_CHUNKS = 10  # that zarr decodes at the same time

Compressed = bytes | memoryview


def check_memory(path: Path, nbytes: int, description: str, limit: float | None = None) -> None:
    """Raise ImageError if one read from a file needs more memory than a run may use.

    Parameters
    ----------
    path : Path
        The file.
    nbytes : int
        Memory that the read needs.
    description : str
        The part to read, such as ``"A part of 3 x 4 pixels"``.
    limit : float, optional
        The user's limit in GiB; half of what is free if not given.
    """
    if nbytes > ALWAYS_ALLOWED_BYTES and nbytes > (allowed := host_budget(limit)):
        raise too_large_error(path, f"{description} needs {format_bytes(nbytes)}; {format_bytes(allowed)} may be used")


def too_large_error(path: Path, reason: str) -> ImageError:
    """Return the error of an image that does not fit in memory."""
    save = "Save it as OME-Zarr or tiled TIFF with chunks of about 512 pixels, of which only parts are read"
    return ImageError(
        f"{path} does not fit in memory: {reason}.",
        Advice(f"{save}, or use a computer with more memory.", f"{save}, or close other programs and layers."),
    )


def check_pixel_count(path: Path, shape: Sequence[int]) -> None:
    """Raise ImageError if the header of an image states an impossible number of pixels."""
    if prod(shape) > MAX_PIXELS:
        raise ImageError(
            f"{path} claims to have {' x '.join(map(str, shape))} pixels, more than any disk holds. The file is "
            "damaged or malicious: copy or export it again."
        )


def format_bytes(nbytes: int) -> str:
    """Return a size in GiB, or PiB from there on."""
    return f"{nbytes / 2**30:,.1f} GiB" if nbytes < 2**50 else f"{nbytes / 2**50:,.0f} PiB"


def check_decompressed_size(path: Path, codec: str, data: Compressed, expected: int) -> None:
    """Raise ImageError if compressed data decode to far more than the ``expected`` bytes; unknown codecs pass.

    The size stated in the data is trusted only if the decoder uses it too. Otherwise data that could become too large
    are decoded in small pieces that are discarded.
    """
    limit = 8 * expected + CHUNK_SLACK_BYTES  # filters may store wider numbers
    measure = DECOMPRESSED_SIZES.get(codec)
    if measure is not None and measure(data, limit) > limit:
        raise ImageError(
            f"A block of {path} unpacks to more than the {expected} bytes that it should have. The file is damaged or "
            "malicious: copy or export it again."
        )


def _deflate_size(data: Compressed, limit: int) -> int:
    """Return the size of zlib or gzip data after decompression, or any size above the limit."""
    if len(data) * MAX_DEFLATE_RATIO <= limit:
        return 0
    size = 0
    while data and size <= limit:  # a gzip file may have several members
        unpacker = zlib.decompressobj(wbits=47)
        size += _stream_size(unpacker.decompress, data, limit - size, lambda u=unpacker: u.unconsumed_tail)  # type: ignore[misc]
        if not unpacker.eof or not unpacker.unused_data.startswith(b"\x1f\x8b"):
            break
        data = unpacker.unused_data
    return size


def _stream_size(
    decompress: Callable[[Compressed, int], bytes], data: Compressed, limit: int, rest: Callable[[], bytes]
) -> int:
    """Return the bytes that an incremental decoder returns; stops soon after the limit."""
    size = 0
    while size <= limit:
        try:
            count = len(decompress(data, DECODE_STEP_BYTES))
        except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError):
            break  # the real decoder reports it
        size += count
        data = rest()
        if not count and not data:
            break
    return size


def _bz2_size(data: Compressed, limit: int) -> int:
    return _stream_size(bz2.BZ2Decompressor().decompress, data, limit, bytes)


def _lzma_size(data: Compressed, limit: int) -> int:
    return _stream_size(lzma.LZMADecompressor().decompress, data, limit, bytes)


def _blosc_size(data: Compressed, limit: int) -> int:
    return int.from_bytes(data[4:8], "little")


def _lz4_size(data: Compressed, limit: int) -> int:
    return int.from_bytes(data[:4], "little")


def _zstd_size(data: Compressed, limit: int) -> int:
    """Return the size stated in a zstd frame, else the maximum for its blocks (RFC 8878, section 3.1)."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        return 0
    descriptor = data[4]
    is_single = bool(descriptor & 32)
    offset = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    field = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    if field:
        return int.from_bytes(data[offset : offset + field], "little") + (256 if field == 2 else 0)
    size = 0
    while offset + 3 <= len(data):
        block = int.from_bytes(data[offset : offset + 3], "little")
        kind, length = block >> 1 & 3, block >> 3
        size += length if kind in (0, 1) else MAX_ZSTD_BLOCK_BYTES
        offset += 3 + (1 if kind == 1 else length)
        if block & 1:
            break
    return size


DECOMPRESSED_SIZES: dict[str, Callable[[Compressed, int], int]] = {
    "zlib": _deflate_size,
    "gzip": _deflate_size,
    "bz2": _bz2_size,
    "lzma": _lzma_size,
    "blosc": _blosc_size,
    "lz4": _lz4_size,
    "zstd": _zstd_size,
}


def memory_to_read(
    shape: Sequence[int], dtype: np.dtype[Any], chunks: Sequence[int] | None, part: Sequence[range]
) -> int:
    """Return the memory in bytes for reading a part of an array: the part, chunks being decoded, and overhead.

    Parameters
    ----------
    shape, dtype
        Shape and type of the array.
    chunks : sequence of int, optional
        Shape of a chunk; None for memory-mapped arrays.
    part : sequence of range
        The part along each axis.
    """
    size = prod(map(len, part)) * dtype.itemsize
    if not chunks or not all(map(len, part)):
        return size
    count = prod(r[-1] // n - r[0] // n + 1 for r, n in zip(part, chunks, strict=True))
    return size + prod(chunks) * dtype.itemsize * min(count, PARALLEL_CHUNKS) + count * CHUNK_OVERHEAD_BYTES
