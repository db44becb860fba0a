"""Datasets of random crops from a folder of labelled images."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from napari_fcn.errors import ImageError
from napari_fcn.inference.source import check_array, check_finite, luminance
from napari_fcn.io.examples import read_tiff
from napari_fcn.learning.labels import shape_advice
from napari_fcn.models.binding import COLOUR_SAMPLES, ImageForm, Network, bind
from napari_fcn.training.augment import Augmentation
from napari_fcn.training.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.models.normalise import Normaliser
    from napari_fcn.settings import TrainSettings

    Reader = Callable[[Path], tuple[npt.NDArray[Any], bool | None]]

SUFFIX = "_image.tif"
PATCH_SIDES = {1: 4096, 2: 256, 3: 64}  # pixels along each axis, by number of axes


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image with its labels.

    Attributes
    ----------
    name, kind : str
        File name, and kind of image.
    views : tuple of ndarray
        ``(channels, *space)`` float32, normalised. The first is the input at inference; a colour image has another view
        for each colour channel.
    labels : ndarray
        ``(*space)`` label values.
    notes : tuple of str
        Sentences for the user about conversions.
    picture : str
        The picture that the image is a part of, as the planes of a volume are; empty if it is a picture of its own.
    """

    name: str
    kind: str
    views: tuple[npt.NDArray[np.float32], ...]
    labels: npt.NDArray[np.generic]
    notes: tuple[str, ...] = ()
    picture: str = ""


def read_numbers(path: Path) -> tuple[npt.NDArray[Any], bool | None]:
    """Return the pixels of a TIFF, and None, because it is unknown whether they are colours.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    return read_tiff(path), None


def read_folder(
    folder: Path,
    patterns: tuple[str, str],
    kinds: str,
    ndim: int,
    normaliser: Normaliser,
    read: Reader = read_numbers,
) -> list[LabelledImage]:
    """Return the labelled images ``NAME_image.tif`` / ``NAME_label.tif``; each plane of a stack is an image of its own.

    Parameters
    ----------
    folder : Path
        The folder.
    patterns : (str, str)
        Shell patterns, separated by commas: names to include and to exclude.
    kinds : str
        Regular expression whose first group is the kind of an image; if empty, all have the same kind.
    ndim : int
        Number of axes that the network convolves.
    normaliser : Normaliser
        How to scale each image.
    read : callable
        Returns the pixels of a file, colours last, and whether it has colours; None if the file does not state it: then
        three or four values per label are colours.

    Raises
    ------
    ImageError
        If a file cannot be read, a label image is missing or has another shape than its image, or they do not fit the
        network.
    """
    try:
        pattern = re.compile(kinds)
    except re.error as error:
        raise ImageError(f"Kinds are {kinds!r}, which is not a regular expression ({error}).") from error
    images = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        if not _matches(name, patterns[0]) or _matches(name, patterns[1]):
            continue
        label_path = path.with_name(f"{name}_label.tif")
        if not label_path.is_file():
            raise ImageError(
                f"{path} has no labels: {label_path.name} is missing in its folder. Add it, or move the image away."
            )
        match = pattern.search(name) if kinds else None
        kind = match[1] if match and match.groups() else ""
        images += _planes((name, kind), read(path), read_tiff(label_path), (ndim, normaliser))
    return images


def _matches(name: str, patterns: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns.split(",") if pattern)


def _planes(
    names: tuple[str, str],
    content: tuple[npt.NDArray[np.generic], bool | None],
    labels: npt.NDArray[np.generic],
    network: tuple[int, Normaliser],
) -> list[LabelledImage]:
    """Return one labelled image for each index of the loop axes of an ``ndim``-dimensional network."""
    (name, kind), (image, has_colours), (ndim, normaliser) = names, content, network
    try:
        check_array(image)
        check_finite(image)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    rgb = image.ndim == labels.ndim + 1 and image.shape[-1] in COLOUR_SAMPLES and has_colours is not False
    if image.shape[: labels.ndim] != labels.shape or image.ndim - rgb != labels.ndim:
        raise ImageError(
            f"{name}: the labels have shape {labels.shape}, the image {image.shape}. They must have the same size. "
            f"{shape_advice(labels.shape, image.shape[:-1] if rgb else image.shape)}"
        )
    try:
        axes = bind(ImageForm(labels.shape), Network(ndim)).axes
    except ImageError as error:
        raise ImageError(f"{name}: {error.short}", error.advice) from error
    channels = np.moveaxis(image[..., :3], -1, 0)
    colours = [luminance(channels), *channels] if rgb else [image]
    scalings = [normaliser.fit(colour.reshape(1, -1)) for colour in colours]
    scaled = [scaling.apply(colour[None]) for scaling, colour in zip(scalings, colours, strict=True)]
    notes = tuple(f"{name}: {note}" for note in scalings[0].notes)
    planes_of_views = [axes.to_net(view) for view in scaled]
    label_planes = axes.to_net(labels[None])[:, 0]
    return [
        LabelledImage(
            f"{name} {i}" if len(label_planes) > 1 else name,
            kind,
            tuple(np.ascontiguousarray(planes[i]) for planes in planes_of_views),
            plane,
            () if i else notes,
            name,
        )
        for i, plane in enumerate(label_planes)
    ]


def per_axis(name: str, given: Sequence[Any], ndim: int) -> tuple[Any, ...]:
    """Return one number for each axis, from one for all or one for each.

    Raises
    ------
    ImageError
        If there is another number of them.
    """
    if len(given) not in (1, ndim):
        raise ImageError(
            f"The {name} {tuple(given)} has {len(given)} numbers; give one, or one for each of {ndim} axes."
        )
    return tuple(given) if len(given) == ndim else tuple(given) * ndim


class Crops(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Random crops of labelled images; the ``i``-th crop of a seed is always the same.

    Parameters
    ----------
    images : sequence of LabelledImage
        The images.
    settings : TrainSettings
        Target, patch, spacing, number of crops, augmentation, balance of kinds, and seed.
    time : int, optional
        The time axis of the images.
    spacing : sequence of float, optional
        Pixel size along each axis, if the settings have none; if empty, all are equal.
    directed : collection of int, optional
        Axes along which classes differ in direction, as for `Augmentation.of`.

    Attributes
    ----------
    epoch : int
        Number of the epoch; each has different crops.

    Raises
    ------
    ImageError
        If the patch or the spacing does not fit the axes of the images.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        settings: TrainSettings,
        time: int | None = None,
        spacing: Sequence[float] = (),
        directed: Collection[int] = (),
    ) -> None:
        self.images, self.settings, self.epoch = images, settings, 0
        ndim = images[0].labels.ndim
        self.patch = per_axis("patch", settings.patch or (PATCH_SIDES[ndim],), ndim)
        relative = per_axis("spacing", settings.spacing or tuple(spacing) or (1.0,), ndim)
        self.target = TARGETS[settings.target]
        self.augmentation = Augmentation.of(settings, relative, time, directed)
        sizes = Counter(image.kind for image in images)
        weights = np.array([sizes[image.kind] ** (settings.balance - 1) for image in images])
        self.probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.settings.crops * len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self.settings.seed, self.epoch, index))
        image = self.images[rng.choice(len(self.images), p=self.probabilities)]
        view = image.views[0 if rng.random() < 0.5 else rng.integers(len(image.views))]
        crop, labels = self.augmentation.crop(view, image.labels, self.patch, rng)
        return torch.from_numpy(crop), torch.from_numpy(self.target(labels).astype(np.int64))
