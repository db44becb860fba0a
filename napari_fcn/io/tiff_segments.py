"""Tiles and strips of a TIFF that are pictures of their own: their size is read before they are decoded."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    import tifffile

PADDING = 2**16  # pixels by which a picture may exceed its tile: encoders fill up blocks
NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # JPEG markers among those of frames that are none
ALONE = (0x01, *range(0xD0, 0xD8))  # JPEG markers without a length
SIZ = b"\xff\x4f\xff\x51"  # begins a JPEG 2000 codestream
PNG = b"\x89PNG\r\n\x1a\n"


def bound_segments(path: Path, page: tifffile.TiffPage) -> None:
    """Let the decoder of a page refuse tiles that claim more pixels than they have place for.

    Decoders of pictures take the size from the picture, whatever the TIFF says: 65535 x 65535 pixels of JPEG need
    12 GB. The decoder is that of all pages of which this one is the keyframe.
    """
    decode = page.decode
    expected = prod(map(int, page.chunks))

    def bounded(data: bytes | None, *arguments: Any, **options: Any) -> Any:
        size = picture_size(data or b"")
        if size is not None and prod(size) > 2 * expected + PADDING:
            raise ImageError(
                f"A tile of {path} is a picture of {size[0]} x {size[1]} pixels, where {expected} have place. The file "
                "is damaged or was made to do harm: copy or export it again."
            )
        return decode(data, *arguments, **options)

    page.__dict__["decode"] = bounded  # a cached property of tifffile


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG, JPEG 2000 or PNG by its header; None for anything else."""
    if data.startswith(PNG):
        return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")
    if data.startswith(b"\xff\xd8"):
        return _size_of_jpeg(data)
    at = data.find(SIZ, 0, 4096)  # boxes may come first
    if at >= 0:
        x, y, x_offset, y_offset = (int.from_bytes(data[at + k : at + k + 4], "big") for k in (8, 12, 16, 20))
        return y - y_offset, x - x_offset
    return None


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return the size that the largest frame header of a JPEG states (ITU-T T.81, B.2.2)."""
    at, found = 2, None
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:  # the picture itself begins
            break
        if marker == 0xFF or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in NOT_FRAMES:
            size = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            found = max(found or size, size, key=prod)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found
