"""Reading of the header and the texts of a png without its pixels."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES_BY_COLOUR_TYPE = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}  # after decoding; 3 is a palette, perhaps with transparency
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
MAX_TEXT_BYTES = 2**22  # of a text after decompression


@dataclass(frozen=True, slots=True)
class PngHeader:
    """Size of the picture in pixels, and bytes that its pixels take in memory."""

    width: int
    height: int
    nbytes: int


def read_png_header(path: Path) -> PngHeader:
    """Return the size in the header of a png.

    Raises
    ------
    ValueError
        If the file is not a png.
    OSError
        If it cannot be read.
    """
    for kind, content in _read_chunks(path, (b"IHDR",)):
        if kind == b"IHDR" and len(content) == 13:
            width, height, bits, colour = struct.unpack(">IIBB", content[:10])
            if width and height and colour in SAMPLES_BY_COLOUR_TYPE:
                return PngHeader(width, height, width * height * SAMPLES_BY_COLOUR_TYPE[colour] * ceil(bits / 8))
        break
    raise ValueError("it is not a png, or it is truncated")


def read_png_text(path: Path, key: str) -> str:
    """Return the text with a key; empty if there is none, or it is longer than `MAX_TEXT_BYTES`.

    Raises
    ------
    ValueError
        If the file is not a png, or is truncated.
    OSError
        If it cannot be read.
    """
    text = ""
    for kind, content in _read_chunks(path, TEXT_CHUNKS):  # to the end, to notice a truncated file
        name, end, rest = content.partition(b"\0")
        if kind in TEXT_CHUNKS and end and name == key.encode():
            text = _decode_text(kind, rest)
    return text


def _decode_text(kind: bytes, rest: bytes) -> str:
    """Return the text of a chunk without its key (PNG specification, section 11.3.3)."""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    if kind == b"zTXt":
        return _decompress(rest[1:]).decode("latin-1")
    is_packed = rest[:1] == b"\1"
    _, _, rest = rest[2:].partition(b"\0")  # the language
    _, _, rest = rest.partition(b"\0")  # the key in that language
    return (_decompress(rest) if is_packed else rest).decode("utf-8", "replace")


def _decompress(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MAX_TEXT_BYTES)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else text


def _read_chunks(path: Path, wanted: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk; the content is empty for unwanted or too long chunks."""
    with path.open("rb") as file:
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            raise ValueError("it is not a png, or it is truncated")
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise ValueError("it is not a png, or it is truncated")
            length, kind = struct.unpack(">I4s", head)
            if kind in wanted and length <= MAX_TEXT_BYTES:
                content = file.read(length)
                if len(content) < length:
                    raise ValueError("it is not a png, or it is truncated")
                yield kind, content
                file.seek(4, 1)
            else:
                yield kind, b""
                file.seek(length + 4, 1)
            if kind == b"IEND":
                return
