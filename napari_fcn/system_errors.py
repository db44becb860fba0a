"""Messages for users about errors of the operating system."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_fcn import file_names
from napari_fcn.errors import FcnError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHLIB = ("Symlink loop", "Could not determine home")  # RuntimeErrors of pathlib before Python 3.13
E = TypeVar("E", bound=FcnError)

EXPLAINED = (OSError, MemoryError, RecursionError, UnicodeError)  # never bugs, wherever they are raised
ANOTHER_FOLDER = "Choose another folder."
ANOTHER_DISK = "Choose a folder on another disk."


def _by_name(sentences: dict[str, tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Return texts by error number; names that this system does not define are left out."""
    return {getattr(errno, name): text for name, text in sentences.items() if hasattr(errno, name)}


# The reason, and what to do.
REASONS = _by_name(
    {
        "EACCES": ("there is no permission", "Ask its owner for access, or choose a folder of your own."),
        "EPERM": ("there is no permission", "Ask its owner for access, or choose a folder of your own."),
        "EROFS": ("its disk is read-only", ANOTHER_DISK),
        "ENOSPC": ("the disk is full", "Free some space or choose a folder on another disk."),
        "EDQUOT": (
            "the quota of this user on that disk is used up",
            "Delete files there, or choose a folder on another disk.",
        ),
        "EFBIG": (
            "it would be larger than a file may be there: FAT32 disks have a limit of 4 GB, and users can have one",
            "Choose a folder on another disk, or write .ome.zarr, which has many small files.",
        ),
        "EIO": (
            "the disk or the network drive reports an error",
            "Check that it is connected, then try again; if that does not help, save its files elsewhere.",
        ),
        "ENAMETOOLONG": (
            f"the name or the path is too long: a name may have {file_names.LONGEST} {file_names.UNIT}",
            "Choose a shorter one.",
        ),
        "ENOENT": ("there is no such file or folder", "Check the name and the folder."),
        "ENOTDIR": ("a part of the path is a file, not a folder", "Check the path."),
        "EISDIR": ("it is a folder", "Name a file."),
        "EEXIST": ("something of this name is there already", "Choose another name."),
        "ENOTEMPTY": ("the folder is not empty", ANOTHER_FOLDER),
        "ELOOP": ("its links lead in a circle", "Name the file itself, or repair the link."),
        "ESTALE": ("it no longer exists on the network drive", "Connect the drive again, then try again."),
        "ENXIO": ("the device is gone", "Connect it again, then try again."),
        "ENODEV": ("the device is gone", "Connect it again, then try again."),
        "EMFILE": ("too many files are open in this program", "Close some, or raise the limit (ulimit -n)."),
        "ENFILE": ("too many files are open on this computer", "Close other programs, then try again."),
        "EBUSY": ("another program is using it", "Close that program, then try again."),
        "ETXTBSY": ("another program is using it", "Close that program, then try again."),
        "EXDEV": ("it would have to move to another disk", ANOTHER_FOLDER),
        "EINVAL": ("the system does not allow this name or this access there", "Choose another name or folder."),
        "EOPNOTSUPP": ("the disk cannot do what is needed", ANOTHER_DISK),
        "ENOSYS": ("the disk cannot do what is needed", ANOTHER_DISK),
        "ENOMEM": ("the system has no memory left", "Close other programs, then try again."),
        "EAGAIN": ("the system is out of resources at the moment", "Try again later."),
        "ETIMEDOUT": ("there was no reply in time", "Check the network, then try again."),
        "EHOSTDOWN": ("the computer that has it does not reply", "Check the network, then try again."),
        "EHOSTUNREACH": ("the computer that has it does not reply", "Check the network, then try again."),
        "ECONNRESET": ("the connection was lost", "Check the network, then try again."),
        "ECONNREFUSED": ("the connection was refused", "Check the address, then try again."),
    }
)


def reason(error: OSError) -> str:
    """Return why the system refused, as a clause: ``"the disk is full"``."""
    return _explanation(error)[0]


def refused(what: str, error: OSError, kind: type[E]) -> E:
    """Return the error for the user about an error of the system.

    Parameters
    ----------
    what : str
        What could not be done, as ``"/data/a.tif cannot be read"``.
    error : OSError
        Error of the system.
    kind : type
        Class of the error.
    """
    why, advice = _explanation(error)
    own = f" ({error.strerror})" if error.strerror and error.strerror not in why else ""  # to be searched for
    return kind(f"{what}: {why}{own}.", advice)


def explain(error: BaseException) -> FcnError:
    """Return the error for the user about an error that was not handled where it was raised.

    Raises
    ------
    TypeError
        If the error is not an error of the system, but a bug.
    """
    if isinstance(error, OSError):
        names = [name for name in (error.filename, error.filename2) if isinstance(name, str | bytes | os.PathLike)]
        what = " and ".join(os.fsdecode(name) for name in names) or "A file"
        return refused(f"{what} cannot be used", error, FcnError)
    if isinstance(error, MemoryError):
        text = f" ({error})" if str(error) else ""
        return FcnError(f"Memory ran out{text}.", "Close other programs, or use a smaller image.")
    if isinstance(error, RuntimeError) and str(error).startswith(PATHLIB):
        return FcnError(f"A file or a folder cannot be used ({error}).", "Name the file itself, or repair the link.")
    if isinstance(error, RecursionError):
        return FcnError("A file or a folder is nested too deeply to be read.", "Check that it is not damaged.")
    if isinstance(error, UnicodeError):
        return FcnError(f"A name or a text has letters that cannot be used here ({error}).", "Rename the file.")
    raise TypeError(f"{type(error).__name__} is a bug, not an error of the system.") from error


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of the system that are raised inside into errors for the user; bugs pass unchanged."""
    try:
        yield
    except (*EXPLAINED, RuntimeError) as error:
        if not is_refusal(error):
            raise
        raise explain(error) from error


def is_refusal(error: BaseException) -> bool:
    """Whether an error is an error of the system, not a bug."""
    return isinstance(error, EXPLAINED) or (isinstance(error, RuntimeError) and str(error).startswith(PATHLIB))


def _explanation(error: OSError) -> tuple[str, str]:
    number = error.errno if error.errno is not None else -1
    if isinstance(error, FileNotFoundError) and error.filename and _is_too_long(error.filename):
        number = errno.ENAMETOOLONG  # Windows reports a missing file
    if number in REASONS:
        return REASONS[number]
    text = (error.strerror or _first(error) or type(error).__name__).rstrip(".")
    return f"the system says “{text}”", "Try again, or choose another folder."


def _first(error: OSError) -> str:
    """Return the text of an error; of one with an error for each file (shutil.Error) the first."""
    many = error.args[0] if error.args else None
    return str(many[0][-1]) if isinstance(many, list) and many else str(error)


def _is_too_long(path: str | bytes | os.PathLike[str]) -> bool:
    try:
        return not all(file_names.fits(part) for part in Path(os.fsdecode(path)).parts)
    except (TypeError, ValueError):
        return False
