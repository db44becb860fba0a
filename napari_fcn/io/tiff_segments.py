"""Check of the size of TIFF tiles and strips that are encoded pictures, before they are decoded."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError
from napari_fcn.io.png import PNG_SIGNATURE

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile

MAX_PADDING_PIXELS = 2**16  # by which a picture may exceed its tile: encoders pad blocks
NON_FRAME_MARKERS = (0xC4, 0xC8, 0xCC)  # JPEG markers in the range of frames
MARKERS_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))  # JPEG markers without a length
JPEG2000_START = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 codestream


def limit_segment_size(path: Path, page: tifffile.TiffPage) -> None:
    """Make the decoder of a page raise ImageError for tiles that are larger than the page allows.

    Picture decoders use the size in the picture, not that in the TIFF: 65535 x 65535 pixels of JPEG need 12 GB. All
    pages with this keyframe share the decoder.
    """
    decode = page.decode
    expected = prod(map(int, page.chunks))

    def bounded(data: bytes | None, *arguments: Any, **options: Any) -> Any:
        size = encoded_size(data or b"")
        if size is not None and prod(size) > 2 * expected + MAX_PADDING_PIXELS:
            raise ImageError(
                f"A tile of {path} is a picture of {size[0]} x {size[1]} pixels instead of {expected}. The file is "
                "damaged or malicious: copy or export it again."
            )
        return decode(data, *arguments, **options)

    page.__dict__["decode"] = bounded  # a cached property of tifffile


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG, JPEG 2000 or PNG by its header; None for anything else."""
    if data.startswith(PNG_SIGNATURE):
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    start = data.find(JPEG2000_START, 0, 4096)  # boxes may come first
    if start >= 0:
        x, y, x_offset, y_offset = (int.from_bytes(data[start + k : start + k + 4], "big") for k in (8, 12, 16, 20))
        return y - y_offset, x - x_offset
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in the largest frame header of a JPEG (ITU-T T.81, B.2.2)."""
    offset, largest = 2, None
    while offset + 9 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xDA:  # start of the picture data
            break
        if marker == 0xFF or marker in MARKERS_WITHOUT_LENGTH:
            offset += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in NON_FRAME_MARKERS:
            height, width = data[offset + 5 : offset + 7], data[offset + 7 : offset + 9]
            size = int.from_bytes(height, "big"), int.from_bytes(width, "big")
            largest = max(largest or size, size, key=prod)
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    return largest
