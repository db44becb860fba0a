"""A file system that fails: one call, or all from one on, raise an error that the system can give.

Files below a folder are opened with Python's own implementation of files (``_pyio``), which does everything by the
functions of ``os``. These are replaced, so that each opening, reading, writing, renaming and removing counts as a call.
What compiled libraries do by themselves is not seen.
"""

import _pyio
import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("EACCES", "ENOSPC", "EIO", "ENAMETOOLONG", "ENOENT", "ESTALE", "EROFS", "ELOOP", "EMFILE", "EFBIG", "EDQUOT")
ERRORS = [getattr(errno, name) for name in NAMES if hasattr(errno, name)]
BY_PATH = ("open", "stat", "lstat", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "scandir", "listdir")
MORE_BY_PATH = ("utime", "chmod", "access", "link", "symlink", "readlink")
BY_NUMBER = ("read", "write", "fsync", "ftruncate", "posix_fallocate", "lseek", "fstat")


@dataclass(slots=True)
class FailingSystem:
    """Counts calls below a folder; from ``at`` on, ``length`` of them fail.

    Attributes
    ----------
    root : str
        The folder.
    at : int
        The first call that fails, from 0; -1: none does.
    length : int
        How many calls fail.
    number : int
        The error.
    """

    root: str
    at: int = -1
    length: int = 1
    number: int = errno.EIO
    count: int = 0
    calls: list[str] = field(default_factory=list)
    descriptors: set[int] = field(default_factory=set)
    lock: Any = field(default_factory=threading.Lock)

    def call(self, name: str, what: Any) -> None:
        """Count a call, and fail if it is its turn."""
        with self.lock:
            now, self.count = self.count, self.count + 1
            self.calls.append(f"{name} {what}")
        if 0 <= self.at <= now < self.at + self.length:
            raise OSError(self.number, os.strerror(self.number), what if isinstance(what, str) else None)

    def has(self, path: Any) -> bool:
        """Whether a path or a descriptor lies below the folder."""
        if isinstance(path, int):
            return path in self.descriptors
        try:
            return os.path.abspath(os.fsdecode(path)).startswith(self.root)
        except (TypeError, ValueError):
            return False


@contextmanager
def failing(root: Path, at: int = -1, length: int = 1, number: int = errno.EIO) -> Iterator[FailingSystem]:
    """Let calls below a folder fail; see `FailingSystem`."""
    system = FailingSystem(str(root), at, length, number)
    with pytest.MonkeyPatch.context() as patch:
        real_open = builtins.open

        def open_file(file: Any, mode: str = "r", *more: Any, **named: Any) -> Any:
            is_ours = not isinstance(file, int) and system.has(file)
            return (_pyio.open if is_ours else real_open)(file, mode, *more, **named)

        for name in (*BY_PATH, *MORE_BY_PATH):
            patch.setattr(os, name, _by_path(system, name, getattr(os, name)))
        for name in BY_NUMBER:
            if hasattr(os, name):
                patch.setattr(os, name, _by_number(system, name, getattr(os, name)))
        patch.setattr(os, "close", _closing(system, os.close))
        patch.setattr(builtins, "open", open_file)
        patch.setattr(io, "open", open_file)
        yield system


def _by_path(system: FailingSystem, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        folder = named.get("dir_fd", named.get("src_dir_fd"))
        is_ours = system.has(folder) if folder is not None else any(system.has(one) for one in given[:2])
        if is_ours:
            system.call(name, os.fsdecode(given[0]) if given and not isinstance(given[0], int) else given)
        found = real(*given, **named)
        if is_ours and name == "open":
            system.descriptors.add(found)
        return found

    return call


def _by_number(system: FailingSystem, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: int, *more: Any, **named: Any) -> Any:
        if system.has(descriptor):
            system.call(name, descriptor)
        return real(descriptor, *more, **named)

    return call


def _closing(system: FailingSystem, real: Callable[[int], None]) -> Callable[[int], None]:
    def close(descriptor: int) -> None:
        system.descriptors.discard(descriptor)
        real(descriptor)

    return close
