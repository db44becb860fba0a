"""Options of each task, declared in one place for forms, command line, saved projects and Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_fcn.options import AUTO, Option, Settings, option, options
from napari_fcn.typed import read_axes

__all__ = [
    "Option",
    "OutputSettings",
    "PredictSettings",
    "Settings",
    "TeachSettings",
    "TrainSettings",
    "option",
    "options",
]

DEVICES, SWITCH = (AUTO, "cpu", "cuda", "mps"), (AUTO, "on", "off")
PRECISIONS = (AUTO, "float32", "bfloat16", "float16")
COLOURS = ("luminance", "haematoxylin", "eosin", "dab")
TORCH, OPENVINO = "torch", "openvino"
MIN_MEMORY = 0.1  # GiB
SPLIT = 0.8  # how readily touching objects are separated by default
RESULT_KINDS = ("classes", "probabilities", "probabilities8", "objects")
ZARR = ".ome.zarr"


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
    backend: str = option(
        AUTO,
        "Back end",
        "Library that runs the network. openvino is faster on a CPU; it is used under auto if it is installed, runs "
        "the model exactly, and the image has at least 512 x 512 pixels. torch is used elsewhere.",
        choices=(AUTO, TORCH, OPENVINO),
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
        "Memory in GiB: on the command line of the whole program, elsewhere of a run in addition to what is in use. "
        "Empty: at most 1.5 GiB, or a third of the free memory for volumes, where more is much faster.",
        minimum=MIN_MEMORY,
        maximum=2**20,
    )
    roi: str = option(
        "",
        "Region",
        "Part of the image to predict: START:STOP in pixels for each axis, without channels, such as 0:512,100:612; or "
        "by name, such as z=3:5,y=0:512. Results have the size of the region. Empty: the whole image.",
    )
    resample: str = option(
        "off",
        "Resample",
        "Resample the image to the model's pixel size, tile by tile, and the result back. auto does so if they differ "
        "by more than 20 %. linear, cubic (sharper) and gaussian (smoother) choose the kernel.",
        choices=("off", AUTO, "linear", "cubic", "gaussian"),
    )
    object_size: float | str | None = option(
        None,
        "Object size",
        "Diameter of the objects in pixels of the image, which is resampled, tile by tile, so that they have the size "
        "at which the model works best, and the result back. auto: measured, once for all frames and planes.",
        minimum=1,
        maximum=2**14,
        empty="not resampled",
        word=AUTO,
    )
    percentiles: tuple[float, ...] = option(
        (),
        "Percentiles",
        "Percentiles that set the range of intensities, such as 1,99.9. Empty: those of the model.",
        minimum=0,
        maximum=100,
        is_range=True,
    )
    scaling: str = option(
        "image",
        "Scaling",
        "Pixels that set the range of intensities: those of the image, or of each frame, for movies that bleach.",
        choices=("image", "frame"),
    )
    split: float = option(
        SPLIT,
        "Split",
        "How readily touching objects are separated where objects are found: 0 hardly ever, 1 at the slightest dent. "
        "Probabilities and classes do not depend on it.",
        minimum=0,
        maximum=1,
    )
    smallest: int | None = option(
        None,
        "Smallest object",
        "Pixels of the smallest object that is kept; where objects are found, smaller ones are background. Empty: 5 in "
        "1-D, 15 in 2-D, 40 in 3-D.",
        minimum=1,
        maximum=2**31,
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
        "Patterns for the names of the validation images; these are never used for training, even if they match both. "
        "Or the share of the training images to draw for validation, such as 0.2: whole pictures, so that none is used "
        "for both.",
    )
    groups: str = option(
        "",
        "Groups",
        "Regular expression whose first group names the picture, animal or movie of an image, such as "
        "'train_(mouse[0-9]+)_': with a share as --validate, its images are not divided. Empty: tiles of one picture "
        "are found by their matching edges only.",
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
    flips: str = option(
        AUTO,
        "Mirror images",
        "Also train on mirror images. Classes that a mirror exchanges, such as left and right, cannot be learnt from "
        "them: auto mirrors only along axes on which no class lies on the same side of another in most images. on: "
        "along all axes; off: along none.",
        choices=SWITCH,
    )
    right_angles: str = option(
        AUTO,
        "Right angles",
        "Also turn crops by multiples of 90 degrees, in planes of equal pixel size and patch size. auto: only in "
        "planes whose axes auto also mirrors. on: in all planes; off: in none.",
        choices=SWITCH,
    )
    zoom: tuple[float, ...] = option(
        (0.5, 2.0),
        "Zoom",
        "Smallest and largest random magnification of a crop, such as 0.8,1.25. 1: off.",
        minimum=0.05,
        maximum=20,
    )
    elastic: bool = option(True, "Elastic", "Also deform crops by smooth random displacements of about 3 pixels.")
    intensity: bool = option(
        True, "Intensity", "Also change gamma, contrast and brightness of crops, blur them, and add noise, at random."
    )
    patch: tuple[int, ...] = option(
        (),
        "Patch",
        "Size of a training crop in pixels: one number for all axes, or one for each axis, such as 16,128,128. Empty: "
        "the receptive field of the network, and at least 4096 in 1-D, 256 in 2-D, 64 in 3-D; but not more than the "
        "images, or than fits into memory.",
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
        "Evaluate every",
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


@dataclass(frozen=True, slots=True)
class OutputSettings(Settings):
    """Which results are saved, where, and in which format."""

    save: tuple[str, ...] = option(
        (),
        "Save",
        "Results to save for each image: classes (class indices, uint8), objects (numbered, uint32), probabilities "
        "(float32, or uint8 as probabilities8). Separate several with commas.",
        choices=RESULT_KINDS,
        combinations=(
            (),
            *((kind,) for kind in RESULT_KINDS),
            ("classes", "objects"),
            ("classes", "probabilities"),
            ("classes", "objects", "probabilities"),
        ),
    )
    folder: str = option("", "Save to", "Folder for the results. Empty: next to the image.")
    suffix: str = option(
        AUTO,
        "Format",
        "OME-TIFF for most programs, OME-Zarr for very large results. auto: OME-Zarr for images that are OME-Zarr, "
        "OME-TIFF for others.",
        choices=(AUTO, ".ome.tif", ZARR),
    )
    overwrite: bool = option(
        False,
        "Replace files",
        "Replace existing results once the new ones are complete.",
    )
    axes: str = option(
        "",
        "Axes",
        "One letter for each axis of the images, such as tzyx or cyx: t time, c channels, z y x space. Empty: the axes "
        "named by the file or layer, else guessed.",
    )

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The axes, in lower case; empty if they are not given."""
        return read_axes(self.axes.lower())

    def folder_for(self, image_folder: Path | None) -> Path | None:
        """Return the folder for the results of an image; None if it is not set and the image has no folder."""
        return Path(self.folder).expanduser() if self.folder else image_folder

    def paths_in(self, folder: Path, name: str, default_suffix: str) -> dict[str, Path]:
        """Return a file for each kind of result; ``default_suffix`` is the format under auto."""
        suffix = self.suffix_for(default_suffix)
        return {kind: folder / f"{name}_{kind}{suffix}" for kind in self.save}

    def suffix_for(self, default: str) -> str:
        """Return the suffix of the results; ``default`` is that of the format auto."""
        return default if self.suffix == AUTO else self.suffix
