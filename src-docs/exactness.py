"""Differences between tiles and the whole image: exact tiles and two inexact ways."""

from __future__ import annotations

import numpy as np
import torch

from napari_fcn.api import load
from napari_fcn.geometry import TilePlan
from napari_fcn.nets.fold import fold
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.sample_data import cells

SHAPE = (384, 448)
TILE = (128, 128)
OURS, OFF_GRID, NO_HALO = "halo, on the pooling grid", "halo, off the pooling grid", "no halo"


def maps(model="nuclei"):
    """Return the image, and for each way of tiling the difference ``(2, *image)``: of probabilities, and of classes."""
    image = cells(SHAPE, seed=1)[0]
    checkpoint = load(model)
    net, spec = fold(checkpoint.net()), checkpoint.info.spec
    scaled = torch.from_numpy(checkpoint.info.normaliser.fit(image.reshape(1, -1)).apply(image[None])[None])
    halo = theoretical(spec).halo
    # A halo one pixel longer on a grid of one pixel: reads then start beside the pooling grid.
    longer = tuple((before + 1, after) for before, after in halo)
    ways = {
        OURS: TilePlan(SHAPE, TILE, halo, spec.multiple),
        OFF_GRID: TilePlan(SHAPE, TILE, longer, (1, 1)),
        NO_HALO: TilePlan(SHAPE, TILE, ((0, 0), (0, 0)), spec.multiple),
    }
    with torch.inference_mode():
        whole = net(scaled)[0].softmax(0).numpy()
        return image, {name: _difference(net, scaled, plan, whole) for name, plan in ways.items()}


def _difference(net, scaled, plan, whole):
    joined = np.empty_like(whole)
    for tile in plan:
        answer = net(scaled[(..., *tile.read.slices)])[0].softmax(0).numpy()
        joined[(slice(None), *tile.core.slices)] = answer[(slice(None), *tile.crop.slices)]
    return np.abs(joined - whole).max(0), joined.argmax(0) != whole.argmax(0)


def measure():
    """Return for each way its name, the largest difference of a probability, and the share of changed classes."""
    return [(name, float(difference.max()), float(changed.mean())) for name, (difference, changed) in maps()[1].items()]
