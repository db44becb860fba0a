"""Output of the commands: control characters are escaped, any encoding works, and a closed pipe is handled."""

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

# Unicode categories: control, format (such as the direction of writing), surrogate, line and paragraph separator.
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # format characters that some scripts and emoji need; they are harmless
LAYOUT = "\n\r\t"  # control characters of our own output
CLOSED_PIPE = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)


class ReaderGoneError(Exception):
    """The reader of standard output has closed the pipe, as ``head`` does."""


def plain(text: object, allowed: str = "") -> str:
    r"""Return a text on one line with escaped control characters, such as ``\x1b`` and ``\n``.

    Names of files, models, classes and layers come from outside. Unescaped, they could change the colours, the title or
    the content of a terminal, or imitate a line of our own output.

    Parameters
    ----------
    text : object
        The text, or an object to convert to text.
    allowed : str
        Control characters that are not escaped.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(_escape(char) if _is_invisible(char) and char not in allowed else char for char in shown)


def say(text: object) -> None:
    """Print a line for the user on standard error; standard output is for results."""
    print(plain(text), file=sys.stderr, flush=True)


def put(*lines: object) -> None:
    """Print lines of a result on standard output."""
    print("\n".join(map(plain, lines)), flush=True)


def put_json(value: Any, indent: int | None = None) -> None:
    """Print a value on standard output as ASCII JSON, in which control characters are escaped."""
    print(json.dumps(value, indent=indent), flush=True)


def show_progress(text: object, is_last: bool) -> None:
    """Print a line that overwrites the previous one."""
    print(f"\r{plain(text)}", end="\n" if is_last else "", file=sys.stderr, flush=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Escape everything that is printed, warned or logged inside, by this package or by libraries."""
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
    """A text stream that escapes control characters other than `LAYOUT`.

    Parameters
    ----------
    stream : text file
        The stream to write to; None if the process has none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text; characters that the encoding lacks are escaped."""
        shown = plain(text, allowed=LAYOUT)
        try:
            self._stream.write(shown)
        except UnicodeEncodeError as error:
            self._stream.write(shown.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Messages(_Stream):
    """Standard error; failed writes are ignored, so that they do not end a run."""

    def write(self, text: str) -> int:
        """Write a text, if possible."""
        with suppress(OSError, ValueError, AttributeError):  # the stream is closed, or None
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if possible."""
        with suppress(OSError, ValueError, AttributeError):
            super().flush()


class Results(_Stream):
    """Standard output.

    Raises
    ------
    ReaderGoneError
        If the pipe is closed.
    OutputError
        If writing fails for another reason, such as a full disk.
    """

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Flush the stream."""
        try:
            super().flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> Exception:
        """Redirect the stream to the null device, so that Python can flush it at exit, and return the exception."""
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if error.errno in CLOSED_PIPE:
            return ReaderGoneError()
        return refused("Standard output cannot be written", error, OutputError)


class _LogFormatter(logging.Formatter):
    """Format log records of libraries as one line, without a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(record.getMessage())


def _warning_text(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    return plain(f"{category.__name__}: {message}") + "\n"


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in INVISIBLE and char not in JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
