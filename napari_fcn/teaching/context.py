"""The constant part of a teaching session: image, initial model, device; and the saved session to resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from napari_fcn.geometry import Axes
from napari_fcn.inference import device as devices
from napari_fcn.inference.source import ImageSource
from napari_fcn.learning import head
from napari_fcn.learning.features import FeatureExtractor
from napari_fcn.learning.history import History
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import start_with_classes
from napari_fcn.models.binding import Binding, Network, bind_array
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.pins import Pin
    from napari_fcn.models.card import ModelCard
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.settings import TeachSettings

MEMORY_FRACTION = 0.25  # of the free memory, used for features


@dataclass(frozen=True, slots=True, eq=False)
class TeachingContext:
    """An image, and the model from which teaching starts.

    Attributes
    ----------
    source : ImageSource
        The image.
    scaling : Scaling
        Normalisation of its intensities.
    start : Checkpoint
        The initial model, with a trainable head.
    parent_hash : str
        Hash of the model that was given.
    device : torch.device
        Device on which networks run.
    axis_notes : tuple of str
        Sentences for the user on the axes that were guessed.
    """

    source: ImageSource
    scaling: Scaling
    start: Checkpoint
    parent_hash: str
    device: torch.device
    axis_notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on axes, channels and contrast of the image."""
        return (*self.axis_notes, *self.source.notes, *self.scaling.notes)

    @property
    def card(self) -> ModelCard:
        """Card of the initial model."""
        return self.start.info.card

    def create_model(self, model: Checkpoint, reference: tuple[int, ...], memory: float | None) -> InteractiveModel:
        """Return a model on the image; its prior is the head of the initial model, for the classes of ``model``.

        Parameters
        ----------
        model : Checkpoint
            The model.
        reference : tuple of int
            A pixel of the tile that the feature scaler is fitted to.
        memory : float or None
            Memory for features in GiB; a fraction of the free memory if None.
        """
        spec = model.info.spec
        net, initial_net = (
            devices.place(part.net(), spec.ndim, self.device)
            for part in (model, start_with_classes(self.start, model.info))
        )
        extractor = FeatureExtractor(self.source, self.scaling, theoretical(spec), spec.multiple, self.device)
        prior, budget = head.read_head(initial_net), feature_budget(memory, self.device)  # type: ignore[arg-type]
        return InteractiveModel(net, extractor, budget, prior, reference)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class SavedSession:
    """A teaching session that is resumed.

    Attributes
    ----------
    history : History
        Its commits; teaching resumes at the present one.
    load_samples : callable, optional
        Returns the samples of a commit, by its number.
    pins : tuple of Pin
        Its protected areas.
    reference : tuple of int
        A pixel of the tile that set the scale of its features; empty before its first round.
    """

    history: History = field(default_factory=History)
    load_samples: Callable[[int], Samples] | None = None
    pins: tuple[Pin, ...] = ()
    reference: tuple[int, ...] = ()


def bind_to_teach(
    image: Any, model: Checkpoint | None, axes: Binding | Axes | Sequence[str] | None, rgb: bool | None
) -> Binding:
    """Return how a model reads an image; without a model, how a filter bank reads it.

    Raises
    ------
    ImageError
        If axes, image and model do not fit each other.
    """
    if model is not None:
        return bind_array(np.shape(image), model.info.spec, axes, rgb)
    axis_roles = axes.axes if isinstance(axes, Binding) else axes
    ndim = len(axis_roles.space) if isinstance(axis_roles, Axes) else min(2, np.ndim(image) - bool(rgb))
    return bind_array(np.shape(image), Network(ndim), axes, rgb)


def open_source(image: Any, model: Checkpoint | None, bound: Binding, settings: TeachSettings) -> ImageSource:
    """Return an image as a model reads it; without a model, as a filter bank that reads all channels.

    Raises
    ------
    ImageError
        If the image is empty, not of real numbers, or its channels do not fit the model.
    """
    channels = model.info.spec.channels if model else bound.axes.channels(np.shape(image))
    reading = PredictSettings(channel=settings.channel, colour=settings.colour)
    colours = model is not None and model.info.spec.colours
    return ImageSource.open(image, bound.axes, channels, reading, bound.rgb, colours)


def feature_budget(memory: float | None, device: torch.device) -> int:
    """Return the memory for features in bytes: the given GiB, or a fraction of the free memory."""
    if memory is not None:
        return int(memory * 2**30)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * MEMORY_FRACTION)
    return int(psutil.virtual_memory().available * MEMORY_FRACTION)
