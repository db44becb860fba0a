"""Names of files: their maximum length, and names made from other names."""

from __future__ import annotations

import hashlib
import os

LONGEST = 255  # of one name in a folder: bytes on Linux and macOS, units of UTF-16 on Windows
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
    """Return a name with a prefix and a suffix; a name that would be too long for the disk is shortened.

    The end of a name that is too long is replaced by a digest of the name: different names stay different, and the
    same name gives the same result in every run.
    """
    whole = f"{before}{name}{after}"
    if fits(whole):
        return whole
    mark = "~" + hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    kept = name
    while kept and not fits(f"{before}{kept}{mark}{after}"):
        kept = kept[:-1]
    return f"{before}{kept}{mark}{after}"
