"""Loads what the first stroke needs in advance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.gui._layers import LayerImage, preload_layer_modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_fcn.gui._controllers.model_catalog import ModelCache


def warm_up_teaching(path: Path | None, models: ModelCache) -> Iterator[None]:
    """Import the engine, load the model and learn from two pixels, so that the first real stroke is as fast as others.

    Parameters
    ----------
    path : Path or None
        The model file; None for filters only.
    models : ModelCache
        Cache of loaded models.
    """
    preload_layer_modules()
    yield
    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.settings import TeachSettings
    from napari_fcn.teaching import Teaching

    yield
    checkpoint = None if path is None else models.load(path)
    ndim, channels = (checkpoint.info.spec.ndim, checkpoint.info.spec.channels) if checkpoint else (2, 1)
    blank = np.zeros((channels, *(64 if ndim < 3 else 16,) * ndim), np.uint8)
    axes = LayerImage("", blank, ("c", *"zyx"[-ndim:]), False).axes(ndim)
    yield
    teaching = Teaching(blank, checkpoint, axes, TeachSettings(network="off", device="cpu"))
    labels = np.zeros(blank.shape[1:], np.uint8)
    labels[..., 0], labels[..., 1] = 1, 2
    for _ in teaching.run_round(Samples.from_labels(labels), Region.whole(labels.shape)):
        yield
