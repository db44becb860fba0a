"""The state of the Segment dock, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_fcn.gui._layers import outdated_message


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class, its colour ``#rrggbb``, and its share of the pixels, 0..1."""

    name: str
    colour: str
    share: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a finished run.

    Attributes
    ----------
    image, model : str
        Names of the image and the model.
    line : str
        Time, device, precision and speed: `RunProgress.result_line`.
    classes : tuple of ClassShare
        The fraction of the pixels in each class.
    notes : tuple of str
        Sentences for the user.
    files : tuple of str
        The files that were written.
    is_outdated : bool
        Whether the pixels of the image were replaced after the run.
    """

    image: str
    model: str
    line: str
    classes: tuple[ClassShare, ...]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    is_outdated: bool = False

    @property
    def warning(self) -> str:
        """A warning about the result; empty if there is none."""
        return outdated_message(self.image) if self.is_outdated else ""


@dataclass(frozen=True, slots=True)
class ViewState:
    """The state of the controller that the dock shows.

    Attributes
    ----------
    is_running : bool
        Whether a run is in progress.
    done, total : int
        Finished tiles and all tiles; 0 before the run is planned.
    fraction : float
        Fraction of the work that is done, 0..1.
    seconds_left : float or None
        Estimate; None if unknown.
    message, error : str
        The latest event, and the latest error.
    result : RunResult or None
        The result of the latest finished run.
    """

    is_running: bool = False
    done: int = 0
    total: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    error: str = ""
    result: RunResult | None = None

    def is_step_after(self, previous: ViewState) -> bool:
        """Whether only the progress of a run differs."""
        return self == replace(previous, done=self.done, fraction=self.fraction, seconds_left=self.seconds_left)
