"""Events of supervised training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelsFound:
    """The labels were read; training has not started.

    Attributes
    ----------
    split : str
        ``"training"``, ``"validation"``, or ``"image"`` if there is one image only.
    images : int
        Images, or planes of a stack.
    classes : tuple of str
        Names of the classes.
    pixels : tuple of int
        Labelled pixels of each class.
    unknown : int
        Pixels without a label; they are ignored.
    notes : tuple of str
        Sentences for the user: conversions and warnings.
    """

    split: str
    images: int
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    unknown: int
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """A sentence for the user: how many pixels each class has."""
        known = max(1, sum(self.pixels))
        parts = [f"{name} {n} px ({n / known:.1%})" for name, n in zip(self.classes, self.pixels, strict=True)]
        ending = "" if self.images == 1 else "s"
        where = "the image" if self.split == "image" else f"{self.images} {self.split} image{ending}"
        return f"Labels of {where}: {', '.join(parts)}; {self.unknown} px not labelled."


@dataclass(frozen=True, slots=True)
class SplitChosen:
    """The images were divided into training and validation images.

    Attributes
    ----------
    training, validation : int
        Number of images.
    method : str
        How they were divided.
    shared : tuple of (str, str)
        Validation images of pictures that are also used for training, each with a training image of its picture.
    notes : tuple of str
        Sentences for the user: warnings.
    """

    training: int
    validation: int
    method: str
    shared: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """A sentence for the user."""
        return f"Validation: {self.method}"

    @property
    def warning(self) -> str:
        """A sentence on pictures in both parts, for the card of the model; empty if there are none."""
        if not self.shared:
            return ""
        return (
            f"{len(self.shared)} of {self.validation} validation images are of pictures that are also used for "
            "training (by matching edges, equal pixels or names): their scores are too optimistic."
        )


@dataclass(frozen=True, slots=True)
class PatchChosen:
    """The size of training crops is known; training has not started.

    Attributes
    ----------
    patch : tuple of int
        Length of a crop along each axis in pixels.
    field : tuple of int
        Receptive field of the network along each axis in pixels.
    notes : tuple of str
        Sentences for the user: why crops are smaller than wanted.
    """

    patch: tuple[int, ...]
    field: tuple[int, ...]
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """A sentence for the user."""
        sides, field = (" x ".join(map(str, lengths)) for lengths in (self.patch, self.field))
        return f"Crops of {sides} px; the receptive field of the network is {field} px."


@dataclass(frozen=True, slots=True)
class AugmentationChosen:
    """It was decided along which axes crops are mirrored; training has not started.

    Attributes
    ----------
    directed : tuple of int
        Axes along which classes differ in direction: crops are not mirrored there under auto.
    notes : tuple of str
        Sentences for the user: what was decided, and why.
    """

    directed: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One epoch of training has finished.

    Attributes
    ----------
    epoch, epochs : int
        Epochs finished so far, and planned.
    loss : float
        Mean training loss of the epoch.
    scores : dict of str to float
        Validation scores, each in 0..1, higher is better: ``dice``, ``boundary_f1``, and ``dice_KIND``,
        ``boundary_f1_KIND`` for each kind of image.
    best : bool
        Whether these are the best weights so far (these are on disk).
    seconds : float
        Time since the start of training.
    """

    epoch: int
    epochs: int
    loss: float
    scores: dict[str, float]
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class TasksEpochDone:
    """One epoch of a training of several tasks has finished; its state and a model for each task are on disk.

    Attributes
    ----------
    epoch, epochs : int
        Epochs finished so far, and planned.
    losses : dict of str to float
        Mean loss of the classes of each task.
    seconds : float
        Duration of the epoch.
    """

    epoch: int
    epochs: int
    losses: dict[str, float]
    seconds: float
