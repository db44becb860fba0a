"""What a dock asks for, and what it knows of the selected image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_fcn.settings import OutputSettings, PredictSettings

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
    output : OutputSettings
        What to write to files.
    new : str
        Family of the new network that is to be made instead of a model; empty: none.
    """

    model: Path
    settings: PredictSettings = field(default_factory=PredictSettings)
    axes: tuple[str, ...] = ()
    output: OutputSettings = field(default_factory=OutputSettings)
    new: str = ""


@dataclass(frozen=True, slots=True)
class ImageInfo:
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
    pixel_size_warning : str
        The pixel sizes of image and model, if they differ by more than the model tolerates; else empty.
    """

    summary: str = ""
    axes: str = ""
    channels: tuple[str, ...] = ()
    rgb: bool = False
    problem: str = ""
    pixel_size_warning: str = ""
