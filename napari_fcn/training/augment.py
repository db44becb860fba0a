"""Augmentation of labelled images: random crops with changed geometry and intensities.

A crop is scaled and deformed, then mirrored and turned, then its intensities change. `Augmentation.of` reads the
ranges from settings; each kind of change can be switched off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_fcn.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from napari_fcn.settings import TrainSettings

    Image = npt.NDArray[np.float32]
    Labels = npt.NDArray[Any]

ELASTIC_SIGMA = 3.0  # pixels


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of the random changes, and the axes along which a crop may be mirrored or turned.

    One instance serves all images; it holds no images and no random state. Images may have any number of channels,
    which are deformed alike; noise is independent, all other changes of intensity are common to the channels.

    Attributes
    ----------
    scale : (float, float)
        Smallest and largest magnification; uniform on a log scale. ``(1, 1)``: none.
    elastic_sigma : float
        Standard deviation of the elastic displacement in pixels of the crop; 0: none.
    elastic_grid : int
        Distance between independent displacements, in pixels.
    gamma, blur, noise : float
        Largest exponent (the smallest is its inverse), largest sigma in pixels, largest standard deviation of noise
        (intensities are about -1 to 1).
    intensity : bool
        Whether gamma, contrast, brightness, blur and noise change.
    invert : bool
        Whether half of the crops are inverted.
    flip_axes, rotate_axes : tuple of int or None
        The axes that may be mirrored, and those that may be exchanged with each other by turns; None: all. Without
        mirrors, turns are proper rotations by multiples of 90 degrees.
    time : int or None
        The time axis, which is not scaled, deformed, flipped or transposed.
    spacing : tuple of float
        Relative pixel size along each axis; empty: all equal. Displacements and blurs are in pixels of the finest
        axis, and only axes of equal pixel size are transposed.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    elastic_sigma: float = ELASTIC_SIGMA
    elastic_grid: int = 48
    gamma: float = 1.6
    blur: float = 1.5
    noise: float = 0.15
    intensity: bool = True
    invert: bool = False
    flip_axes: tuple[int, ...] | None = None
    rotate_axes: tuple[int, ...] | None = None
    time: int | None = None
    spacing: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        settings: TrainSettings,
        spacing: tuple[float, ...],
        time: int | None = None,
        directed: Collection[int] = (),
    ) -> Augmentation:
        """Return the augmentation that the settings describe.

        Parameters
        ----------
        settings : TrainSettings
            Which changes are on.
        spacing : tuple of float
            Relative pixel size along each axis; its length is the number of axes.
        time : int, optional
            The time axis.
        directed : collection of int
            Axes along which classes differ in direction (`choose_augmentation`); under auto they are neither mirrored
            nor exchanged with others.
        """
        free = tuple(axis for axis in range(len(spacing)) if axis not in directed)
        axes: dict[str, tuple[int, ...] | None] = {"on": None, "off": (), AUTO: free}
        return cls(
            scale=(min(settings.zoom), max(settings.zoom)),
            elastic_sigma=ELASTIC_SIGMA if settings.elastic else 0.0,
            intensity=settings.intensity,
            invert=settings.invert,
            flip_axes=axes[settings.flips],
            rotate_axes=axes[settings.right_angles],
            time=time,
            spacing=spacing,
        )

    def crop(
        self, image: Image, labels: Labels, patch: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Image, Labels]:
        """Return a random crop of ``image`` (C, *space) and ``labels`` (*space) of shape ``patch``."""
        coordinates = self._sampling_grid(labels.shape, patch, rng)
        cropped = np.stack([ndimage.map_coordinates(c, coordinates, order=1, mode="mirror") for c in image])
        cropped_labels = ndimage.map_coordinates(labels, coordinates, order=0, mode="mirror")
        cropped, cropped_labels = self._flip_and_rotate(cropped, cropped_labels, rng)
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
        if not self.intensity:
            return np.ascontiguousarray(crop, dtype=np.float32)
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

    def _flip_and_rotate(self, crop: Image, labels: Labels, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Return image and labels, mirrored and turned at random; only axes of equal geometry are exchanged.

        Turns are proper rotations where no axis of a group may be mirrored: an exchange of two axes alone is a mirror.
        """
        ndim = labels.ndim
        may_flip, may_rotate = self._allowed(self.flip_axes, ndim), self._allowed(self.rotate_axes, ndim)
        draws = [rng.random() < 0.5 for _ in range(ndim)]
        flips = {axis for axis in may_flip if draws[axis]}
        order = np.arange(ndim)
        geometries = tuple(zip(labels.shape, self._relative_sizes(ndim), strict=True))
        for geometry in sorted(set(geometries)):
            group = [axis for axis in may_rotate if geometries[axis] == geometry]
            order[group] = rng.permutation(group)
            if len(group) > 1 and not set(group) & set(may_flip):
                flips |= {axis for axis in group if draws[axis]}
                if _is_odd(order[group]) != bool(len(flips & set(group)) % 2):
                    flips ^= {group[-1]}
        mirrored = tuple(sorted(flips))
        crop = np.flip(crop, tuple(1 + axis for axis in mirrored)).transpose(0, *(1 + order))
        return np.ascontiguousarray(crop), np.ascontiguousarray(np.flip(labels, mirrored).transpose(order))

    def _allowed(self, axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
        """Return the given axes, or all, without time."""
        return tuple(axis for axis in (range(ndim) if axes is None else axes) if axis != self.time)


def _is_odd(order: npt.NDArray[np.int_]) -> bool:
    """Whether a permutation of ascending numbers has an odd number of inversions."""
    return bool(sum(int((order[i + 1 :] < order[i]).sum()) for i in range(len(order))) % 2)
