"""Finds the axes along which classes differ in direction, such as left and right, before crops are mirrored.

A mirror image of a left kidney looks like a right one. A network that also learns from mirror images can therefore not
learn which is which. Whether that is so is decided from the labels: if one class lies on the same side of another in
most images, the axis is directed, and it is not mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import AugmentationChosen
from napari_fcn.learning.labels import IGNORE
from napari_fcn.options import AUTO
from napari_fcn.training.dataset import per_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_fcn.settings import TrainSettings
    from napari_fcn.training.dataset import LabelledImage

LEVEL = 0.05  # of the sign test, for all axes and pairs of classes together
MIN_AGREEMENT = 0.75  # fraction of the pictures in which the class lies on that side
MIN_DISTANCE = 0.5  # pixels between centroids; less has no direction
MIN_SHARE = 0.5  # of the largest distance along any axis: a mirror along other axes leaves the classes where they are


@dataclass(frozen=True, slots=True)
class Direction:
    """How often one class lies before another along an axis.

    Attributes
    ----------
    axis : int
        The axis.
    first, second : int
        The classes; ``first`` lies before ``second`` (at smaller indices) in most pictures.
    agreeing, pictures : int
        Pictures in which it does, and pictures with both classes at different positions.
    share : float
        Median distance between the centroids along the axis, relative to the largest of all axes.
    """

    axis: int
    first: int
    second: int
    agreeing: int
    pictures: int
    share: float = 1.0

    def is_significant(self, tests: int) -> bool:
        """Whether the direction is large and no coincidence, given the number of tests (Bonferroni correction)."""
        return (
            self.share >= MIN_SHARE
            and self.agreeing >= MIN_AGREEMENT * self.pictures
            and sign_test(self.agreeing, self.pictures) * tests <= LEVEL
        )


def sign_test(agreeing: int, total: int) -> float:
    """Return the two-sided p-value of the sign test (Dixon & Mood 1946).

    That is the probability that at least ``agreeing`` of ``total`` signs agree if both signs are equally likely.
    """
    if 2 * agreeing <= total:
        return 1.0
    ways = sum(comb(total, k) for k in range(agreeing, total + 1))
    return float(min(1.0, 2 * ways / 2**total))


def class_centroids(labels: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.float64]:
    """Return the centroid of each class, ``(classes, ndim)`` in pixels; NaN for a class without a pixel."""
    flat = labels.ravel().astype(np.int64)
    flat[flat >= classes] = classes  # unknown
    counts = np.bincount(flat, minlength=classes + 1)[:classes]
    centroids = np.full((classes, labels.ndim), np.nan)
    for axis, length in enumerate(labels.shape):
        shape = [length if other == axis else 1 for other in range(labels.ndim)]
        positions = np.broadcast_to(np.arange(length, dtype=np.float64).reshape(shape), labels.shape)
        sums = np.bincount(flat, positions.ravel(), minlength=classes + 1)[:classes]
        np.divide(sums, counts, out=centroids[:, axis], where=counts > 0)
    return centroids


def count_directions(
    labels: Sequence[npt.NDArray[np.generic]], pictures: Sequence[str], classes: int, spacing: Sequence[float] = ()
) -> list[Direction]:
    """Return, for each axis and pair of classes that occur together, on which side they lie in how many pictures.

    Parameters
    ----------
    labels : sequence of ndarray
        Class indices of each image, ``(*space)``; larger values are unknown.
    pictures : sequence of str
        The picture that each image is a part of. Parts of one picture, such as the planes of a volume, are not
        independent, so each picture counts once: by the mean displacement over its parts.
    classes : int
        Number of classes.
    spacing : sequence of float
        Relative pixel size along each axis; if empty, all are equal.
    """
    ndim = labels[0].ndim
    sizes = np.array(tuple(spacing) or (1.0,) * ndim)
    by_picture: dict[str, list[npt.NDArray[np.float64]]] = {}
    for image, picture in zip(labels, pictures, strict=True):
        by_picture.setdefault(picture, []).append(class_centroids(image, classes))
    directions = []
    for first, second in combinations(range(classes), 2):
        displacements = [
            np.mean(parts, axis=0)
            for centroids in by_picture.values()
            if (parts := [c[second] - c[first] for c in centroids if np.isfinite(c[[first, second]]).all()])
        ]
        distances = np.abs(np.median(displacements, axis=0)) * sizes if displacements else np.zeros(0)
        for axis, distance in enumerate(distances):
            steps = np.array([displacement[axis] for displacement in displacements])
            after, before = int((steps > MIN_DISTANCE).sum()), int((steps < -MIN_DISTANCE).sum())
            pair = (first, second) if after >= before else (second, first)
            share = float(distance / max(*distances, 1e-9))
            directions.append(Direction(axis, *pair, max(after, before), after + before, share))
    return directions


def choose_augmentation(
    images: Sequence[LabelledImage], settings: TrainSettings, classes: Sequence[str], spacing: Sequence[float] = ()
) -> AugmentationChosen:
    """Return the axes that are not mirrored because classes differ in direction along them, and why.

    The displacement between the centroids of two classes has a sign along each axis. If its sign is the same in at
    least `MIN_AGREEMENT` of the pictures, and the sign test finds that unlikely to be a coincidence (5 % for all axes
    and pairs of classes together), the axis is directed; unless the classes lie more than twice as far apart along
    another axis, because a mirror does not exchange them then. The targets ``objects`` and ``membranes`` have no
    directed classes.

    Parameters
    ----------
    images : sequence of LabelledImage
        The training images, as returned by `read_labels`.
    settings : TrainSettings
        Target, and whether crops are mirrored.
    classes : sequence of str
        Names of the classes.
    spacing : sequence of float
        Relative pixel size along each axis, if the settings have none; if empty, all are equal.
    """
    stated = _stated(settings)
    changes = [
        name for name, value in (("mirrored", settings.flips), ("turned", settings.right_angles)) if value == AUTO
    ]
    if not changes:
        return AugmentationChosen((), stated)
    if settings.target != "classes":
        reason = f"the target {settings.target} has no classes that a mirror exchanges"
        return AugmentationChosen((), (*stated, f"Crops are {' and '.join(changes)}: {reason}."))
    labels = [image.labels for image in images]
    ndim = labels[0].ndim
    sizes = per_axis("spacing", settings.spacing or tuple(spacing) or (1.0,), ndim)
    pictures = [image.picture or image.name for image in images]
    directions = count_directions(labels, pictures, min(len(classes), IGNORE), sizes)
    found = [direction for direction in directions if direction.is_significant(len(directions))]
    directed = tuple(sorted({direction.axis for direction in found}))
    if not directed:
        return AugmentationChosen(
            (), (*stated, f"Crops are {' and '.join(changes)}{_undirected(directions, classes, ndim)}")
        )
    notes = []
    for axis in directed:
        best = max((d for d in found if d.axis == axis), key=_clarity)
        neither = f"neither {changes[0]} nor {changes[1]}" if len(changes) > 1 else f"not {changes[0]}"
        notes.append(
            f"Along {axis_name(axis, ndim)}, crops are {neither}, because classes differ in direction: "
            f"{classes[best.first]} lies before {classes[best.second]} in {best.agreeing} of {best.pictures} pictures "
            f"(sign test: p = {sign_test(best.agreeing, best.pictures):.1g})."
        )
    others = [axis_name(axis, ndim) for axis in range(ndim) if axis not in directed]
    if made := [change for change in changes if len(others) >= (2 if change == "turned" else 1)]:
        notes.append(f"Along {' and '.join(others)}, crops are {' and '.join(made)}: a mirror exchanges no classes.")
    return AugmentationChosen(directed, (*stated, *notes))


def _clarity(direction: Direction) -> tuple[bool, float, float]:
    """Return a sort key: classes other than the background, and larger distances, explain a decision better."""
    return 0 not in (direction.first, direction.second), direction.share, direction.agreeing / direction.pictures


def axis_name(axis: int, ndim: int) -> str:
    """Return the name of an axis for the user: z, y, x from the last, or its number."""
    names = "zyx"
    return f"axis {names[axis - ndim]}" if ndim <= len(names) else f"axis {axis}"


def _stated(settings: TrainSettings) -> tuple[str, ...]:
    """Return a note on mirrors and turns that the settings state."""
    notes = []
    if settings.flips != AUTO:
        notes.append(f"Crops are mirrored along {'all axes' if settings.flips == 'on' else 'no axis'}, as set.")
    if settings.right_angles != AUTO:
        notes.append(f"Crops are turned in {'all planes' if settings.right_angles == 'on' else 'no plane'}, as set.")
    return tuple(notes)


def _undirected(directions: Sequence[Direction], classes: Sequence[str], ndim: int) -> str:
    """Return the end of a sentence: why crops are mirrored along all axes."""
    tests = max(1, len(directions))
    needed = next(n for n in range(1, 64) if sign_test(n, n) * tests <= LEVEL)
    unanimous = [d for d in directions if 2 <= d.agreeing == d.pictures < needed and d.share >= MIN_SHARE]
    if unanimous:
        best = max(unanimous, key=_clarity)
        return (
            f", but {classes[best.first]} lies before {classes[best.second]} along {axis_name(best.axis, ndim)} in all "
            f"{best.pictures} pictures; at least {needed} are needed to exclude a coincidence. If that side tells the "
            "classes apart, add --flips off --right-angles off."
        )
    if max((d.pictures for d in directions), default=0) < needed:
        return (
            f": fewer than {needed} pictures hold two classes, too few to find out if classes differ in direction. If "
            "they do, such as left and right, add --flips off --right-angles off."
        )
    return " along all axes: no class lies on the same side of another in most pictures."
