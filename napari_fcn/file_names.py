"""Names of files: their maximum length, and names made from other names."""

from __future__ import annotations

import hashlib
import os

LONGEST = 255  # of one name in a path: bytes on Linux and macOS, units of UTF-16 on Windows
UNIT = "units of UTF-16" if os.name == "nt" else "bytes"


def length_of(name: str) -> int:
    """Return the length of a name in the unit of the file system."""
    if os.name == "nt":
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(name))


def fits(name: str) -> bool:
    """Whether a file or a folder can have this name."""
    return length_of(name) <= LONGEST


def wrapped(name: str, before: str = "", after: str = "") -> str:
    """Return a name with a prefix and a suffix, shortened if it is too long for the file system.

    The end of a name that is too long is replaced by a digest of the name, so that different names stay different and
    the result is the same in every run.
    """
    whole = f"{before}{name}{after}"
    if fits(whole):
        return whole
    digest = "~" + hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    start = name
    while start and not fits(f"{before}{start}{digest}{after}"):
        start = start[:-1]
    return f"{before}{start}{digest}{after}"
