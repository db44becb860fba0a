"""What stays as it is while a model is taught: the image, the model at the start, the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from napari_fcn.errors import ImageError
from napari_fcn.inference import device as devices
from napari_fcn.inference.source import ImageSource
from napari_fcn.learning import head
from napari_fcn.learning.features import FeatureExtractor
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import start_with_classes
from napari_fcn.models.binding import ImageForm, Network, bind
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from napari_fcn.geometry import Axes
    from napari_fcn.models.card import ModelCard
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.settings import TeachSettings

SHARE = 0.25  # of the free memory, for features


@dataclass(frozen=True, slots=True, eq=False)
class TeachingContext:
    """An image, and the model with which teaching began.

    Attributes
    ----------
    source : ImageSource
        The image.
    scaling : Scaling
        Of its intensities.
    start : Checkpoint
        The model at the start, with a head that can be taught.
    parent : str
        Hash of the model as it was given.
    device : torch.device
        Where networks run.
    """

    source: ImageSource
    scaling: Scaling
    start: Checkpoint
    parent: str
    device: torch.device

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: what of the image is read, and where its contrast is doubtful."""
        return (*self.source.notes, *self.scaling.notes)

    @property
    def card(self) -> ModelCard:
        """Card of the model at the start."""
        return self.start.info.card

    def create_model(self, model: Checkpoint, reference: tuple[int, ...], memory: float | None) -> InteractiveModel:
        """Return a model on the image; its prior is the head of the start, in the classes of the model.

        Parameters
        ----------
        model : Checkpoint
            The model.
        reference : tuple of int
            A pixel of the tile from which the statistics of the features are taken.
        memory : float or None
            For its features in GiB; a share of what is free if None.
        """
        spec = model.info.spec
        net, before = (
            devices.place(part.net(), spec.ndim, self.device)
            for part in (model, start_with_classes(self.start, model.info))
        )
        view = FeatureExtractor(self.source, self.scaling, theoretical(spec), spec.multiple, self.device)
        return InteractiveModel(net, view, budget(memory, self.device), head.read_head(before), reference)  # type: ignore[arg-type]


def create_context(
    image: Any, model: Checkpoint | None, axes: Axes | None, settings: TeachSettings, rgb: bool
) -> ImageSource:
    """Return an image as a model sees it; without a model, as a filter bank that takes all channels.

    Raises
    ------
    ImageError
        If the image is empty, not made of real numbers, or does not fit the model.
    """
    ndim = model.info.spec.ndim if model else len(axes.space) if axes else min(2, np.ndim(image))
    network = model.info.spec if model else Network(ndim)
    axes = axes or bind(ImageForm(np.shape(image), rgb=rgb), network).axes
    if len(axes.space) != ndim:
        raise ImageError(f"The model is {ndim}-D; the axes in space are {' '.join(axes.space)}.")
    channels = model.info.spec.channels if model else axes.channels(np.shape(image))
    reading = PredictSettings(channel=settings.channel, colour=settings.colour)
    return ImageSource.open(image, axes, channels, reading, rgb)


def budget(memory: float | None, device: torch.device) -> int:
    """Return the memory for features in bytes: so many GiB, or a share of what is free."""
    if memory is not None:
        return int(memory * 2**30)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * SHARE)
    return int(psutil.virtual_memory().available * SHARE)
