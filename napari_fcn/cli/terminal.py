"""All that commands print: without control characters, in any encoding, and to readers that may be gone."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import unicodedata
import warnings
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import OutputError
from napari_fcn.system_errors import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

# Controls, formats such as those that turn the direction of writing, halves of pairs, and ends of lines.
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # formats that some scripts and emoji need; they move nothing
LAYOUT = "\n\r\t"  # controls that our own output may have between texts
GONE = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)  # the system's word for a closed pipe


class ReaderGoneError(Exception):
    """Whatever read standard output has ended, as ``head`` does: there is nobody to write for."""


def plain(text: object, kept: str = "") -> str:
    r"""Return a text of one line whose control characters can be seen: ``\x1b`` for an escape, ``\n`` for a new line.

    Names of files, models, classes and layers come from outside. As they are, they could change the colours of a
    terminal, its title or what is on screen, and could look like a line of ours.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(_escaped(sign) if _is_invisible(sign) and sign not in kept else sign for sign in shown)


def say(text: object) -> None:
    """Print a line for the person at the terminal; standard output is kept for results."""
    print(plain(text), file=sys.stderr, flush=True)


def put(*lines: object) -> None:
    """Print lines of a result on standard output."""
    print("\n".join(map(plain, lines)), flush=True)


def put_json(value: Any, indent: int | None = None) -> None:
    """Print a value on standard output as JSON in ASCII, which escapes by itself."""
    print(json.dumps(value, indent=indent), flush=True)


def show_progress(text: object, is_last: bool) -> None:
    """Print a line in the place of the one before."""
    print(f"\r{plain(text)}", end="\n" if is_last else "", file=sys.stderr, flush=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Let nothing inside reach the terminal as it is, neither our own texts nor those of libraries."""
    with ExitStack() as stack:
        for name, stream in (("stdout", Results), ("stderr", Messages)):
            stack.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, stream(getattr(sys, name)))
        stack.callback(setattr, warnings, "formatwarning", warnings.formatwarning)
        warnings.formatwarning = _warning_text
        if logging.lastResort is not None:
            stack.callback(logging.lastResort.setFormatter, logging.lastResort.formatter)
            logging.lastResort.setFormatter(_LogFormatter())
        yield


class _Stream:
    """A text stream through which no control character passes but those between texts.

    Parameters
    ----------
    stream : text file
        Where it writes; None where the process has none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; what the encoding lacks is escaped."""
        shown = plain(text, kept=LAYOUT)
        try:
            self._stream.write(shown)
        except UnicodeEncodeError as error:
            self._stream.write(shown.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Messages(_Stream):
    """Standard error. That nobody can read it ends no run."""

    def write(self, text: str) -> int:
        """Write a text, if that can be."""
        with suppress(OSError, ValueError, AttributeError):  # closed, or not there at all
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, if that can be."""
        with suppress(OSError, ValueError, AttributeError):
            super().flush()


class Results(_Stream):
    """Standard output.

    Raises
    ------
    ReaderGoneError
        If the reader is gone.
    OutputError
        If it cannot be written otherwise, as on a full disk.
    """

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except OSError as error:
            raise self._explained(error) from error

    def flush(self) -> None:
        """Write what waits."""
        try:
            super().flush()
        except OSError as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> Exception:
        with suppress(OSError, ValueError, AttributeError):  # or Python would try again at its end, and complain
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if error.errno in GONE:
            return ReaderGoneError()
        return refused("Standard output cannot be written", error, OutputError)


class _LogFormatter(logging.Formatter):
    """What libraries log, in a line: the traceback of an error that we report is left out."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(record.getMessage())


def _warning_text(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    return plain(f"{category.__name__}: {message}") + "\n"


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in INVISIBLE and sign not in JOINERS


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
