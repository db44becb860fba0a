"""JSON from files that somebody else may have written: of bounded size and depth, with finite numbers only."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 2**24
MAX_DEPTH = 64  # lists and objects inside each other
MAX_INTEGER = 2**63 - 1  # whole number, as numpy has them

_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|([\[{])|([\]}])', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonError(ValueError):
    """Text that is no JSON, or is more than a reader should take in; its message is a short phrase."""


def parse_json(text: bytes | str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text.

    Beyond what JSON itself asks for: NaN and infinite numbers (``1e999`` too), whole numbers of more than 64 bits,
    names that stand twice in one object, and texts that cannot be encoded are refused, as is anything too long or too
    deeply nested. So what comes back can be walked through recursively, compared, converted to numpy numbers and
    written again.

    Parameters
    ----------
    text : bytes or str
        UTF-8 if bytes.
    max_bytes : int
        Longest text.
    max_depth : int
        Most lists and objects inside each other.

    Raises
    ------
    JsonError
        If the text is something else.
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
            json.dumps(value, ensure_ascii=False).encode()  # half a character stands for nothing
    except JsonError:
        raise
    except ValueError as error:  # of JSON, and of UTF-8
        raise JsonError(f"it is no JSON: {error}") from error
    return value


def read_json(path: Path, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON file, of which no more is read than ``max_bytes``.

    Raises
    ------
    JsonError
        As `parse_json`; also if it is no plain file (a pipe would never end).
    OSError
        If it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise JsonError("it is no file")
    with path.open("rb") as file:
        return parse_json(file.read(max_bytes + 1), max_bytes, max_depth)


def check_nesting(data: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> None:
    """Raise JsonError if a text is too long or too deeply nested for any parser; whether it is JSON is not asked."""
    if len(data) > max_bytes:
        raise JsonError(f"it is larger than {max_bytes} bytes")
    if _is_deeper(data, max_depth):
        raise JsonError(f"it is nested more than {max_depth} levels deep")


def _is_deeper(data: bytes, max_depth: int) -> bool:
    """Whether brackets outside of strings are nested deeper than this; the parser itself would run out of stack."""
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return False
    depth = 0
    for found in _BRACKETS.finditer(data):
        depth += (found[1] is not None) - (found[2] is not None)
        if depth > max_depth:
            return True
    return False


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names all differ; readers do not agree on which of two values would count."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonError("it has a name twice in one object")
    return found


def _reject_constant(word: str) -> NoReturn:
    raise JsonError(f"{word} is no number that JSON knows")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise JsonError(f"the number {digits[:40]} is too large")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:  # Python itself takes long over long numbers
        raise JsonError(f"the number {digits[:40]} is too large")
    return int(digits)
