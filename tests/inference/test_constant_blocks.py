"""Blocks of one constant value are predicted once."""

from collections.abc import Sequence

import net_contract
import numpy as np
import numpy.typing as npt
import pytest
import torch
from net_contract import SPECS

from napari_fcn.geometry import TilePlan
from napari_fcn.geometry.resampling import Resampling
from napari_fcn.inference import constant_blocks
from napari_fcn.inference.constant_blocks import MAX_CONSTANT_BLOCKS, ConstantBlockCache, constant_values
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.resampling import ResampledSource, ResampledTiling
from napari_fcn.receptive_fields.theoretical import theoretical


class CountingBackend:
    """Counts how often a network runs."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, predictor: Predictor) -> None:
        self.backend, self.runs, self.pixels = predictor.backend, 0, 0
        self.classes = predictor.backend.classes

    def probabilities(
        self, block: npt.NDArray[np.float32], crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)
    ) -> npt.NDArray[np.float32]:
        self.runs += 1
        self.pixels += int(np.prod(block.shape[2:]))
        return self.backend.probabilities(block, crop, trim)


def masked_image(shape: Sequence[int], channels: int = 1) -> npt.NDArray[np.float32]:
    """Return an image ``(C, *shape)``, or ``shape`` for one channel, with noise in one corner and else zeros."""
    image = np.zeros((channels, *shape), np.float32)
    corner = (slice(None), *(slice(0, n // 4) for n in shape))
    image[corner] = np.random.default_rng(0).normal(size=image[corner].shape)
    return image if channels > 1 else image[0]


def count_runs(predictor: Predictor, plan: TilePlan) -> int:
    """Run a plan, compare each tile with its prediction alone, and return how often the network ran for the plan."""
    counting = CountingBackend(predictor)
    events = list(predictor.with_backend(counting).run(plan, len(plan)))
    for event, tile in zip(events, plan, strict=True):
        np.testing.assert_array_equal(event.probabilities, predictor.tile(tile))
    return counting.runs


@pytest.mark.parametrize(
    ("name", "shape", "tile"),
    [
        ("unet-2d", (160, 200), (16, 16)),
        ("transposed", (160, 200), (16, 16)),
        ("channels-and-classes", (90, 96), (8, 8)),
        ("reflect-3d", (12, 16, 120), (12, 16, 4)),
    ],
)
def test_constant_tiles_are_predicted_once_and_equal_their_prediction_alone(
    name: str, shape: tuple[int, ...], tile: tuple[int, ...]
) -> None:
    spec = SPECS[name]
    predictor = net_contract.predictor(spec, masked_image(shape, spec.channels))
    plan = TilePlan(shape, tile, theoretical(spec).halo, spec.multiple)
    assert count_runs(predictor, plan) < 0.8 * len(plan)


def test_the_image_border_changes_the_prediction_of_a_constant_tile() -> None:
    spec = SPECS["unet-2d"]
    predictor = net_contract.predictor(spec, np.zeros((160, 160), np.float32))
    plan = TilePlan((160, 160), (16, 16), theoretical(spec).halo, spec.multiple)
    assert 9 <= count_runs(predictor, plan) < len(plan)
    joined = net_contract.join(predictor, plan)
    assert np.abs(joined - net_contract.whole(predictor)).max() <= net_contract.EXACT
    assert np.abs(joined[:, 0, 0] - joined[:, 80, 80]).max() > net_contract.VISIBLE


def test_values_of_several_masks_are_not_confused() -> None:
    spec = SPECS["unet-2d"]
    image = np.zeros((320, 96), np.float32)
    image[160:] = 3
    predictor = net_contract.predictor(spec, image)
    plan = TilePlan(image.shape, (16, 16), theoretical(spec).halo, spec.multiple)
    assert count_runs(predictor, plan) < len(plan)


def test_constant_tiles_of_a_resampled_image_equal_their_prediction_alone() -> None:
    grid = Resampling((300, 240), (150, 120))
    spec = SPECS["unet-2d"]
    halo = theoretical(spec).halo
    network = net_contract.predictor(spec, masked_image((300, 240)))
    tiling = ResampledTiling(grid, TilePlan((150, 120), (8, 8), halo, spec.multiple))
    source = ResampledSource(network.source, grid)  # type: ignore[arg-type]
    predictor = Predictor(network.backend, source, network.scaling).with_resampling(tiling)
    plan = tiling.plan_tiles((24, 24))
    assert count_runs(predictor, plan) < 0.8 * len(plan)


def test_only_the_latest_predictions_are_kept() -> None:
    predictor = net_contract.predictor(SPECS["unet-2d"], np.zeros((64, 64), np.float32))
    counting = CountingBackend(predictor)
    cache = ConstantBlockCache(counting)
    blocks = [np.full((1, 1, 16, 16), value, np.float32) for value in range(MAX_CONSTANT_BLOCKS + 1)]
    for block in (*blocks, blocks[-1]):
        cache.probabilities(block)
    assert counting.runs == len(blocks)
    cache.probabilities(blocks[0])
    assert counting.runs == len(blocks) + 1


def test_predictions_that_would_take_much_memory_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = net_contract.predictor(SPECS["unet-2d"], np.zeros((64, 64), np.float32))
    counting, block = CountingBackend(predictor), np.zeros((1, 1, 16, 16), np.float32)
    monkeypatch.setattr(constant_blocks, "MAX_CONSTANT_BYTES", 1000)
    cache = ConstantBlockCache(counting)
    for _ in range(2):
        cache.probabilities(block)
    assert counting.runs == 2


def test_changes_of_a_prediction_do_not_reach_the_next_one() -> None:
    predictor = net_contract.predictor(SPECS["unet-2d"], np.zeros((64, 64), np.float32))
    cache, block = ConstantBlockCache(predictor.backend), np.zeros((1, 1, 16, 16), np.float32)
    expected = cache.probabilities(block)
    for _ in range(2):
        prediction = cache.probabilities(block)
        np.testing.assert_array_equal(prediction, expected)
        prediction[:] = -1


def test_constancy_is_of_bits() -> None:
    assert constant_values(np.full((1, 1, 4, 4), np.nan, np.float32)) is not None
    zeros = np.zeros((1, 2, 4), np.float32)
    assert constant_values(zeros) is not None
    zeros[0, 1, 2] = -0.0
    assert constant_values(zeros) is None
