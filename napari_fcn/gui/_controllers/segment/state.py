"""What the docks show and ask for, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_fcn.gui._controllers.segment.output_settings import SaveSettings
from napari_fcn.gui._layers import replaced_since
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for.

    Attributes
    ----------
    model : Path
        The model file.
    settings : PredictSettings
        How to run it.
    axes : tuple of str
        What the user calls the axes of the image; empty: as the layer does, else guessed.
    save : SaveSettings
        What to write to files.
    new : str
        Family of the new network that is to be made instead of a model; empty: none.
    """

    model: Path
    settings: PredictSettings = field(default_factory=PredictSettings)
    axes: tuple[str, ...] = ()
    save: SaveSettings = field(default_factory=SaveSettings)
    new: str = ""


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class, its colour ``#rrggbb``, and its share of the pixels, 0..1."""

    name: str
    colour: str
    share: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run has to tell.

    Attributes
    ----------
    image, model : str
        What was segmented, and with which model.
    seconds : float
        How long it took.
    pixels : int
        How many pixels were segmented.
    device, precision : str
        Where and in which numbers the network ran.
    classes : tuple of ClassShare
        What was found.
    notes : tuple of str
        Sentences for the user.
    files : tuple of str
        What was written.
    is_outdated : bool
        Whether the pixels of the image were replaced since.
    """

    image: str
    model: str
    seconds: float
    pixels: int
    device: str
    precision: str
    classes: tuple[ClassShare, ...]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    is_outdated: bool = False

    @property
    def warning(self) -> str:
        """What the user must know before using the result; empty if nothing."""
        return replaced_since(self.image) if self.is_outdated else ""

    @property
    def speed(self) -> float:
        """Megapixels per second."""
        return self.pixels / 1e6 / max(self.seconds, 1e-6)


@dataclass(frozen=True, slots=True)
class ViewState:
    """All that a dock shows of the controller.

    Attributes
    ----------
    is_running : bool
        Whether a run is going on.
    done, total : int
        Tiles finished, and in all; 0 before the plan is made.
    seconds_left : float or None
        Estimate; None while nobody knows.
    message, error : str
        What happens or happened, and what went wrong.
    result : RunResult or None
        The latest run that came to its end.
    """

    is_running: bool = False
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    error: str = ""
    result: RunResult | None = None

    def is_step_after(self, earlier: ViewState) -> bool:
        """Whether nothing but the progress of a run differs."""
        return self == replace(earlier, done=self.done, seconds_left=self.seconds_left)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a dock says of an image before the run.

    Attributes
    ----------
    summary : str
        Size, type, axes, pixel size.
    axes : str
        Letter of each axis, as it is read now.
    channels : tuple of str
        Names of the channels; empty if there are none to choose from.
    rgb : bool
        Whether they are colours.
    problem : str
        Why the chosen model cannot run on it; empty if it can.
    apart : str
        What its pixel size is and that of the model, if the objects of the one are of another size in the other.
    """

    summary: str = ""
    axes: str = ""
    channels: tuple[str, ...] = ()
    rgb: bool = False
    problem: str = ""
    apart: str = ""
