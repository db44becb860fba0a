"""Sample images: synthetic cells with exact labels, and real images that come with scikit-image.

The synthetic images model a fluorescence microscope: deformed, textured ellipsoids, out-of-focus light, uneven
illumination, a Gaussian point spread function, photon noise and camera noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

OFFSET = 100  # grey value without light, as of cameras
WAVES = 5  # plane waves in the outline of a cell, and in its texture


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A sample image.

    Attributes
    ----------
    name : str
        Title for the user.
    image : ndarray
        Grey values or colours.
    labels : ndarray or None
        The exact objects (0 is background), on the image axes without channels; None if unknown.
    axes : tuple of str
        Name of each axis of ``image``; s for colour samples.
    scale : tuple of float
        Pixel size along each axis in ``units``.
    units : tuple of str
        Unit of each axis: micrometer, second; pixel if unknown.
    """

    name: str
    image: npt.NDArray[Any]
    labels: npt.NDArray[Any] | None
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Appearance of synthetic cells.

    Attributes
    ----------
    diameter : float
        Mean diameter of a cell, in pixels of an axis with spacing 1.
    spacing : tuple of float
        Relative pixel size along each axis; empty: all 1.
    blur : tuple of float
        Standard deviation of the point spread function along each axis, in the units of ``spacing``; empty: 1.2 along
        y and x, 2.5 times as much along the axes before them.
    crowding : float
        Fraction of the possible positions that have a cell, 0..1.
    photons : float
        Photons per pixel of a typical cell; fewer are noisier.
    dtype : str
        ``"uint16"`` or ``"uint8"``.
    """

    diameter: float = 28.0
    spacing: tuple[float, ...] = ()
    blur: tuple[float, ...] = ()
    crowding: float = 0.75
    photons: float = 150.0
    dtype: str = "uint16"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One cell in physical coordinates: ``shape @ (x - centre)`` has length 1 on its undeformed surface."""

    label: int
    centre: npt.NDArray[np.float64]
    shape: npt.NDArray[np.float64]
    outline: npt.NDArray[np.float64]  # (WAVES, ndim + 2): wave vector, phase, amplitude
    texture: npt.NDArray[np.float64]
    brightness: float

    @property
    def radius(self) -> float:
        """Maximum distance of the surface from the centre."""
        smallest = float(np.linalg.svd(self.shape, compute_uv=False)[-1])
        return 1 / smallest / (1 - float(np.abs(self.outline[:, -1]).sum()))


def cells(
    shape: Sequence[int], *, seed: int = 0, look: Look | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint16]]:
    """Return an image of fluorescent cells and their labels, both of ``shape``, with any number of axes.

    Parameters
    ----------
    shape : sequence of int
        Lengths of the axes in space, in pixels.
    seed : int
        The same seed gives the same cells.
    look : Look, optional
        Size, spacing, crowding, blur and noise.

    Returns
    -------
    image : ndarray of uint16 or uint8
        Grey values.
    labels : ndarray of uint16
        1, 2, ... for the cells, 0 for the background.
    """
    look = _complete(look or Look(), len(shape))
    rng = np.random.default_rng(seed)
    light, labels = _render(list(_place_cells(shape, look, rng)), shape, look)
    return _expose(light, _illumination(shape, rng), look, rng), _relabel(labels)


def cells_movie(
    shape: Sequence[int], *, seed: int = 0, divisions: int = 2, look: Look | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint16]]:
    """Return a movie ``(t, *space)`` of cells that move, rotate and divide, and their tracks.

    Parameters
    ----------
    shape : sequence of int
        Number of frames, then the lengths of the axes in space, in pixels.
    seed : int
        The same seed gives the same movie.
    divisions : int
        Number of cells that divide, each at a random time; the two daughters get new labels.
    look : Look, optional
        Size, spacing, crowding, blur and noise.

    Returns
    -------
    image : ndarray of uint16 or uint8
        Grey values.
    labels : ndarray of uint16
        The same label for the same cell in all frames, 0 for the background.
    """
    frames, *space = shape
    look = _complete(look or Look(crowding=0.4), len(space))
    rng = np.random.default_rng(seed)
    population = list(_place_cells(space, look, rng))
    mothers = rng.permutation([cell.label for cell in population])[:divisions]
    times = dict(zip(mothers.tolist(), rng.integers(1, max(2, frames), len(mothers)).tolist(), strict=True))
    velocities = {cell.label: rng.normal(0, 0.05 * look.diameter, len(space)) for cell in population}
    illumination = _illumination(space, rng)
    images, tracks = [], []
    for frame in range(frames):
        population = [
            new for cell in population for new in _move(cell, times.get(cell.label) == frame, velocities, rng)
        ]
        population = _separate(population)
        light, labels = _render(population, space, look)
        images.append(_expose(light, illumination, look, rng))
        tracks.append(labels)
    return np.stack(images), _relabel(np.stack(tracks))


def skimage_images() -> tuple[str, ...]:
    """Return the names of the real images that are part of scikit-image, without a download."""
    return tuple(_SKIMAGE_SAMPLES)


def skimage_image(name: str) -> Sample:
    """Return a real image that is part of scikit-image.

    Raises
    ------
    ValueError
        If the name is not one of `skimage_images`.
    """
    from skimage import data

    if name not in _SKIMAGE_SAMPLES:
        raise ValueError(f"There is no sample {name!r}; there are {', '.join(_SKIMAGE_SAMPLES)}.")
    image = np.asarray(getattr(data, name)())
    title, size, unit = _SKIMAGE_SAMPLES[name]
    axes = ("y", "x", "s")[: image.ndim]
    return Sample(
        title,
        image,
        None,
        axes,
        tuple(1.0 if axis == "s" else size for axis in axes),
        tuple("pixel" if axis == "s" else unit for axis in axes),
    )


def cells_2d(seed: int = 0) -> Sample:
    """Return synthetic cells in 2-D with labels: 512 x 512, 0.5 µm per pixel."""
    image, labels = cells((512, 512), seed=seed)
    return Sample("Synthetic cells, 2-D", image, labels, ("y", "x"), (0.5, 0.5), ("micrometer",) * 2)


def cells_3d(seed: int = 0) -> Sample:
    """Return synthetic cells in 3-D with labels: 32 x 128 x 128, 1.0 x 0.5 x 0.5 µm per voxel."""
    image, labels = cells((32, 128, 128), seed=seed, look=Look(diameter=22, spacing=(2, 1, 1), crowding=0.6))
    return Sample("Synthetic cells, 3-D", image, labels, ("z", "y", "x"), (1.0, 0.5, 0.5), ("micrometer",) * 3)


def cells_2d_movie(seed: int = 0) -> Sample:
    """Return a movie of synthetic cells with their tracks: 16 x 256 x 256, 0.5 µm per pixel, 300 s per frame."""
    image, labels = cells_movie((16, 256, 256), seed=seed)
    return Sample(
        "Synthetic cells, movie",
        image,
        labels,
        ("t", "y", "x"),
        (300.0, 0.5, 0.5),
        ("second", "micrometer", "micrometer"),
    )


# Microscopy and similar images in the wheel of scikit-image: title, pixel size, unit.
_SKIMAGE_SAMPLES: dict[str, tuple[str, float, str]] = {
    "immunohistochemistry": ("Stained tissue (immunohistochemistry)", 1.0, "pixel"),
    "cell": ("A single cell (quantitative phase)", 0.107, "micrometer"),
    "microaneurysms": ("Retina with microaneurysms", 1.0, "pixel"),
    "retina": ("Retina (fundus photograph)", 1.0, "pixel"),
}


def _complete(look: Look, ndim: int) -> Look:
    """Return a look with one spacing and one blur per axis."""
    spacing = tuple(look.spacing) or (1.0,) * ndim
    blur = tuple(look.blur) or tuple(1.2 if axis >= ndim - 2 else 3.0 for axis in range(ndim))
    if not len(spacing) == len(blur) == ndim:
        raise ValueError(f"The spacing {spacing} and blur {blur} need one number for each of {ndim} axes.")
    return replace(look, spacing=spacing, blur=blur)


def _place_cells(shape: Sequence[int], look: Look, rng: np.random.Generator) -> Iterator[Cell]:
    """Yield cells on a jittered grid, so that they may touch but hardly overlap."""
    extent = np.multiply(shape, look.spacing)
    pitch = 0.95 * look.diameter
    counts = np.maximum(1, np.round(extent / pitch)).astype(int)
    ndim, label = len(shape), 0
    density_waves = _waves(rng, ndim, 1.0 / look.diameter, 1.0)  # dense and sparse regions, as in tissue
    for index in product(*(range(n) for n in counts)):
        density = _sum_of_waves(density_waves, np.multiply(index, extent / counts).astype(np.float32))
        if rng.random() > look.crowding * (1 + 0.8 * density):
            continue
        label += 1
        centre = (np.array(index) + 0.5 + rng.uniform(-0.3, 0.3, ndim)) * extent / counts
        rotation, _ = np.linalg.qr(rng.normal(size=(ndim, ndim)))
        radii = look.diameter / 2 * np.clip(rng.normal(1, 0.15, ndim), 0.65, 1.4)
        yield Cell(
            label,
            centre,
            rotation / radii[:, None],
            _waves(rng, ndim, 2.5, 0.3),
            _waves(rng, ndim, 5.0, 1.0),
            float(rng.lognormal(0, 0.3)),
        )


def _waves(rng: np.random.Generator, ndim: int, frequency: float, total: float) -> npt.NDArray[np.float64]:
    """Return plane waves ``(WAVES, ndim + 2)`` whose amplitudes add up to ``total``."""
    vectors = rng.normal(size=(WAVES, ndim))
    vectors *= frequency * rng.uniform(0.6, 1.4, (WAVES, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
    amplitudes = rng.uniform(0.3, 1, WAVES)
    return np.column_stack([vectors, rng.uniform(0, 2 * np.pi, WAVES), amplitudes * total / amplitudes.sum()])


def _sum_of_waves(waves: npt.NDArray[np.float64], points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the sum of plane waves at ``points``, ``(..., ndim)``."""
    vectors, phases, amplitudes = waves[:, :-2], waves[:, -2], waves[:, -1]
    with np.errstate(invalid="ignore"):  # some BLAS libraries raise this for finite numbers
        phase = points @ vectors.T.astype(np.float32) + phases.astype(np.float32)
        return np.asarray(np.cos(phase) @ amplitudes.astype(np.float32))


def _render(
    population: Sequence[Cell], shape: Sequence[int], look: Look
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    """Return the emission of cells (1: a typical cell) and their labels.

    If two cells overlap, a pixel belongs to the cell in which it is deeper.
    """
    light = np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.uint16)
    depth = np.zeros(shape, np.float32)
    for cell in population:
        box = _box(cell, shape, look)
        if any(part.start >= part.stop for part in box):
            continue
        radii, points = _local_coordinates(cell, box, look)
        inside = np.maximum(0, 1 - radii)
        is_deeper = inside > depth[box]
        depth[box][is_deeper] = inside[is_deeper]
        labels[box][is_deeper] = cell.label
        emission = cell.brightness * (0.75 + 0.5 * _sum_of_waves(cell.texture, points[is_deeper]))
        light[box][is_deeper] = emission * np.minimum(1, 0.6 + 2 * inside[is_deeper])
    return light, labels


def _box(cell: Cell, shape: Sequence[int], look: Look) -> tuple[slice, ...]:
    """Return the part of the image that a cell can cover."""
    low = np.floor((cell.centre - cell.radius) / look.spacing - 0.5).astype(int)
    high = np.ceil((cell.centre + cell.radius) / look.spacing + 0.5).astype(int)
    return tuple(slice(max(0, a), min(n, b)) for a, b, n in zip(low, high, shape, strict=True))


def _local_coordinates(
    cell: Cell, box: Sequence[slice], look: Look
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return for each pixel of a box the relative radius (1: the surface), and the coordinates in the cell's axes."""
    steps = [
        (np.arange(part.start, part.stop) + 0.5) * size - middle
        for part, size, middle in zip(box, look.spacing, cell.centre, strict=True)
    ]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).astype(np.float32)
    with np.errstate(invalid="ignore"):
        points = offsets @ cell.shape.T.astype(np.float32)
    radii = np.sqrt(np.einsum("...i,...i->...", points, points))
    directions = points / np.maximum(radii, 1e-6)[..., None]
    return radii * (1 + _sum_of_waves(cell.outline, directions)), points


def _expose(
    light: npt.NDArray[np.float32], illumination: npt.NDArray[np.float32], look: Look, rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Return the camera image of an emission: blur, out-of-focus light, illumination, photon noise, read noise."""
    from scipy import ndimage

    sharp = ndimage.gaussian_filter(light, np.divide(look.blur, look.spacing), truncate=3)
    haze = ndimage.gaussian_filter(light, 0.35 * look.diameter / np.array(look.spacing), truncate=2)
    photons = look.photons * (sharp + 0.25 * haze + 0.06) * illumination
    counts = rng.poisson(photons) + rng.normal(0, 2, light.shape)
    if look.dtype == "uint8":
        return np.asarray(np.clip(np.rint(counts * (100 / look.photons) + 5), 0, 255), np.uint8)
    return np.asarray(np.clip(np.rint(counts * (1000 / look.photons) + OFFSET), 0, 65535), np.uint16)


def _illumination(shape: Sequence[int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return a smooth field around 1, brightest at a random position and a third darker at the far corners."""
    field = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        position = (np.arange(n) + 0.5) / n - rng.uniform(0.3, 0.7)
        profile = (1.1 - 0.5 * position**2).astype(np.float32)
        field *= profile.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return field


def _move(
    cell: Cell, divides: bool, velocities: dict[int, npt.NDArray[np.float64]], rng: np.random.Generator
) -> list[Cell]:
    """Return a cell, or its two daughters, in the next frame; ``velocities`` by label are updated."""
    ndim = len(cell.centre)
    velocities[cell.label] = 0.8 * velocities[cell.label] + rng.normal(0, 0.04 / np.abs(cell.shape).max(), ndim)
    rotation, upper = np.linalg.qr(np.eye(ndim) + rng.normal(0, 0.03, (ndim, ndim)))
    rotation = rotation * np.sign(np.diag(upper))  # the one close to the identity
    moved = replace(cell, centre=cell.centre + velocities[cell.label], shape=cell.shape @ rotation)
    if not divides:
        return [moved]
    along: npt.NDArray[np.float64] = np.asarray(np.linalg.inv(moved.shape)[:, 0] * 0.5, np.float64)
    first = max(velocities) + 1
    daughters = []
    for label, side in ((first, along), (first + 1, -along)):
        velocities[label] = side * 0.15
        outline = _waves(rng, ndim, 2.5, 0.2)
        daughters.append(
            replace(moved, label=label, centre=moved.centre + side, shape=moved.shape * 1.3, outline=outline)
        )
    return daughters


def _separate(population: list[Cell]) -> list[Cell]:
    """Return the cells, with overlapping ones moved apart."""
    if len(population) < 2:
        return population
    centres = np.stack([cell.centre for cell in population])
    radii = np.array([abs(np.linalg.det(cell.shape)) ** (-1 / len(cell.centre)) for cell in population])
    offsets = centres[:, None] - centres[None]
    distances = np.linalg.norm(offsets, axis=-1)
    overlap = np.maximum(0, 0.95 * (radii[:, None] + radii) - distances)
    np.fill_diagonal(overlap, 0)
    shifts = (0.25 * overlap / np.maximum(distances, 1e-6))[..., None] * offsets
    moved = centres + shifts.sum(axis=1)
    return [replace(cell, centre=centre) for cell, centre in zip(population, moved, strict=True)]


def _relabel(labels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Return the labels renumbered as 1, 2, ... without gaps."""
    used = np.unique(labels)
    numbers = np.zeros(int(used.max(initial=0)) + 1, np.uint16)
    numbers[used[used > 0]] = np.arange(1, np.count_nonzero(used) + 1)
    return numbers[labels]
