"""Labelled pictures of the public data sets, by task, from which the shipped 2-D models learn with one trunk.

Every picture has red, green and blue; grey ones have the same values in each. Pictures named ``val_`` are for
validation. A group holds pictures of one larger picture, organ, animal or movie; no group is in both parts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import find_boundaries

from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.normalise import Normaliser
from napari_fcn.training.groups import picture_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

TILED = ("dsb2018", "dsb2018_more")  # sets of tiles of larger pictures
DEFAULT_DIAMETER = 20.0  # pixels, of objects in a picture without any


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A labelled plane.

    Attributes
    ----------
    name, task, kind, group : str
        Data set and file, what its labels show, kind of image, and pictures that must stay together.
    image : ndarray
        ``(3, Y, X)`` float32, about -1 to 1.
    labels : ndarray
        ``(Y, X)`` int32: numbers of objects, or classes where the task has classes; -1 for unknown.
    distance : ndarray or None
        ``(Y, X)`` float32: distance to the border of the object, divided by the largest in it; None without objects.
    diameter : float
        Median diameter of the objects in pixels.
    is_colour : bool
        Whether the channels differ.
    """

    name: str
    task: str
    kind: str
    group: str
    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float32] | None
    diameter: float
    is_colour: bool

    @property
    def is_validation(self) -> bool:
        """Whether it is for validation."""
        return "/val_" in self.name


@dataclass(frozen=True, slots=True)
class Task:
    """What a head learns: its classes, and whether they are the inside and the rim of objects."""

    classes: tuple[str, ...]
    has_objects: bool


TASKS: Mapping[str, Task] = {
    "nuclei": Task(("background", "nucleus", "rim"), True),
    "cells": Task(("background", "cell", "rim"), True),
    "membranes": Task(("background", "membrane"), False),
    "organelles": Task(("background", "axon", "myelin", "mitochondrion"), False),
}


def to_channels(image: Pixels) -> npt.NDArray[np.float32]:
    """Return a plane (Y, X) or (Y, X, colours) as (3, Y, X), scaled by percentiles of all its values together."""
    channels = np.moveaxis(image[..., :3], -1, 0) if image.ndim == 3 else image[None]
    scaling = Normaliser().fit(channels.reshape(1, -1))
    scaled = scaling.apply(channels.reshape(1, *channels.shape))[0]
    return np.ascontiguousarray(np.broadcast_to(scaled, (3, *scaled.shape[1:])))


def border_distance(labels: Pixels) -> npt.NDArray[np.float32]:
    """Return for each pixel of an object its distance to the border, divided by the largest of the object; else 0."""
    inside = (labels > 0) & ~find_boundaries(labels, connectivity=1, mode="inner")
    distance = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1] + (labels > 0)
    largest = np.maximum(ndimage.maximum(distance, labels, np.arange(labels.max() + 1)), 1e-6)
    largest[0] = 1
    return np.where(labels > 0, distance / largest[np.maximum(labels, 0)], 0).astype(np.float32)


def median_diameter(labels: Pixels) -> float:
    """Return the median diameter of a circle with the area of an object, over all objects."""
    areas = np.bincount(labels[labels > 0].ravel()) if (labels > 0).any() else np.zeros(0)
    areas = areas[areas > 0]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else DEFAULT_DIAMETER


def read_all(data: Path, without: Iterable[str] = ()) -> list[Picture]:
    """Return the pictures of all data sets but those named; a set whose folder is missing is left out too.

    Training pictures that were cut from one larger picture with a validation picture are left out.
    """
    left_out = set(without)
    found = [
        picture
        for name, read in SOURCES.items()
        if name not in left_out and (data / name).is_dir()
        for picture in read(data, name)
    ]
    return _without_shared(data, found)


def _without_shared(data: Path, pictures: list[Picture]) -> list[Picture]:
    """Return the pictures without those for training that share a group with one for validation."""
    tiles = [picture for picture in pictures if picture.name.split("/")[0] in TILED]
    numbers = picture_groups([tifffile.imread(data / f"{picture.name}_image.tif") for picture in tiles])
    groups = {id(tile): f"{TILED[0]}/{number}" for tile, number in zip(tiles, numbers, strict=True)}
    grouped = [replace(p, group=groups[id(p)]) if id(p) in groups else p for p in pictures]
    held = {picture.group for picture in grouped if picture.is_validation}
    return [picture for picture in grouped if picture.is_validation or picture.group not in held]


def _pairs(folder: Path) -> Iterator[tuple[str, Pixels, Pixels]]:
    for path in sorted(folder.glob("*_image.tif")):
        stem = path.name.removesuffix("_image.tif")
        yield stem, tifffile.imread(path), tifffile.imread(path.with_name(f"{stem}_label.tif"))


def _picture(name: str, task: str, kind: str, group: str, image: Pixels, labels: Pixels) -> Picture:
    labels = labels.astype(np.int32)
    has_objects = TASKS[task].has_objects
    return Picture(
        name,
        task,
        kind,
        group,
        to_channels(image),
        labels,
        border_distance(labels) if has_objects else None,
        median_diameter(labels if has_objects else label(labels == 1)),
        image.ndim == 3,
    )


def _nuclei(kind_of: Callable[[str], tuple[str, str]], data: Path, name: str) -> Iterator[Picture]:
    for stem, image, labels in _pairs(data / name):
        kind, group = kind_of(stem)
        yield _picture(f"{name}/{stem}", "nuclei", kind, f"{name}/{group}", image, labels)


def _bowl(stem: str) -> tuple[str, str]:
    return stem.split("_")[1], stem


def _organ(stem: str) -> tuple[str, str]:
    organ = stem.split("_")[1]
    return f"he-{organ}" if stem.startswith("val_") else "he-organs", organ


def _one_field(data: Path, name: str) -> Iterator[Picture]:
    image = tifffile.imread(data / name / "hgsc_nest_image.tif")
    labels = tifffile.imread(data / name / "hgsc_nest_label.tif")
    for row in range(0, image.shape[0] - 499, 500):
        part = slice(row, row + 500)
        yield _picture(f"{name}/train_{row}", "nuclei", "he-organs", name, image[part], labels[part])


def _frames(task: str, kind: str, stem: str, data: Path, name: str) -> Iterator[Picture]:
    image = tifffile.imread(data / name / f"{stem}_image.tif")
    labels = tifffile.imread(data / name / f"{stem}_label.tif")
    for number, (frame, mask) in enumerate(zip(image, labels, strict=True)):
        yield _picture(f"{name}/train_{stem}_{number}", task, kind, f"{name}/{stem}", frame, mask)


def _laptrack(data: Path, name: str) -> Iterator[Picture]:
    yield from _frames("nuclei", "fluo", "nuclei", data, name)
    yield from _frames("cells", "phase", "phase", data, name)


def _cells(kind: str, validation: str, data: Path, name: str) -> Iterator[Picture]:
    for stem, image, labels in _pairs(data / name):
        part = "val" if re.fullmatch(validation, stem) else "train"
        numbered = label(labels) if labels.max() == 1 else labels
        group = re.sub(r"_tp\d+.*", "", stem)
        yield _picture(f"{name}/{part}_{stem}", "cells", kind, f"{name}/{group}", image, numbered)


def _membranes(data: Path, name: str) -> Iterator[Picture]:
    from napari_fcn.training.targets import membranes

    for part, step in (("train", 5), ("val", 6)):
        image = tifffile.imread(data / name / f"{part}_image.tif")
        labels = tifffile.imread(data / name / f"{part}_label.tif")
        for number in range(0, len(image), step):
            lines = membranes(labels[number])
            yield _picture(f"{name}/{part}_{number}", "membranes", "em", f"{name}/{part}", image[number], lines)


def _axons(validation: str, data: Path, name: str) -> Iterator[Picture]:
    for stem, image, labels in _pairs(data / name):
        part = "val" if re.fullmatch(validation, stem) else "train"
        classes = np.where(labels == 3, 1, labels)  # axons without myelin
        yield _picture(f"{name}/{part}_{stem}", "organelles", "axons", f"{name}/{stem}", image, classes)


def _mitochondria(data: Path, name: str) -> Iterator[Picture]:
    for stem, image, labels in _pairs(data / name):
        if stem.startswith("mitochondria"):
            part = "val" if stem == "mitochondria4" else "train"
            yield _picture(f"{name}/{part}_{stem}", "organelles", "organelles", stem, image, labels * 3)


SOURCES: Mapping[str, Callable[[Path, str], Iterator[Picture]]] = {
    "dsb2018": partial(_nuclei, _bowl),
    "dsb2018_more": partial(_nuclei, _bowl),
    "nuinsseg_he": partial(_nuclei, _organ),
    "histolytics_he": _one_field,
    "laptrack_movies": _laptrack,
    "t98g_phase": partial(_cells, "phase", "set3[3579]"),
    "omnipose_bacteria": partial(_cells, "bacteria", "caulo_15"),
    "yeast_phase": partial(_frames, "cells", "yeast", "seq"),
    "yeast_traps": partial(_cells, "yeast", "val_.*"),
    "nist_phase": partial(_cells, "colonies", "val_.*"),
    "flyem_fibsem": _membranes,
    "axon_sem": partial(_axons, "rat(7|8)_.*"),
    "axon_tem": partial(_axons, "val_.*"),
    "cem_organelles": _mitochondria,
}


def targets(labels: Pixels, task: Task) -> Pixels:
    """Return the class of each pixel, `IGNORE` where it is unknown."""
    from napari_fcn.training.targets import objects

    classes = objects(np.maximum(labels, 0)) if task.has_objects else np.maximum(labels, 0).astype(np.uint8)
    return np.where(labels < 0, IGNORE, classes)
