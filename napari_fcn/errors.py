"""Errors whose messages are written for the person at the microscope."""

import struct
import tokenize
import zlib

# What parsers and decoders raise on damaged files, as changing bytes at random showed; imagecodecs' errors are
# RuntimeErrors, tifffile's and zarr's ValueErrors.
DAMAGE = (
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


class FcnError(Exception):
    """Something the user can mend: the message says what was given, what is needed and what to do."""


class UsageError(FcnError):
    """Something that a command does not know, whatever the images are."""


class ImageError(FcnError):
    """An image that cannot be read or segmented as it is."""


class ModelError(FcnError):
    """A model file that is missing, damaged, foreign, or does not fit the image."""


class OutputError(FcnError):
    """A result that cannot be written where it was asked to go."""


class InTheWay(OutputError):
    """Something is there already that is replaced only if the user says so.

    Parameters
    ----------
    short : str
        What is there, in a sentence.
    advice : str
        What the user can do on the command line; a dock has another advice.
    """

    def __init__(self, short: str, advice: str) -> None:
        super().__init__(f"{short} {advice}")
        self.short = short


class DeviceError(FcnError):
    """A device or a precision that this machine does not have."""


class ClusterError(FcnError):
    """A cluster that cannot be reached, or whose workers cannot do what they are asked."""


class MemoryShortage(DeviceError):
    """Memory ran out.

    Parameters
    ----------
    short : str
        What did not fit, in a sentence.
    advice : str
        What the user can do.
    """

    def __init__(self, short: str, advice: str) -> None:
        super().__init__(f"{short} {advice}")
        self.short = short


class ProjectError(FcnError):
    """A project folder that is missing, damaged, foreign or cannot be written."""


class ProjectInUseError(ProjectError):
    """A project that another program has open for writing: it can be opened read-only, or copied."""


class ImageMovedError(ProjectError):
    """A project whose image is not where it was: the user is to choose it again."""
