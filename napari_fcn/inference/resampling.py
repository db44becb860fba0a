"""Runs a network at its training pixel size on an image of another pixel size, resampled tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import Advice, ImageError, Note
from napari_fcn.geometry import Region
from napari_fcn.geometry.resampling import Resampling, resampled_length
from napari_fcn.geometry.tiling import TilePlan
from napari_fcn.inference.source import sample_intensities
from napari_fcn.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Axes
    from napari_fcn.geometry.tiling import Tile
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.settings import PredictSettings

MAX_SIZE_RATIO = 1.2  # between two pixel sizes before a note is shown
STATE_SIZE = Advice(
    "State it with --voxel-size (spacing in Python), or leave out --resample.",
    "Choose Resample off under Advanced, or set scale and units of the layer.",
)
RESAMPLE_OFF = Advice(
    "Leave out --resample, or choose a model that states it (napari-fcn models NAME).",
    "Choose Resample off under Advanced, or a model that states it.",
)
NO_OBJECT_SIZE = Advice(
    "Leave out --object-size, or choose a model that states it (napari-fcn models NAME).",
    "Empty Object size under Advanced, or choose a model that states it.",
)
RESAMPLE = Advice("resample it with --resample auto.", "resample it: Resample under Advanced.")


@dataclass(frozen=True, slots=True, eq=False)
class ResampledSource:
    """An image source on another grid.

    Attributes
    ----------
    base : ImageSource
        The image.
    grid : Resampling
        From its pixels to those of the network.
    """

    base: ImageSource
    grid: Resampling

    @property
    def array(self) -> Any:
        """The array of the image, not resampled."""
        return self.base.array

    @property
    def axes(self) -> Axes:
        """Role of each axis."""
        return self.base.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each image axis in the pixels of the network."""
        return self.grid.target

    def read(self, region: Region) -> npt.NDArray[np.generic]:
        """Return the block ``(C, *region.shape)`` as float32."""
        return self.grid.apply(self.base.read(self.grid.needs(region)), region)

    def sample(self, region: Region | None = None, most: int | None = None) -> npt.NDArray[np.generic]:
        """Return ``(C, pixels)`` for the statistics of the image or a region, as the network reads it."""
        return sample_intensities(self, region, most)


@dataclass(frozen=True, slots=True)
class ResampledTiling:
    """How tiles of the image map to the grid of the network.

    ::

        image     core ──────────────────────────────────────────┐ apply(back)
                    │ back.needs                                 │
        network   core ── halo, pooling grid ── read ── net ── output
                                                 │ grid.needs
        image                                  block

    Attributes
    ----------
    grid : Resampling
        From the pixels of the image to those of the network.
    plan : TilePlan
        Halo and pooling grid of the network, on its own grid.
    region : Region, optional
        Part of the image to predict, in its pixels; all of it if not given.
    """

    grid: Resampling
    plan: TilePlan
    region: Region | None = None

    def network_tile(self, core: Region) -> Tile:
        """Return the tile of the network from which a core of the image is predicted."""
        needed = self.grid.back.needs(core)
        start = tuple(a // m * m for a, m in zip(needed.start, self.plan.multiple, strict=True))
        return self.plan.around(Region(start, needed.stop))

    def back(self, prediction: npt.NDArray[np.float32], network_tile: Tile, core: Region) -> npt.NDArray[np.float32]:
        """Return the prediction for a core of the image from that for its tile of the network."""
        needed = self.grid.back.needs(core).relative_to(network_tile.core)
        return self.grid.back.apply(prediction[(slice(None), *needed.slices)], core)

    def plan_like(self, tile: Sequence[int]) -> TilePlan:
        """Return tiles of the image that read about as much as tiles of this length on the grid of the network."""
        steps = [n / m for n, m in zip(self.grid.source, self.grid.target, strict=True)]
        return self.plan_tiles(tuple(max(1, int(t * step)) for t, step in zip(tile, steps, strict=True)))

    def plan_tiles(self, lengths: Sequence[int]) -> TilePlan:
        """Return tiles of the image of these lengths, with a halo that covers the reads of the network."""
        steps = [n / m for n, m in zip(self.grid.source, self.grid.target, strict=True)]
        halo = tuple(
            (0, 0) if step == 1 and margin == (0, 0) else (ceil((margin[0] + 2) * step), ceil((margin[1] + 2) * step))
            for margin, step in zip(self.plan.margin, steps, strict=True)
        )
        return TilePlan(self.grid.source, tuple(lengths), halo, (1,) * len(lengths), self.region)


def sizes_differ(here: Sequence[float], trained: Sequence[float]) -> bool:
    """Whether two pixel sizes differ by more than 20 % along an axis for which both are known: not 0, not empty."""
    pairs = zip(here, trained, strict=True) if here and trained else ()
    return any(min(pair) > 0 and max(pair) > MAX_SIZE_RATIO * min(pair) for pair in pairs)


def object_grid(source: ImageSource, factor: float) -> tuple[int, ...]:
    """Return the length of each image axis with pixels ``factor`` times as long in space, not in time."""
    factors = [1.0 if name == "t" else factor for name in source.axes.space]
    by_axis = zip(source.shape, source.axes.spread(factors, 1.0), strict=True)
    return tuple(resampled_length(n, 1.0, one) for n, one in by_axis)


def resample_objects(
    source: ImageSource, diameter: float, best: float, mode: str
) -> tuple[Resampling | None, tuple[str, ...]]:
    """Return the resampling that gives objects the size at which a model works best, None if they have it, and notes.

    Parameters
    ----------
    source : ImageSource
        The image.
    diameter, best : float
        Diameter of the objects in pixels of the image, and in pixels of the network; 0 if the model does not state it.
    mode : str
        The kernel; ``"off"`` or ``"auto"``: linear.

    Raises
    ------
    ImageError
        If the model does not state the size of objects.
    """
    if not best:
        raise ImageError(
            f"An object size of {diameter:g} px was given, but the model does not state at which size it works best.",
            NO_OBJECT_SIZE,
        )
    target = object_grid(source, diameter / best)
    if target == source.shape:
        return None, ()
    kernel = "linear" if mode in ("off", "auto") else mode
    note = (
        f"Objects are {diameter:g} px; the model works best at {best:g} px: the image is resampled by "
        f"{best / diameter:.2g}, tile by tile ({kernel})."
    )
    return Resampling(source.shape, target, kernel), (note,)


def plan_resampling(
    source: ImageSource, sizes: tuple[Sequence[float], Sequence[float]], mode: str
) -> tuple[Resampling | None, tuple[str, ...]]:
    """Return the resampling of an image to the pixel size of a model, None if there is none, and notes for the user.

    Parameters
    ----------
    source : ImageSource
        The image.
    sizes : (sequence of float, sequence of float)
        Pixel size of the image and of the training images, in micrometres per axis of the network; empty, or 0 for an
        axis, if unknown: that axis is not resampled.
    mode : str
        ``"off"``, the name of a kernel, or ``"auto"``: linear if sizes differ by more than 20 %.

    Raises
    ------
    ImageError
        If there is not one size per axis, or resampling was requested and one of the sizes is unknown.
    """
    for size in sizes:
        if size and (len(size) != len(source.axes.space) or not all(0 <= length < inf for length in size)):
            raise ImageError(
                f"Pixel sizes {tuple(size)} were given; needed is a positive number of micrometres for each of "
                f"{' '.join(source.axes.space)}, 0 if it is unknown."
            )
    pairs = [
        (here, learnt) if here > 0 and learnt > 0 else (1.0, 1.0)
        for here, learnt in zip(*(size or (0.0,) * len(source.axes.space) for size in sizes), strict=True)
    ]
    differs = sizes_differ(*sizes)
    if not all(sizes):
        if mode == "off":
            return None, ()
        missing, advice = ("the image", STATE_SIZE) if not sizes[0] else ("the training images", RESAMPLE_OFF)
        raise ImageError(f"Resampling was requested, but the pixel size of {missing} is unknown.", advice)
    texts = [" x ".join(f"{size:g}" for size in size_of) for size_of in sizes]
    sentence = f"The pixel size of the image is {texts[0]} µm, that of the training images {texts[1]} µm"
    if mode == "off":
        return None, (Note(f"{sentence}. If objects are missed,", RESAMPLE),) if differs else ()
    if mode == "auto" and not differs:
        return None, ()
    by_axis = zip(source.shape, source.axes.spread(pairs, (1.0, 1.0)), strict=True)
    target = tuple(resampled_length(n, *pair) for n, pair in by_axis)
    if target == source.shape:
        return None, ()
    kernel = "linear" if mode == "auto" else mode
    return Resampling(source.shape, target, kernel), (f"{sentence}: the image is resampled tile by tile ({kernel}).",)


def plan_grid(
    source: ImageSource, spacing: Sequence[float], info: ModelInfo, settings: PredictSettings
) -> tuple[Resampling | None, tuple[str, ...]]:
    """Return the resampling of an image for a model, None if there is none, and notes for the user.

    Parameters
    ----------
    source : ImageSource
        The image.
    spacing : sequence of float
        Its pixel size in micrometres per axis of the network; empty, or 0 for an axis, if unknown.
    info : ModelInfo
        The model.
    settings : PredictSettings
        The object size, else the mode of resampling to the pixel size of the model. ``"auto"`` is not resampled here:
        `Session` measures it.

    Raises
    ------
    ImageError
        As for `plan_resampling` and `resample_objects`.
    """
    if settings.object_size == AUTO:  # not measured yet
        return None, ()
    if settings.object_size is not None:
        return resample_objects(source, float(settings.object_size), info.object_size, settings.resample)
    return plan_resampling(source, (spacing, info.voxel_size), settings.resample)
