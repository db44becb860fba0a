"""Options of each task, declared and checked in one place for forms, command line, saved projects and Python."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from math import isfinite
from typing import Any, cast, get_args, get_type_hints

import numpy as np

from napari_fcn.errors import SettingsError
from napari_fcn.typed import SEVERAL, WORDS, read_number, read_numbers

AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda", "mps")
PRECISIONS = (AUTO, "float32", "bfloat16", "float16")
COLOURS = ("luminance", "haematoxylin", "eosin", "dab")
MIN_MEMORY = 0.1  # GiB
LARGEST = 2**63 - 1  # of whole numbers


@dataclass(frozen=True, slots=True)
class Option:
    """One field of a settings class: how it is shown, and which values it takes.

    Attributes
    ----------
    name, kind, default
        The field's name, type and default. An empty value, in a form, a file or Python, is the default.
    label, help : str
        Short name, and a plain sentence with units.
    choices : tuple of str
        Values to choose from; empty if any value of the type will do.
    numbered : str
        The choice that may have a number, as ``cuda`` in ``cuda:1``.
    minimum, maximum : float or None
        Range of a number.
    advanced : bool
        Whether a form shows it only on demand.
    """

    name: str
    kind: Any
    default: Any
    label: str
    help: str
    choices: tuple[str, ...] = ()
    numbered: str = ""
    minimum: float | None = None
    maximum: float | None = None
    advanced: bool = True

    @property
    def is_list(self) -> bool:
        """Whether the value is a tuple of any length."""
        return Ellipsis in get_args(self.kind)

    @property
    def item_kind(self) -> type:
        """Type of the value, or of each item of a list."""
        kinds: list[type] = [kind for kind in get_args(self.kind) if kind not in (type(None), Ellipsis)]
        return kinds[0] if kinds else cast("type", self.kind)

    def parse(self, text: str) -> Any:
        """Return the value of a text from a form or a flag; empty, or ``auto``, is the default.

        Raises
        ------
        ValueError
            If the text is not a value of the option; the message is a sentence for the user.
        """
        text, kind = text.strip(), self.item_kind
        if not text or (text == AUTO and kind is not str):
            return self.default
        if kind is str:
            return self.check([word for word in re.split(r"[,;\s]+", text) if word] if self.is_list else text)
        if kind is bool:
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        return self.check(read_numbers(text, kind) if self.is_list else read_number(text, kind))

    def check(self, value: Any) -> Any:
        """Return a value as the settings hold it; an empty one (None, or an empty text) is the default.

        Raises
        ------
        ValueError
            If the option does not take the value; the message is a sentence for the user.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return self.default
        if not self.is_list:
            return self._check_item(value, (value,))
        items = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        checked = [self._check_item(item, items) for item in items]
        return tuple(dict.fromkeys(checked) if self.choices else checked)

    def format(self, value: Any) -> str:
        """Return a value as a text that `parse` reads."""
        if value is None:
            return ""
        return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    def _check_item(self, value: Any, items: tuple[Any, ...]) -> Any:
        """Return one item as the settings hold it; messages show all items."""
        value = value.item() if isinstance(value, np.generic) else value
        if not _is_of(value, self.item_kind):
            several = SEVERAL if self.is_list else ""
            raise ValueError(f"“{self.format(items)}” is not {WORDS[self.item_kind]}{several}.")
        if isinstance(value, str):
            return self._check_choice(value.strip())
        shown = f"{value:.15g}" if self.item_kind is float else f"{value}"
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"{shown} is too small; the minimum is {self.minimum}.")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"{shown} is too large; the maximum is {self.maximum}.")
        if self.item_kind is int and abs(value) > LARGEST:
            raise ValueError(f"{shown} is too large; it must fit in 64 bits.")
        return value

    def _check_choice(self, text: str) -> str:
        has_number = bool(self.numbered) and re.fullmatch(rf"{self.numbered}:[0-9]+", text)
        if self.choices and text not in self.choices and not has_number:
            more = f" or {self.numbered}:N" if self.numbered else ""
            raise ValueError(f"“{text}” is not one of {', '.join(self.choices)}{more}.")
        return text


def _is_of(value: Any, kind: type) -> bool:
    """Whether a value is of a type; whole numbers are numbers, True and False are not, and numbers are finite."""
    if kind is float and type(value) is float:
        return isfinite(value)
    return type(value) is kind or (kind is float and type(value) is int and abs(value) <= sys.float_info.max)


def option(default: Any, label: str, help: str, **more: Any) -> Any:  # noqa: A002 - the word of the forms
    """Return a dataclass field that carries its own label, help, choices and range."""
    return field(default=default, metadata={"label": label, "help": help, **more})


def options(settings: type) -> tuple[Option, ...]:
    """Return the options of a settings class in the order of its fields."""
    return _options(settings)


@cache
def _options(settings: Any) -> tuple[Option, ...]:
    kinds = get_type_hints(settings)
    return tuple(
        Option(f.name, kinds[f.name], None if f.default is MISSING else f.default, **f.metadata)
        for f in fields(settings)
        if "label" in f.metadata
    )


class Settings:
    """Base of the settings classes: every option is checked when an instance is made."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for declared in options(type(self)):
            try:
                value = declared.check(getattr(self, declared.name))
            except ValueError as error:
                raise SettingsError(f"{declared.name}: {error}") from error
            object.__setattr__(self, declared.name, value)


def _channel() -> Any:
    return option(
        None,
        "Channel",
        "Channel that a one-channel network uses, counted from 0. Empty: the first one; for a colour image, the one "
        "set under Colours.",
        minimum=0,
    )


def _colour() -> Any:
    return option(
        "luminance",
        "Colours",
        "What a one-channel network uses of a colour image: its brightness, or one stain of a histological section.",
        choices=COLOURS,
    )


def _device(purpose: str) -> Any:
    return option(
        AUTO,
        "Device",
        f"Device {purpose}. auto uses a GPU if there is one; cuda:1 is the second GPU.",
        choices=DEVICES,
        numbered="cuda",
    )


def _seed(same: str) -> Any:
    return option(0, "Seed", f"Seed of the random numbers: the same {same}.", minimum=0)


@dataclass(frozen=True, slots=True)
class PredictSettings(Settings):
    """How to run a network on an image."""

    device: str = _device("that runs the network")
    precision: str = option(
        AUTO,
        "Precision",
        "Number type of the computation. auto is float32 on a CPU, and bfloat16 or float16 on a CUDA GPU. Half "
        "precision is faster and changes probabilities by about 0.01.",
        choices=PRECISIONS,
    )
    tile: tuple[int, ...] = option(
        (),
        "Tile",
        "Size of a tile in pixels: one number for all axes, or one for each axis of the network. Empty: the fastest "
        "size within the memory limit. The result does not depend on it.",
        minimum=1,
    )
    channel: int | None = _channel()
    colour: str = _colour()
    head: str = option(
        "taught",
        "Head",
        "Which head of a taught model predicts: the one trained on strokes (taught), or the one before it (original). "
        "original is the model before teaching, unless the whole network was fine-tuned. Other models have one head.",
        choices=("taught", "original"),
    )
    memory: float | None = option(
        None,
        "Memory limit",
        "Memory in GiB that a run may use in addition to what is in use. Empty: half of the free memory.",
        minimum=MIN_MEMORY,
        maximum=2**20,
    )
    resample: str = option(
        "off",
        "Resample",
        "Resample the image to the model's pixel size, tile by tile, and the result back. auto does so if they differ "
        "by more than 20 %. linear, cubic (sharper) and gaussian (smoother) choose the kernel.",
        choices=("off", AUTO, "linear", "cubic", "gaussian"),
    )
    fallback: str = option(
        "exact",
        "If memory runs out",
        "exact: use smaller tiles, then the CPU; the result is the same up to rounding. half: also use half precision, "
        "which changes probabilities by about 0.01. off: stop.",
        choices=("exact", "half", "off"),
    )


@dataclass(frozen=True, slots=True)
class TrainSettings(Settings):
    """How to train a network on a folder of images and labels."""

    target: str = option(
        "objects",
        "Target",
        "What the network learns from the labels: objects (background, interior and rim of each numbered object), "
        "membranes (borders between numbered cells), or classes (label values are the classes; 0 is the first).",
        choices=("objects", "membranes", "classes"),
    )
    label_values: tuple[int, ...] = option(
        (),
        "Label values",
        "Label value of each class, in order, such as 0,255 for a mask; pixels with other values are ignored. Empty: "
        "0, 1, 2 and so on. Only for the target classes.",
    )
    train: str = option(
        "train_*",
        "Training images",
        "Patterns for the names of the training images, without _image.tif; separate several with commas.",
    )
    validate: str = option(
        "val_*",
        "Validation images",
        "Patterns for the names of the validation images; these are never used for training, even if they match both.",
    )
    kinds: str = option(
        "",
        "Kinds",
        "Regular expression whose first group is the kind of an image, such as 'train_([a-z]+)_'. Kinds are balanced "
        "and scored separately. Empty: all images are of one kind.",
    )
    balance: float = option(
        0.5,
        "Balance",
        "Kinds are sampled in proportion to this power of their number of images: 1 samples all images equally often, "
        "0 all kinds.",
        minimum=0,
        maximum=1,
    )
    rarity: float = option(
        0.25,
        "Rarity",
        "Classes are weighted by this power of their rarity. 0: all classes have the same weight, which makes thin "
        "structures thinner.",
        minimum=0,
        maximum=1,
    )
    epochs: int = option(100, "Epochs", "Passes over the training images.", minimum=1)
    crops: int = option(4, "Crops", "Random crops from each image in an epoch.", minimum=1)
    patch: tuple[int, ...] = option(
        (),
        "Patch",
        "Size of a training crop in pixels: one number for all axes, or one for each axis, such as 16,128,128. Empty: "
        "4096 in 1-D, 256 in 2-D, 64 in 3-D.",
        minimum=1,
    )
    spacing: tuple[float, ...] = option(
        (),
        "Spacing",
        "Relative pixel size along each axis, such as 3,1,1, so that crops are deformed and rotated in true "
        "proportion. Empty: the voxel size in the recipe; without one, the same along all axes.",
        minimum=1e-9,
    )
    batch: int = option(4, "Batch", "Crops in one training step.", minimum=1)
    rate: float = option(
        2e-3, "Learning rate", "Peak learning rate of AdamW; it decreases to zero along a cosine.", minimum=0
    )
    decay: float = option(1e-2, "Weight decay", "Weight decay of AdamW.", minimum=0)
    invert: bool = option(
        False, "Invert", "Also train on inverted images, so that dark and bright objects are both found."
    )
    device: str = _device("that trains the network")
    precision: str = option(AUTO, "Precision", "Number type of the computation.", choices=PRECISIONS)
    workers: int = option(0, "Workers", "Processes that prepare crops during training; 0: none.", minimum=0)
    seed: int = _seed("seed gives the same training")


@dataclass(frozen=True, slots=True)
class TeachSettings(Settings):
    """How a model learns from strokes."""

    keep: float = option(
        0.5,
        "Keep or fit",
        "1 keeps the model's original training: its weights hardly change. 0 fits this image, even if the model then "
        "fails on others.",
        minimum=0,
        maximum=1,
        advanced=False,
    )
    network: str = option(
        "automatic",
        "Whole network",
        "What to do when background fine-tuning improves on the current model: replace it (automatic), or offer the "
        "update (ask). off: no fine-tuning, only the head learns.",
        choices=("automatic", "ask", "off"),
    )
    judge_every: int = option(
        24,
        "Judge every",
        "Fine-tuning steps between two evaluations of a candidate. More is slower.",
        minimum=1,
    )
    attempts: int = option(
        3,
        "Attempts",
        "How often a candidate may be evaluated on the same strokes, with further fine-tuning in between.",
        minimum=1,
    )
    rate: float = option(1e-3, "Learning rate", "Learning rate of fine-tuning.", minimum=0)
    patch: int | None = option(
        None,
        "Patch",
        "Size in pixels of the patches around strokes that are used for fine-tuning. Empty: 2 to 4 times the "
        "receptive field.",
        minimum=16,
        maximum=2**20,
    )
    device: str = _device("that trains the network")
    precision: str = option(
        AUTO,
        "Precision",
        "Number type of the training. auto is mixed precision where that is faster.",
        choices=PRECISIONS,
    )
    channel: int | None = _channel()
    colour: str = _colour()
    memory: float | None = option(
        None,
        "Memory limit",
        "Memory in GiB for the features of the visible area. Empty: a quarter of the free memory.",
        minimum=MIN_MEMORY,
        maximum=2**20,
    )
    seed: int = _seed("strokes and seed give the same weights")
