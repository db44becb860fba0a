"""Errors with messages for users."""

import struct
import tokenize
import zlib
from dataclasses import dataclass
from typing import Any, Self

# Raised by parsers and decoders on damaged files, as found by changing bytes at random; imagecodecs raises
# RuntimeErrors, tifffile and zarr ValueErrors.
DECODE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
)

# Raised by networks on an input of an unsupported shape: `forward` may contain any code.
FORWARD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about an error: one sentence for the command line, one for the docks.

    Attributes
    ----------
    command : str
        Sentence for the command line, which names flags.
    dock : str
        Sentence for a dock, which names controls.
    """

    command: str
    dock: str


REPLACE = "Tick Advanced > Replace files to overwrite it, or choose another folder under Save to."  # in docks


class Note(str):
    """A sentence for the user about a result; as a text it is the sentence of the command line.

    Parameters
    ----------
    short : str
        The fact, in words for both places.
    advice : Advice
        What to do about it.
    """

    __slots__ = ("_parts",)
    _parts: tuple[str, Advice]

    def __new__(cls, short: str, advice: Advice) -> Self:
        """Return the note."""
        note = super().__new__(cls, f"{short} {advice.command}")
        note._parts = (short, advice)
        return note

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return the arguments of a copy: notes are sent between processes."""
        return self._parts

    @property
    def in_dock(self) -> str:
        """The note as a dock shows it."""
        short, advice = self._parts
        return f"{short} {advice.dock}"


def in_dock(message: str | Exception) -> str:
    """Return a message as a dock shows it: its advice names controls, not flags."""
    return message.in_dock if isinstance(message, FcnError | Note) else str(message)


class FcnError(Exception):
    """An error that the user can fix: the message says what was given, what is needed and what to do.

    Parameters
    ----------
    short : str
        What is wrong, in words for both places.
    advice : Advice or str
        What to do; a text if it is the same on the command line and in a dock.

    Attributes
    ----------
    short : str
        What is wrong, without advice.
    """

    def __init__(self, short: str = "", advice: Advice | str = "") -> None:
        super().__init__(*filter(None, (short, advice)))  # the arguments of a copy: errors are sent between processes
        self.short = short
        self.advice = advice if isinstance(advice, Advice) else Advice(advice, advice)

    def __str__(self) -> str:
        """Return the message as the command line and scripts show it."""
        return " ".join(filter(None, (self.short, self.advice.command)))

    @property
    def in_dock(self) -> str:
        """The message as a dock shows it."""
        return " ".join(filter(None, (self.short, self.advice.dock)))


class UsageError(FcnError):
    """Wrong use of a command or a setting, independent of the images."""


class SettingsError(UsageError, ValueError):
    """A value that a setting does not accept."""


class ImageError(FcnError):
    """An image that cannot be read or segmented."""


class ModelError(FcnError):
    """A model file that is missing, damaged, not supported, or does not fit the image."""


class OutputError(FcnError):
    """A result that cannot be written to the given place."""


class OutputExistsError(OutputError):
    """An output that exists, and is replaced only at the request of the user."""


class InputAtRiskError(OutputError):
    """An output that would replace, contain or lie in an input of the same run."""


class DeviceError(FcnError):
    """A device or a precision that this computer does not have."""


class ClusterError(FcnError):
    """A cluster that cannot be reached, or whose workers cannot run the task."""


class MemoryShortage(DeviceError):
    """Memory ran out."""


class ProjectError(FcnError):
    """A project folder that is missing, damaged, not a project, or cannot be written."""


class ProjectInUseError(ProjectError):
    """A project that another program has opened for writing; it can be opened read-only, or copied."""


class ImageMovedError(ProjectError):
    """A project whose image was moved; the user must choose it again."""
