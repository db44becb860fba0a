"""A lock file that names its holder, so that a project has one writer at a time."""

from __future__ import annotations

import getpass
import json
import os
import platform
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

import psutil

from napari_fcn.errors import ProjectInUseError
from napari_fcn.storage.atomic import unreadable_error

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "lock"
CLOCK_SLACK = 60  # seconds of clock error when the times of lock and process are compared
EMPTY_LOCK_SECONDS = 10  # in which a new lock may be empty


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a project.

    Attributes
    ----------
    pid, host, user : int, str, str
        The process, its computer and its user.
    since : float
        When it locked the project, in seconds since 1970.
    token : str
        Distinguishes locks of the same process.
    """

    pid: int
    host: str
    user: str
    since: float
    token: str

    @classmethod
    def current(cls) -> Self:
        """Return this process as a holder."""
        try:
            user = getpass.getuser()
        except (OSError, KeyError, ImportError):  # a container may have no users
            user = "unknown"
        return cls(os.getpid(), platform.node(), user, time.time(), secrets.token_hex(8))

    @property
    def has_ended(self) -> bool:
        """Whether its process has surely ended; False for another computer."""
        if self.host != platform.node():
            return False
        try:
            process = psutil.Process(self.pid)
            return bool(process.status() == psutil.STATUS_ZOMBIE or process.create_time() > self.since + CLOCK_SLACK)
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:  # it belongs to another user
            return False

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        if (self.pid, self.host) == (os.getpid(), platform.node()):
            return f"this napari itself, since {when}"
        place = "this computer" if self.host == platform.node() else f"the computer {self.host}"
        return f"{self.user} on {place} (process {self.pid}), since {when}"


class Lock:
    """An exclusive lock on a project, until `release`.

    Parameters
    ----------
    folder : Path
        The project's folder.

    Raises
    ------
    ProjectInUseError
        If another program holds it.
    OSError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._content = json.dumps(asdict(LockHolder.current())).encode()
        if self._create():
            return
        found = _read(self._path)
        if not _is_stale(self._path, found):
            raise _in_use_error(folder, found)
        self._remove(found)
        if not self._create():
            raise _in_use_error(folder, _read(self._path))

    def release(self) -> None:
        """Release the lock."""
        self._remove(self._content)

    def _create(self) -> bool:
        """Create the lock; return False if it exists."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._content)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        return True

    def _remove(self, content: bytes) -> None:
        """Remove the lock with this content; restore one that another process created in the meantime."""
        aside = self._path.with_name(f".{LOCK_NAME}-{secrets.token_hex(4)}")
        with suppress(FileNotFoundError):
            os.rename(self._path, aside)
            if _read(aside) != content:
                os.rename(aside, self._path)
                return
            aside.unlink()


def is_lock_name(name: str) -> bool:
    """Whether a file has the name of a lock, or of one that is being removed."""
    return name == LOCK_NAME or name.startswith(f".{LOCK_NAME}-")


def is_lock_file(path: Path) -> bool:
    """Whether a file has the content of a lock."""
    try:
        return _parse_holder(path.read_bytes()) is not None
    except OSError:
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise unreadable_error(path, error) from error


def _parse_holder(content: bytes) -> LockHolder | None:
    """Return the holder in a lock; None if the content is incomplete."""
    try:
        data = json.loads(content)
        return LockHolder(
            int(data["pid"]), str(data["host"]), str(data["user"]), float(data["since"]), str(data["token"])
        )
    except (ValueError, KeyError, TypeError):
        return None


def _is_stale(path: Path, content: bytes) -> bool:
    holder = _parse_holder(content)
    if holder is not None:
        return holder.has_ended
    try:
        return time.time() - path.stat().st_mtime > EMPTY_LOCK_SECONDS
    except FileNotFoundError:
        return True


def _in_use_error(folder: Path, content: bytes) -> ProjectInUseError:
    holder = _parse_holder(content) or "a program that is opening it right now"
    return ProjectInUseError(
        f"The project {folder} is open: {holder}. Close it there, open it read-only here, or open a copy. "
        f"If that program was ended and you are sure of it, delete the file {folder / LOCK_NAME}."
    )
