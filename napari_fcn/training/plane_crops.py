"""Random crops of pictures in any size, direction and colour, as a microscope, a stain or a camera could have made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from skimage.color import hed2rgb, rgb2hed
from torch.nn import functional as F
from torch.utils.data import Dataset

from napari_fcn.training.pictures import TASKS, Picture, targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Plane = npt.NDArray[np.float32]

OUTSIDE = -1  # label of what lies outside of a picture


@dataclass(frozen=True, slots=True)
class PlaneAugmentation:
    """Ranges of the random changes of a crop.

    Attributes
    ----------
    diameters : (float, float)
        Range of the diameter of objects in a crop, in pixels; uniform on a log scale.
    native : float
        Share of the crops that keep about the size of the picture, within a factor of `near`.
    near : float
        That factor.
    elastic : float
        Standard deviation of the elastic deformation, in pixels of the crop.
    """

    diameters: tuple[float, float] = (7.0, 100.0)
    native: float = 0.5
    near: float = 1.5
    elastic: float = 2.0

    def crop(self, picture: Picture, side: int, rng: np.random.Generator) -> tuple[Plane, Any, Plane]:
        """Return image (3, side, side), labels (side, side), and distance (side, side), 0 without objects."""
        image, labels, distance = self._warp(picture, side, self._zoom(picture, rng), rng)
        has_objects = TASKS[picture.task].has_objects
        image = change_colours(image, picture.is_colour, rng)
        is_empty = has_objects and not (labels > 0).any()
        return change_intensities(image, is_empty, rng), labels, distance

    def _zoom(self, picture: Picture, rng: np.random.Generator) -> float:
        near = float(np.exp(rng.uniform(-1, 1) * np.log(self.near)))
        if not TASKS[picture.task].has_objects or rng.random() < self.native:
            return near if TASKS[picture.task].has_objects else near**1.7
        wanted = np.exp(rng.uniform(*np.log(self.diameters)))
        return float(np.clip(wanted / picture.diameter, 0.2, 4.0))

    def _warp(
        self, picture: Picture, side: int, zoom: float, rng: np.random.Generator
    ) -> tuple[Plane, npt.NDArray[np.int32], Plane]:
        height, width = picture.labels.shape
        distance = np.zeros((height, width), np.float32) if picture.distance is None else picture.distance
        stack = np.concatenate([picture.image, distance[None]])
        half = side / zoom / 2 * 1.42 + 4  # of the part of the picture that a turned crop can need
        centre = [rng.uniform(min(side / zoom / 2, n / 2), max(n - side / zoom / 2, n / 2)) for n in (height, width)]
        spans = zip(centre, (height, width), strict=True)
        window = tuple(slice(max(0, int(c - half)), min(n, int(c + half) + 1)) for c, n in spans)
        part = torch.from_numpy(np.ascontiguousarray(stack[(slice(None), *window)]))[None]
        labels = torch.from_numpy(np.ascontiguousarray(picture.labels[window])).float()[None, None]
        centre = [c - w.start for c, w in zip(centre, window, strict=True)]
        if zoom < 1:
            size = [max(1, round(n * zoom)) for n in part.shape[2:]]
            part = F.interpolate(part, size=size, mode="bilinear", antialias=True, align_corners=False)
            labels = F.interpolate(labels, size=size, mode="nearest-exact")
            centre, zoom = [c * zoom for c in centre], 1.0
        grid = _grid(side, zoom, centre, part.shape[2:], self.elastic, rng)
        warped = F.grid_sample(part, grid, mode="bilinear", padding_mode="reflection", align_corners=False)[0].numpy()
        inside = (grid.abs() <= 1).all(-1)[0].numpy()
        numbers = F.grid_sample(labels, grid, mode="nearest", padding_mode="border", align_corners=False)[0, 0].numpy()
        return warped[:3], np.where(inside, numbers, OUTSIDE).astype(np.int32), warped[3]


def _grid(
    side: int, zoom: float, centre: Sequence[float], shape: Sequence[int], elastic: float, rng: np.random.Generator
) -> torch.Tensor:
    """Return the positions of a turned, mirrored and deformed crop, in the coordinates of `torch` (-1 to 1)."""
    axis = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2) / zoom
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    if elastic and rng.random() < 0.5:
        field = torch.from_numpy(rng.normal(0, elastic / zoom, (1, 2, 6, 6)).astype(np.float32))
        field = F.interpolate(field, size=(side, side), mode="bicubic", align_corners=True)[0]
        y, x = y + field[0], x + field[1]
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    cos, sin, mirror = float(np.cos(angle)), float(np.sin(angle)), 1 if rng.random() < 0.5 else -1
    rows, columns = cos * y - sin * x + centre[0], mirror * (sin * y + cos * x) + centre[1]
    return torch.stack([(2 * columns + 1) / shape[1] - 1, (2 * rows + 1) / shape[0] - 1], -1)[None].float()


def change_colours(image: Plane, is_colour: bool, rng: np.random.Generator) -> Plane:
    """Return an image (3, Y, X) of about -1 to 1 with other stains, another tint, or without colour."""
    chance = rng.random()
    if not is_colour:
        if chance < 0.15:  # a grey image shown in a colour, as cameras and screens do
            tint = rng.uniform(0, 1, 3)
            tint /= tint.max()
            image = ((image + 1) * tint[:, None, None] - 1).astype(np.float32)
        return image
    if chance < 0.5:
        return jitter_stains(image, rng)
    if chance < 0.65:
        weights = rng.dirichlet([1.5, 1.5, 1.5])
        grey = np.tensordot(weights, image, 1)
        return np.repeat(grey[None], 3, 0).astype(np.float32)
    if chance < 0.75:
        return np.ascontiguousarray(image[rng.permutation(3)])
    return image


def jitter_stains(image: Plane, rng: np.random.Generator) -> Plane:
    """Return an image with its stains, separated by Ruifrok & Johnston (2001), weaker or stronger."""
    stains = rgb2hed(np.clip((np.moveaxis(image, 0, -1) + 1) / 2, 0.01, 1))
    stains = stains * rng.uniform(0.6, 1.5, 3) + rng.uniform(-0.02, 0.02, 3)
    return np.ascontiguousarray(np.moveaxis(hed2rgb(stains), -1, 0) * 2 - 1, dtype=np.float32)


def change_intensities(crop: Plane, is_empty: bool, rng: np.random.Generator) -> Plane:
    """Return an image with another contrast, blur and noise; without objects, with much more contrast."""
    image: npt.NDArray[Any] = crop
    if rng.random() < 0.2:
        image = -image
    if is_empty and rng.random() < 0.5:  # percentiles of a nearly empty image stretch its noise
        gain = rng.uniform(1, 1 / np.clip(image.std() * 2, 0.1, 1))
        image = (image - image.mean()) * gain + rng.uniform(-1, 0)
    if rng.random() < 0.4:
        exponent = np.exp(rng.uniform(-0.6, 0.6))
        image = np.clip((image + 1) / 2, 0, None) ** exponent * 2 - 1
    if rng.random() < 0.5:
        image = image * rng.uniform(0.5, 1.3) + rng.uniform(-0.3, 0.3) + rng.uniform(-0.1, 0.1, (3, 1, 1))
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, (0, *(rng.uniform(0.3, 2.0),) * 2))
    if rng.random() < 0.35:
        noise = rng.normal(0, rng.uniform(0, 0.2), (3 if rng.random() < 0.3 else 1, *image.shape[1:]))
        image = image + noise
    if rng.random() < 0.1:
        image = _jpeg(image, int(rng.integers(30, 90)))
    return np.ascontiguousarray(np.clip(image, -4, 4), dtype=np.float32)


def _jpeg(image: npt.NDArray[Any], quality: int) -> npt.NDArray[Any]:
    """Return an image as it comes back from a JPEG file."""
    low, high = float(image.min()), float(image.max())
    values = np.moveaxis((image - low) / max(high - low, 1e-6) * 255, 0, -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=quality)
    return np.moveaxis(np.asarray(Image.open(file), np.float32), -1, 0) / 255 * (high - low) + low


class PlaneCrops(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]]):
    """Random crops of pictures of several tasks; the ``i``-th crop of an epoch is always the same.

    Parameters
    ----------
    pictures : sequence of Picture
        The training pictures.
    shares : mapping of str to float
        Share of the crops of each task. Within a task, a kind of ``n`` pictures gets a share of ``n ** balance``.
    side : int
        Side of a crop in pixels.
    length, seed : int
        Crops in an epoch, and seed.
    augmentation : PlaneAugmentation
        Ranges of the random changes.
    """

    balance = 0.5

    def __init__(
        self,
        pictures: Sequence[Picture],
        shares: Mapping[str, float],
        side: int,
        length: int,
        seed: int = 0,
        augmentation: PlaneAugmentation | None = None,
    ) -> None:
        self.pictures, self.side, self.length, self.seed, self.epoch = pictures, side, length, seed, 0
        self.augmentation = augmentation or PlaneAugmentation()
        self.task_numbers = {task: number for number, task in enumerate(TASKS)}
        kinds = [(picture.task, picture.kind) for picture in pictures]
        sizes = {kind: kinds.count(kind) for kind in set(kinds)}
        totals = {task: sum(n**self.balance for (t, _), n in sizes.items() if t == task) for task in shares}
        weights = [shares.get(t, 0) * sizes[t, k] ** (self.balance - 1) / totals.get(t, 1) for t, k in kinds]
        self.probabilities = np.array(weights) / sum(weights)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        picture = self.pictures[rng.choice(len(self.pictures), p=self.probabilities)]
        image, labels, distance = self.augmentation.crop(picture, self.side, rng)
        classes = targets(labels, TASKS[picture.task]).astype(np.int64)
        return (
            torch.from_numpy(image),
            torch.from_numpy(classes),
            torch.from_numpy(np.ascontiguousarray(distance)),
            self.task_numbers[picture.task],
        )
