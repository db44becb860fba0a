"""The pixels that a stroke can influence, compared with brute force."""

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS
from torch import nn

from napari_fcn.geometry import Region
from napari_fcn.receptive_fields.influence import influenced, influenced_box
from napari_fcn.receptive_fields.theoretical import analyze

SHAPES = {1: (91,), 2: (41, 38), 3: (22, 19, 21)}
STROKES = {1: ((40,), (43,)), 2: ((17, 9), (19, 14)), 3: ((9, 8, 3), (10, 9, 5))}
NETS = ["unet-1d", "unet-2d", "unet-3d", "transposed", "anisotropic-pool", "reflect", "replicate", "depth-0"]
NETS += ["resunet-1d", "fcn-pools-of-4-and-2", "dilated-2d", "deeplab-2d", "video-2d"]


def by_brute_force(name: str, stroke: np.ndarray) -> np.ndarray:
    """Return the outputs that change if a pixel of the stroke becomes brighter."""
    spec = SPECS[name]
    net = net_contract._positive(spec)
    dark = torch.ones(1, spec.channels, *stroke.shape, dtype=torch.float64)
    before, result = net(dark), np.zeros(stroke.shape, bool)
    for place in zip(*np.nonzero(stroke), strict=True):
        x = dark.clone()
        x[(0, slice(None), *place)] = 2
        result |= (((net(x) - before) / before).abs() > 1e-13).any(1)[0].numpy()
    return result


@pytest.mark.parametrize("name", NETS)
def test_a_stroke_influences_the_pixels_that_it_changes(name: str) -> None:
    spec = SPECS[name]
    shape, at = SHAPES[spec.ndim], Region(*STROKES[spec.ndim])
    stroke = np.ones(at.shape, bool)
    stroke[(0,) * spec.ndim] = spec.ndim == 3  # not a box, but in 3-D
    image = np.zeros(shape, bool)
    image[at.slices] = stroke
    region, mask = influenced(spec.build(), stroke, at, shape, analyze(spec))
    joined = np.zeros(shape, bool)
    joined[region.slices] = mask
    np.testing.assert_array_equal(joined, by_brute_force(name, image))
    for axis in range(spec.ndim):  # the smallest box
        for end in (0, -1):
            assert mask.take(end, axis).any()


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "anisotropic-pool"])
@pytest.mark.parametrize("corner", ["first", "last", "middle"])
def test_the_box_is_the_bounding_box_of_the_mask(name: str, corner: str) -> None:
    spec = SPECS[name]
    shape, result = SHAPES[spec.ndim], analyze(spec)
    pixel = {"first": [0] * len(shape), "last": [n - 1 for n in shape], "middle": [n // 2 for n in shape]}[corner]
    at = Region(tuple(pixel), tuple(i + 1 for i in pixel))
    region, _ = influenced(spec.build(), np.ones(at.shape, bool), at, shape, result)
    assert influenced_box(result, at, shape) == region


def test_strokes_across_tiles_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, shape = SPECS["unet-2d"], (130, 120)
    stroke = np.eye(130, 120, dtype=bool)
    whole = influenced(spec.build(), stroke, Region.whole(shape), shape, analyze(spec))
    monkeypatch.setattr("napari_fcn.receptive_fields.influence.TILE_PIXELS", 16**2)
    tiled = influenced(spec.build(), stroke, Region.whole(shape), shape, analyze(spec))
    assert tiled[0] == whole[0]
    np.testing.assert_array_equal(tiled[1], whole[1])


@pytest.mark.parametrize("split", [[4, 4], 4])
def test_networks_that_split_channels_are_supported(split: list[int] | int) -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.wide = nn.Conv1d(1, 8, 3, padding=1), nn.Conv1d(4, 4, 5, padding=4, dilation=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = self.stem(x).split(split, dim=1)
            return a + self.wide(b)

    region, mask = influenced(Halves(), np.ones(1, bool), Region((20,), (21,)), (40,), analyze(Halves()))
    assert region == Region((15,), (26,))
    assert mask.all()


def test_an_empty_stroke_influences_nothing() -> None:
    spec, at = SPECS["unet-2d"], Region((3, 3), (6, 6))
    region, mask = influenced(spec.build(), np.zeros((3, 3), bool), at, (20, 20), analyze(spec))
    assert region.is_empty
    assert mask.size == 0
