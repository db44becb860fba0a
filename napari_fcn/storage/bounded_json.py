"""JSON from untrusted files: of bounded size and depth, with finite numbers only."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 2**24
MAX_DEPTH = 64  # of lists and objects
MAX_INTEGER = 2**63 - 1  # of numpy

_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """Text that is not JSON, or exceeds the bounds; the message is a short phrase."""


def parse_json(text: bytes | str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text.

    Stricter than JSON: NaN and infinite numbers (``1e999`` too), integers of more than 64 bits, duplicate names in an
    object, texts that cannot be encoded, and texts that are too long or nested too deeply raise an error. So the value
    can be traversed recursively, compared, converted to numpy numbers and written again.

    Parameters
    ----------
    text : bytes or str
        UTF-8 if bytes.
    max_bytes : int
        Longest text.
    max_depth : int
        Deepest nesting of lists and objects.

    Raises
    ------
    JsonError
        If the text violates these rules.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        check_nesting(data, max_bytes, max_depth)
        value = json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_reject_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
            object_pairs_hook=_unique_keys,
        )
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is not a character
    except JsonError:
        raise
    except ValueError as error:  # of JSON, and of UTF-8
        raise JsonError(f"it is not JSON: {error}") from error
    return value


def read_json(path: Path, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON file; reads at most ``max_bytes``.

    Raises
    ------
    JsonError
        As `parse_json`; also if it is not a regular file (a pipe would never end).
    OSError
        If it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise JsonError("it is not a file")
    with path.open("rb") as file:
        return parse_json(file.read(max_bytes + 1), max_bytes, max_depth)


def check_nesting(data: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> None:
    """Raise JsonError if a text is too long or nested too deeply; it is not parsed."""
    if len(data) > max_bytes:
        raise JsonError(f"it is larger than {max_bytes} bytes")
    if _is_deeper(data, max_depth):
        raise JsonError(f"it is nested more than {max_depth} levels deep")


def _is_deeper(data: bytes, max_depth: int) -> bool:
    """Whether brackets outside of strings are nested deeper than this, which would overflow the parser's stack."""
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return False
    depth = 0
    for found in _BRACKETS.finditer(data):
        depth += (found[1] is not None) - (found[2] is not None)
        if depth > max_depth:
            return True
    return False


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; raise for duplicate names, which parsers treat differently."""
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JsonError("an object has a name twice")
    return unique


def _reject_constant(word: str) -> NoReturn:
    raise JsonError(f"{word} is not a JSON number")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise JsonError(f"the number {digits[:40]} is too large")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:  # Python parses long numbers slowly
        raise JsonError(f"the number {digits[:40]} is too large")
    return int(digits)
