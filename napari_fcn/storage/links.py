"""Detection of links, through which files elsewhere would be overwritten."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JUNCTION_TAG = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)  # Windows: a folder that is another folder


def is_link(path: Path) -> bool:
    """Whether a path is a symbolic link or, on Windows, a junction; False if it does not exist.

    Raises
    ------
    OSError
        If the system does not say.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISLNK(found.st_mode) or (
        JUNCTION_TAG is not None and getattr(found, "st_reparse_tag", 0) == JUNCTION_TAG
    )


def find_links(folder: Path) -> Iterator[Path]:
    """Yield links and special files (pipes, devices) at any depth in a folder; links are not followed.

    The folder itself may be a link.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if is_link(path):
                yield path
                continue
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif not stat.S_ISREG(mode):
                yield path
