"""The certificate confirms exact tiles and names planted violations."""

import net_contract
import numpy as np
import pytest
import torch
from net_contract import EXACT, SPECS, VISIBLE
from random_networks import probability_function, random_net
from torch import nn

from napari_fcn.events import Certified, CheckStep
from napari_fcn.geometry import TilePlan
from napari_fcn.receptive_fields.exactness import certify, cut_into_tiles
from napari_fcn.receptive_fields.theoretical import analyze

SPEC = SPECS["unet-2d"]
SHAPE = (97, 90)


def certified(net: nn.Module, plan: TilePlan, known: nn.Module | None = None) -> Certified:
    image = net_contract.noise(SPEC, SHAPE)[0].numpy()
    *steps, last = certify(probability_function(net), image, plan, analyze(known or net), EXACT)
    assert all(isinstance(step, CheckStep) for step in steps)
    assert [step.done for step in steps] == list(range(1, len(plan) + 2))  # type: ignore[union-attr]
    assert isinstance(last, Certified)
    return last


def test_the_tiles_of_a_plan_are_exact() -> None:
    net = random_net(SPEC)
    result = certified(net, cut_into_tiles(SHAPE, analyze(SPEC)))
    assert result.is_exact
    assert result.max_error <= EXACT
    assert result.label_flips == 0
    assert result.tiles == 9
    assert all(used >= need for sides in zip(result.halo_used, result.halo_needed, strict=True)
               for used, need in zip(*sides, strict=True))  # fmt: skip
    assert "contain the whole receptive field" in result.reason


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (TilePlan(SHAPE, (32, 32), ((8, 8), (8, 8)), (4, 4)), "halo of 8 px, and the receptive field needs 26"),
        (TilePlan(SHAPE, (33, 33), ((27, 27), (27, 27)), (1, 1)), "do not start on the pooling grid"),
    ],
)  # fmt: skip
def test_an_inexact_plan_is_detected_and_explained(plan: TilePlan, words: str) -> None:
    result = certified(random_net(SPEC), plan)
    assert not result.is_exact
    assert result.max_error > VISIBLE
    assert result.difference.max() == pytest.approx(result.max_error)
    assert 0 < result.mean_error < result.max_error
    assert result.label_flips > 0
    assert words in result.reason


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.score = nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.score(torch.relu(self.norm(self.stem(x))))


def test_a_norm_that_depends_on_the_tile_is_named() -> None:
    torch.manual_seed(0)
    net = Grouped().eval()
    result = certified(net, cut_into_tiles(SHAPE, analyze(net)))
    assert not result.is_exact
    assert result.halo_needed == ()
    assert result.halo_used == ((1, 1), (1, 1))  # as far as it sees but for the norm
    assert "norm (GroupNorm)" in result.reason


def test_the_reason_names_rounding_errors_that_are_too_large() -> None:
    net = random_net(SPEC)
    image = net_contract.noise(SPEC, SHAPE)[0].numpy()
    drawn = iter(np.random.default_rng(0).random(100) * 1e-3)

    def noisy(block: np.ndarray) -> np.ndarray:
        return probability_function(net)(block) + np.float32(next(drawn))

    *_, result = certify(noisy, image, cut_into_tiles(SHAPE, analyze(SPEC)), analyze(SPEC), EXACT)
    assert isinstance(result, Certified)
    assert not result.is_exact
    assert "more than rounding (1e-05)" in result.reason


def test_requested_tiles_are_rounded_up_to_the_grid() -> None:
    assert cut_into_tiles(SHAPE, analyze(SPEC), (30, 41)).tile == (32, 44)
    assert cut_into_tiles((2, 90), analyze(SPEC)).tile == (4, 32)
