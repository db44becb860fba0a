"""Names of files: how long they may be, and names that are made from others."""

from __future__ import annotations

import hashlib
import os

LONGEST = 255  # of one name in a folder: bytes on Linux and macOS, units of UTF-16 on Windows
UNIT = "units of UTF-16" if os.name == "nt" else "bytes"


def length_of(name: str) -> int:
    """Return the length of a name as the disk counts it."""
    if os.name == "nt":
        return len(name.encode("utf-16-le", "surrogatepass")) // 2
    return len(os.fsencode(name))


def fits(name: str) -> bool:
    """Whether a file or a folder can have this name."""
    return length_of(name) <= LONGEST


def wrapped(name: str, before: str = "", after: str = "") -> str:
    """Return a name with more before and after it; of one that would be too long for the disk, enough to know it by.

    A result may have a name with no room for the words that are added while it grows. Then the end of the name gives
    way to its digest: two names stay two, and each is the same one in every run.
    """
    whole = f"{before}{name}{after}"
    if fits(whole):
        return whole
    mark = "~" + hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()
    kept = name
    while kept and not fits(f"{before}{kept}{mark}{after}"):
        kept = kept[:-1]
    return f"{before}{kept}{mark}{after}"
