"""The options of each task, declared once: forms, command line and documentation are made from them."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterable

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
COLOURS = ("luminance", "haematoxylin", "eosin", "dab")


@dataclass(frozen=True, slots=True)
class Option:
    """How one field of a settings class is shown, asked for and checked.

    Attributes
    ----------
    name, kind, default
        The field's name, type and default.
    label, help : str
        Short name and plain sentence, with units.
    choices : tuple of str
        Values to choose from; empty if any value of the type will do.
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
    minimum: float | None = None
    maximum: float | None = None
    advanced: bool = True


def option(default: Any, label: str, help: str, **more: Any) -> Any:  # noqa: A002 - the word of the forms
    """Return a dataclass field that carries its own label, help, choices and range."""
    return field(default=default, metadata={"label": label, "help": help, **more})


def options(settings: type) -> tuple[Option, ...]:
    """Return the options of a settings class in the order of its fields."""
    kinds = get_type_hints(settings)
    return tuple(
        Option(f.name, kinds[f.name], None if f.default is MISSING else f.default, **f.metadata)
        for f in fields(settings)
        if "label" in f.metadata
    )


def _numbers(value: float | Iterable[Any]) -> tuple[Any, ...]:
    """Return one number or several as a tuple."""
    return (value,) if isinstance(value, int | float) else tuple(value)


def _channel() -> Any:
    return option(
        None,
        "Channel",
        "Which channel a one-channel network reads, from 0. Empty: the first; of a colour image what Colours says.",
        minimum=0,
    )


def _colour() -> Any:
    return option(
        "luminance",
        "Colours",
        "What a one-channel network reads from a colour image: brightness, or one stain of a histological section.",
        choices=COLOURS,
    )


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """How to run a network on an image."""

    device: str = option(
        "auto",
        "Device",
        "Where the network runs: auto takes a GPU where there is one. cuda:1 names the second GPU.",
    )
    precision: str = option(
        "auto",
        "Precision",
        "Numbers to compute with. auto is float32 on the CPU and bfloat16 or float16 on a CUDA GPU; "
        "half precision is faster and moves probabilities by about 0.01.",
        choices=PRECISIONS,
    )
    tile: tuple[int, ...] = option(
        (),
        "Tile",
        "Length of a tile in pixels, one number for all axes or one for each axis of the network. Empty: what is "
        "done soonest within the memory limit. The answer does not depend on it.",
        minimum=1,
    )
    channel: int | None = _channel()
    colour: str = _colour()
    head: str = option(
        "taught",
        "Head",
        "Which answer of a model that was taught: that of the strokes, or that of the head before them (original): the "
        "model before, unless the whole network has learnt too. Other models have one head.",
        choices=("taught", "original"),
    )
    memory: float | None = option(
        None,
        "Memory limit",
        "Memory that a run may take beyond what is in use, in GiB. Empty: half of what is free.",
        minimum=0.1,
    )
    resample: str = option(
        "off",
        "Resample",
        "Bring the image to the pixel size that the model learnt on, tile by tile, and the answer back: auto where "
        "they differ by more than 20 %; or with a kernel: linear, cubic (sharper), gaussian (smoother).",
        choices=("off", "auto", "linear", "cubic", "gaussian"),
    )
    fallback: str = option(
        "exact",
        "If memory runs out",
        "What is tried: smaller tiles, then the CPU, with the same answer up to rounding (exact); half precision too, "
        "which moves probabilities by about 0.01 (half); nothing (off).",
        choices=("exact", "half", "off"),
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "tile", _numbers(self.tile))


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train a network on a folder of images and labels."""

    target: str = option(
        "objects",
        "Target",
        "What the labels teach: objects (background, inside and rim of each numbered object), membranes (borders "
        "between numbered cells), or classes (label values are the classes, 0 is the first).",
        choices=("objects", "membranes", "classes"),
    )
    label_values: tuple[int, ...] = option(
        (),
        "Label values",
        "What the classes are written as in the labels, in their order, as 0,255 in a mask; any other value is "
        "unknown. Empty: 0, 1, 2 and so on. For the target classes.",
    )
    train: str = option(
        "train_*",
        "Training images",
        "Names of the images to learn from, before _image.tif; several patterns are separated by commas.",
    )
    validate: str = option(
        "val_*",
        "Validation images",
        "Names of the images to score on; they are never learnt from, even if they fit both.",
    )
    kinds: str = option(
        "",
        "Kinds",
        "Pattern (regular expression) whose first group is the kind of an image, as in 'train_([a-z]+)_'; kinds are "
        "balanced and scored apart. Empty: all are one kind.",
    )
    balance: float = option(
        0.5,
        "Balance",
        "How often a kind is drawn grows with this power of the number of its images: 1 leaves them as they are, 0 "
        "draws all kinds equally often.",
        minimum=0,
        maximum=1,
    )
    rarity: float = option(
        0.25,
        "Rarity",
        "How much more a rare class counts: its weight grows with this power of its rarity. 0: all count alike, which "
        "paints thin classes thinner.",
        minimum=0,
        maximum=1,
    )
    epochs: int = option(100, "Epochs", "Passes over the training images.", minimum=1)
    crops: int = option(4, "Crops", "Random crops taken from each image in one pass.", minimum=1)
    patch: tuple[int, ...] = option(
        (),
        "Patch",
        "Length of a training crop in pixels, one number for all axes or one for each axis, as in 16,128,128. Empty: "
        "4096 in 1-D, 256 in 2-D, 64 in 3-D.",
        minimum=1,
    )
    spacing: tuple[float, ...] = option(
        (),
        "Spacing",
        "Length of a pixel along each axis relative to one another, as in 3,1,1, so that crops are bent and turned in "
        "true proportion. Empty: the voxel size in the recipe, else all alike.",
        minimum=1e-9,
    )
    batch: int = option(4, "Batch", "Crops learnt from in one step.", minimum=1)
    rate: float = option(2e-3, "Learning rate", "Peak learning rate of AdamW; it falls to zero along a cosine.")
    decay: float = option(1e-2, "Weight decay", "Weight decay of AdamW.", minimum=0)
    invert: bool = option(False, "Invert", "Also learn from inverted images: dark objects and bright ones become one.")
    device: str = option("auto", "Device", "Where the network learns: auto takes a GPU where there is one.")
    precision: str = option("auto", "Precision", "Numbers to compute with.", choices=PRECISIONS)
    workers: int = option(0, "Workers", "Processes that prepare crops beside the training; 0: none.", minimum=0)
    seed: int = option(0, "Seed", "Start of the random numbers: the same seed gives the same training.", minimum=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_values", _numbers(self.label_values))
        object.__setattr__(self, "patch", _numbers(self.patch))
        object.__setattr__(self, "spacing", _numbers(self.spacing))


@dataclass(frozen=True, slots=True)
class TeachSettings:
    """How a model learns from strokes."""

    keep: float = option(
        0.5,
        "Keep or fit",
        "1 keeps what the model knew: its weights hardly move. 0 fits this image, whatever is forgotten elsewhere.",
        minimum=0,
        maximum=1,
        advanced=False,
    )
    network: str = option(
        "automatic",
        "Whole network",
        "What becomes of a whole network that has learnt in the background and passed its examination: it replaces the "
        "accepted one (automatic), waits for your word (ask), or is never made (off: only the head learns).",
        choices=("automatic", "ask", "off"),
    )
    judge_every: int = option(
        24, "Judge every", "Steps that the whole network learns before it is judged. More is slower.", minimum=1
    )
    attempts: int = option(
        3, "Attempts", "How often a network may be judged on the same strokes, learning on in between.", minimum=1
    )
    rate: float = option(1e-3, "Learning rate", "Learning rate of the whole network.", minimum=0)
    patch: int | None = option(
        None,
        "Patch",
        "Length of the patches around strokes on which the whole network learns, in pixels. Empty: some times as much "
        "as the network sees around a pixel.",
        minimum=16,
    )
    device: str = option("auto", "Device", "Where the network learns: auto takes a GPU where there is one.")
    precision: str = option(
        "auto",
        "Precision",
        "Numbers to learn with: auto is mixed precision where it is faster.",
        choices=PRECISIONS,
    )
    channel: int | None = _channel()
    colour: str = _colour()
    memory: float | None = option(
        None,
        "Memory limit",
        "Memory for the features of what is on screen, in GiB. Empty: a quarter of what is free.",
        minimum=0.1,
    )
    seed: int = option(
        0, "Seed", "Start of the random numbers: the same strokes and seed give the same weights.", minimum=0
    )
