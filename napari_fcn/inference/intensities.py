"""Measures the intensities of an image once, to scale them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from napari_fcn.geometry import Region
from napari_fcn.models.normalise import FrameScaling, intensity_notes

if TYPE_CHECKING:
    from napari_fcn.inference.resampling import ResampledSource
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.models.normalise import AnyScaling
    from napari_fcn.settings import PredictSettings

FRAME_PIXELS = 2**20  # per channel, for the statistics of a frame
NO_FRAMES = "The image has no frames or planes that the model reads one by one: it is scaled as a whole."


def fit_scaling(
    source: ImageSource | ResampledSource, info: ModelInfo, settings: PredictSettings
) -> tuple[AnyScaling, tuple[str, ...]]:
    """Return the scaling of the intensities of an image, and notes for the user.

    Parameters
    ----------
    source : ImageSource or ResampledSource
        The image as the network reads it.
    info : ModelInfo
        The model, with its percentiles.
    settings : PredictSettings
        Other percentiles, and whether each frame has its own range. A frame is one position along all axes that the
        network does not convolve.
    """
    normaliser = info.normaliser
    if settings.percentiles:
        normaliser = replace(normaliser, low=settings.percentiles[0], high=settings.percentiles[1])
    together = info.spec.channels if info.spec.colours else 0
    frames = [1 if name in source.axes.space else n for name, n in zip(source.axes.image, source.shape, strict=True)]
    if settings.scaling == "image" or prod(frames) == 1:
        sample = source.sample()
        scaling = normaliser.fit(sample, together)
        more = () if settings.scaling == "image" else (NO_FRAMES,)
        return scaling, (*intensity_notes(sample), *scaling.notes, *more)
    scalings = []
    for index in product(*map(range, frames)):
        ends = zip(index, frames, source.shape, strict=True)
        region = Region(index, tuple(n if count == 1 else i + 1 for i, count, n in ends))
        scalings.append(normaliser.fit(source.sample(region, FRAME_PIXELS), together))
    by_frame = FrameScaling.of(scalings, frames)
    return by_frame, by_frame.notes
