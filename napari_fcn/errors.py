"""Errors whose messages are written for the person at the microscope."""

import struct
import tokenize
import zlib
from dataclasses import dataclass
from typing import Any, Self

# What parsers and decoders raise on damaged files, as changing bytes at random showed; imagecodecs' errors are
# RuntimeErrors, tifffile's and zarr's ValueErrors.
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

# What a network raises on an input whose shape it was not made for: its `forward` may hold any code.
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
    """What to do about an error, in the words of each place where it is shown.

    Attributes
    ----------
    command : str
        On the command line: a sentence that names flags.
    dock : str
        In a dock: a sentence that names what can be pressed or typed there.
    """

    command: str
    dock: str


REPLACE = "Tick Advanced > Replace files to overwrite it, or choose another folder under Save to."  # in docks


class Note(str):
    """A sentence for the user that goes along with a result; as a text it is what the command line shows.

    Parameters
    ----------
    short : str
        What is so, in words that hold everywhere.
    advice : Advice
        What can be done about it.
    """

    __slots__ = ("_parts",)
    _parts: tuple[str, Advice]

    def __new__(cls, short: str, advice: Advice) -> Self:
        """Return the note."""
        note = super().__new__(cls, f"{short} {advice.command}")
        note._parts = (short, advice)
        return note

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return what a copy is made of: notes are sent between processes."""
        return self._parts

    @property
    def in_dock(self) -> str:
        """The note as a dock shows it."""
        short, advice = self._parts
        return f"{short} {advice.dock}"


def in_dock(said: str | Exception) -> str:
    """Return a message as a dock shows it: its advice names controls where that of the command line names flags."""
    return said.in_dock if isinstance(said, FcnError | Note) else str(said)


class FcnError(Exception):
    """Something the user can mend: the message says what was given, what is needed and what to do.

    Parameters
    ----------
    short : str
        What is wrong, in words that hold everywhere.
    advice : Advice or str
        What to do; a text where that is the same on the command line and in a dock.

    Attributes
    ----------
    short : str
        What is wrong, without advice.
    """

    def __init__(self, short: str = "", advice: Advice | str = "") -> None:
        super().__init__(*filter(None, (short, advice)))  # the arguments again: errors are sent between processes
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
    """Something that a command does not know, whatever the images are."""


class SettingsError(UsageError, ValueError):
    """A value that a setting does not take."""


class ImageError(FcnError):
    """An image that cannot be read or segmented as it is."""


class ModelError(FcnError):
    """A model file that is missing, damaged, foreign, or does not fit the image."""


class OutputError(FcnError):
    """A result that cannot be written where it was asked to go."""


class OutputExistsError(OutputError):
    """Something is there already that is replaced only if the user says so."""


class InputAtRiskError(OutputError):
    """An output that would replace, hold or lie in something that the same run reads."""


class DeviceError(FcnError):
    """A device or a precision that this machine does not have."""


class ClusterError(FcnError):
    """A cluster that cannot be reached, or whose workers cannot do what they are asked."""


class MemoryShortage(DeviceError):
    """Memory ran out."""


class ProjectError(FcnError):
    """A project folder that is missing, damaged, foreign or cannot be written."""


class ProjectInUseError(ProjectError):
    """A project that another program has open for writing: it can be opened read-only, or copied."""


class ImageMovedError(ProjectError):
    """A project whose image is not where it was: the user is to choose it again."""
