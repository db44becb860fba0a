"""Augmentation of labelled images: random crops with changed geometry and intensities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

    Image = npt.NDArray[np.float32]
    Labels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of the random changes.

    Attributes
    ----------
    scale : (float, float)
        Smallest and largest magnification; uniform on a log scale.
    elastic_sigma : float
        Standard deviation of the elastic displacement in pixels of the crop.
    elastic_grid : int
        Distance between independent displacements, in pixels.
    gamma, blur, noise : float
        Largest exponent (the smallest is its inverse), largest sigma in pixels, largest standard deviation of noise
        (intensities are about -1 to 1).
    invert : bool
        Whether half of the crops are inverted.
    time : int or None
        The time axis, which is not scaled, deformed, flipped or transposed.
    spacing : tuple of float
        Relative pixel size along each axis; empty: all equal. Displacements and blurs are in pixels of the finest
        axis, and only axes of equal pixel size are transposed.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    elastic_sigma: float = 3.0
    elastic_grid: int = 48
    gamma: float = 1.6
    blur: float = 1.5
    noise: float = 0.15
    invert: bool = False
    time: int | None = None
    spacing: tuple[float, ...] = ()

    def crop(
        self, image: Image, labels: Labels, patch: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Image, Labels]:
        """Return a random crop of ``image`` (C, *space) and ``labels`` (*space) of shape ``patch``."""
        coordinates = self._sampling_grid(labels.shape, patch, rng)
        cropped = np.stack([ndimage.map_coordinates(c, coordinates, order=1, mode="mirror") for c in image])
        cropped_labels = ndimage.map_coordinates(labels, coordinates, order=0, mode="mirror")
        cropped, cropped_labels = _flip_and_rotate(
            cropped, cropped_labels, self._relative_sizes(len(patch)), self.time, rng
        )
        return self._change_intensity(cropped, rng), cropped_labels

    def _sampling_grid(self, shape: tuple[int, ...], patch: tuple[int, ...], rng: np.random.Generator) -> Image:
        """Return the image coordinates of each pixel of the crop, ``(ndim, *patch)``."""
        zoom = np.exp(rng.uniform(*np.log(self.scale)))
        coordinates = np.stack(np.meshgrid(*((np.arange(p) - (p - 1) / 2) for p in patch), indexing="ij")).astype(
            np.float32
        )
        relative_sizes = self._relative_sizes(len(patch))
        grid_shape = [
            max(4, round(p / (self.elastic_grid * s)) + 3) for p, s in zip(patch, relative_sizes, strict=True)
        ]
        for axis, length in enumerate(patch):
            field = rng.normal(0, self.elastic_sigma * relative_sizes[axis], grid_shape).astype(np.float32)
            displacement = ndimage.zoom(field, [p / c for p, c in zip(patch, grid_shape, strict=True)], order=1)
            if length > 1 and axis != self.time:
                coordinates[axis] += displacement
        zoom_per_axis = [1.0 if axis == self.time else zoom for axis in range(len(patch))]
        for axis, (n, p) in enumerate(zip(shape, patch, strict=True)):
            coordinates[axis] /= zoom_per_axis[axis]
            slack = max(0.0, n - p / zoom_per_axis[axis]) / 2
            coordinates[axis] += (n - 1) / 2 + rng.uniform(-slack, slack)
        return coordinates

    def _relative_sizes(self, ndim: int) -> tuple[float, ...]:
        """Return the pixel size of the finest axis relative to that of each axis."""
        return tuple(min(self.spacing) / length for length in self.spacing) or (1.0,) * ndim

    def _change_intensity(self, crop: Image, rng: np.random.Generator) -> Image:
        """Return the crop with random contrast, blur and noise; intensities are about -1 to 1."""
        if self.invert and rng.random() < 0.5:
            crop = -crop
        if rng.random() < 0.5:
            exponent = np.exp(rng.uniform(-np.log(self.gamma), np.log(self.gamma)))
            crop = (np.clip((crop + 1) / 2, 0, None) ** exponent * 2 - 1).astype(np.float32)
        if rng.random() < 0.3:
            sigma = rng.uniform(0, self.blur)
            crop = ndimage.gaussian_filter(crop, (0, *(sigma * s for s in self._relative_sizes(crop.ndim - 1))))
        if rng.random() < 0.5:
            crop = crop * np.float32(rng.uniform(0.6, 1.2)) + np.float32(rng.uniform(-0.25, 0.25))
        if rng.random() < 0.5:
            crop = crop + rng.normal(0, rng.uniform(0, self.noise), crop.shape).astype(np.float32)
        return np.ascontiguousarray(crop, dtype=np.float32)


def _flip_and_rotate(
    crop: Image, labels: Labels, relative_sizes: tuple[float, ...], time: int | None, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """Return image and labels with random flips and random transpositions of equal axes; time is unchanged."""
    patch, ndim = labels.shape, labels.ndim
    flips = tuple(axis for axis in range(ndim) if rng.random() < 0.5 and axis != time)
    order = np.arange(ndim)
    geometries = tuple(zip(patch, relative_sizes, strict=True))
    for geometry in sorted(set(geometries)):
        equivalent = [axis for axis in range(ndim) if geometries[axis] == geometry and axis != time]
        order[equivalent] = rng.permutation(equivalent)
    crop = np.flip(crop, tuple(1 + axis for axis in flips)).transpose(0, *(1 + order))
    return np.ascontiguousarray(crop), np.ascontiguousarray(np.flip(labels, flips).transpose(order))
