"""The request of a dock, and its description of the selected image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_fcn.settings import OutputSettings, PredictSettings

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """The request of the user.

    Attributes
    ----------
    model : Path
        The model file.
    settings : PredictSettings
        Settings of the run.
    axes : tuple of str
        Names of the image axes as typed by the user; empty: those of the layer, else guessed.
    output : OutputSettings
        Kinds, folder and format of result files.
    new : str
        Family of a new network, used instead of a model; empty: none.
    """

    model: Path
    settings: PredictSettings = field(default_factory=PredictSettings)
    axes: tuple[str, ...] = ()
    output: OutputSettings = field(default_factory=OutputSettings)
    new: str = ""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The description of an image before a run.

    Attributes
    ----------
    summary : str
        Size, type, axes, pixel size.
    axes : str
        Letter of each axis, as currently interpreted.
    channels : tuple of str
        Names of the channels; empty if there are none to choose from.
    rgb : bool
        Whether the channels are colours.
    problem : str
        Why the chosen model cannot run on it; empty if it can.
    pixel_size_warning : str
        The pixel sizes of image and model, if they differ too much for the model; else empty.
    """

    summary: str = ""
    axes: str = ""
    channels: tuple[str, ...] = ()
    rgb: bool = False
    problem: str = ""
    pixel_size_warning: str = ""
