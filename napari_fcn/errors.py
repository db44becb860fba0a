"""Errors whose messages are written for the person at the microscope."""


class FcnError(Exception):
    """Something the user can mend: the message says what was given, what is needed and what to do."""


class ImageError(FcnError):
    """An image that cannot be read or segmented as it is."""


class ModelError(FcnError):
    """A model file that is missing, damaged, foreign, or does not fit the image."""


class OutputError(FcnError):
    """A result that cannot be written where it was asked to go."""


class DeviceError(FcnError):
    """A device or a precision that this machine does not have."""
