"""The certificate of networks of other packages."""

from collections.abc import Callable
from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS
from random_networks import random_net
from torch import nn
from torch.nn import functional

import napari_fcn as fcn
from napari_fcn.errors import ImageError, ModelError
from napari_fcn.geometry import ReceptiveField
from napari_fcn.inspection import external_models
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.receptive_fields.operations import unbounded_operations

IMAGE = np.random.default_rng(0).normal(size=(90, 77)).astype(np.float32)


def net(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    down, up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), down, *more, nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), up
    )  # fmt: skip


def test_an_external_network_is_certified() -> None:
    model = net().train()
    result = fcn.certify(model, IMAGE)
    assert result.is_exact
    assert result.region.shape == (90, 76)  # on its grid of 2 pixels
    assert "Compared: 90 x 76 px." in result.reason
    assert result.halo_needed[0] == fcn.receptive_field(model).halo[0]
    assert model.training


def test_the_layer_that_breaks_tiles_is_named() -> None:
    result = fcn.certify(net(nn.InstanceNorm2d(4)), IMAGE, tile=30)
    assert not result.is_exact
    assert result.halo_needed == ()
    assert "2 (InstanceNorm2d)" in result.reason


class Gate(nn.Module):
    """A squeeze-and-excitation gate, written with functions only."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mix(x.mean((2, 3), keepdim=True)).sigmoid()


def test_a_gate_over_the_whole_image_is_detected_without_its_type() -> None:
    result = fcn.certify(net(Gate()), IMAGE)
    assert not result.is_exact
    assert "mean in 2 (Gate) of the network depends on the whole input" in result.reason
    assert result.halo_used[0][0] >= 32


class Calls(nn.Module):
    """A network with a function between two convolutions."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.function(self.first(x)))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x - x.mean(), "mean in Calls"),
        (lambda x: x / x.std((2, 3), keepdim=True), "std in Calls"),
        (lambda x: x - x.mean(3, keepdim=True), "mean in Calls"),
        (lambda x: x.flatten(2).softmax(-1).reshape(x.shape), "softmax in Calls"),
        (lambda x: x.cumsum(2), "cumsum in Calls"),
        (lambda x: x + x.flip(1, 3), "flip in Calls"),
        (lambda x: x + torch.roll(x, 3, 2), "roll in Calls"),
        (lambda x: torch.fft.ifft2(torch.fft.fft2(x) ** 2).real, "fft_fft2 in Calls"),
        (lambda x: x * torch.einsum("bchw,bdhw->b", x, x).reshape(-1, 1, 1, 1), "einsum in Calls"),
        (lambda x: functional.interpolate(functional.interpolate(x, (32, 32)), x.shape[2:]), "interpolate in Calls"),
        (lambda x: x * functional.adaptive_max_pool2d(x, 1), "adaptive_max_pool2d in Calls"),
        (lambda x: functional.batch_norm(x, None, None, training=True), "batch_norm in Calls"),
        (lambda x: functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), "circular"), 3, 1), "pad in Calls"),
        (lambda x: functional.dropout(x), "dropout in Calls, which is random"),
    ],
)
def test_a_function_that_breaks_tiles_is_named(function: Callable[[torch.Tensor], Any], name: str) -> None:
    result = fcn.certify(Calls(function), IMAGE, tile=30)
    assert not result.is_exact
    assert name in result.reason
    assert "Conv2d" not in result.reason


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.BatchNorm2d(4, track_running_stats=False), "2 (BatchNorm2d)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "2 (Conv2d)"),
        (nn.GroupNorm(2, 4), "2 (GroupNorm)"),
    ],
)
def test_a_layer_that_breaks_tiles_is_named(layer: nn.Module, name: str) -> None:
    result = fcn.certify(net(layer), IMAGE, tile=30)
    assert not result.is_exact
    assert f"{name} of the network depends on the whole input" in result.reason


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: x.softmax(1),
        lambda x: functional.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
        lambda x: torch.einsum("bchw,dc->bdhw", x, torch.eye(4)),
        lambda x: functional.interpolate(functional.max_pool2d(x, 2), x.shape[2:]),
        lambda x: functional.pad(x, (2, 2, 2, 2), "reflect")[..., 2:-2, 2:-2].relu_(),
        lambda x: functional.dropout(x, training=False),
    ],
)
def test_functions_of_a_window_are_exact(function: Callable[[torch.Tensor], Any]) -> None:
    assert fcn.certify(Calls(function), IMAGE, tile=30).is_exact


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (net(nn.LayerNorm([4, 45, 38])), r"does not run on .* It depends on the whole image: 2 \(LayerNorm\)"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 90 * 77, 5)), "one output for each"),
        (Calls(lambda x: {}["gone"]), "cannot be probed.*gone"),
        (Calls(lambda x: x * (1 // 0)), "cannot be probed.*division"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Module()), "cannot be probed"),
    ],
)
def test_networks_that_cannot_be_tiled_are_rejected(model: nn.Module, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        fcn.certify(model, IMAGE, tile=30)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_the_numbers_of_a_network_are_its_own(kind: torch.dtype) -> None:
    assert fcn.certify(net().to(kind), (IMAGE * 100).astype(np.int16), tile=30).tiles == 9


def test_a_large_image_is_certified_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_models, "MAX_PIXELS", 40**2)
    result = fcn.certify(net(), IMAGE)
    assert result.region.size < 45**2
    assert result.region.start[0] > 10
    assert result.is_exact


def test_an_image_or_tile_that_does_not_fit_is_rejected() -> None:
    with pytest.raises(ImageError, match="reads 1 channels of 2 axes"):
        fcn.certify(net(), np.zeros((3, 20, 20)))
    for wrong in (np.zeros((20, 20), complex), np.array([["a"]]), np.zeros((0, 20))):
        with pytest.raises(ImageError, match="image"):
            fcn.certify(net(), wrong)
    with pytest.raises(ModelError, match="NaN"):
        fcn.certify(net(), np.full((20, 20), np.nan))
    with pytest.raises(ModelError, match="one output for each pixel"):
        fcn.certify(nn.Conv2d(1, 2, 3, stride=2, padding=1), IMAGE)
    with pytest.raises(ModelError, match="3 lengths"):
        fcn.certify(net(), IMAGE, tile=(8, 8, 8))
    with pytest.raises(TypeError, match="speed"):
        fcn.certify(net(), IMAGE, speed="high")


def test_a_model_of_the_package_is_certified_by_the_same_function() -> None:
    spec = SPECS["unet-2d"]
    model = Checkpoint.of(random_net(spec), net_contract.info(spec))
    result = fcn.certify(model, np.stack([IMAGE] * 2), "tyx", tile=32, device="cpu")
    assert result.is_exact
    assert result.tiles == 9


def test_the_receptive_field_of_a_torch_network() -> None:
    assert fcn.receptive_field(nn.Conv2d(1, 2, 5, padding=2)) == ReceptiveField((2, 2), (2, 2))


class Windows(nn.Module):
    """Attention within windows of 5 x 5 pixels, or over the whole map."""

    def __init__(self, is_whole: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.is_whole = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), is_whole

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        n, c, h, w = x.shape
        side = (h, w) if self.is_whole else (4, 4)
        parts = x.reshape(n, c, h // side[0], side[0], w // side[1], side[1]).permute(0, 2, 4, 3, 5, 1)
        tokens = parts.reshape(-1, 1, side[0] * side[1], c)
        seen = functional.scaled_dot_product_attention(tokens, tokens, tokens).reshape(parts.shape)
        return self.last(seen.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w))


@pytest.mark.parametrize("is_whole", [True, False])
def test_attention_over_the_whole_map_is_named(is_whole: bool) -> None:
    result = unbounded_operations(Windows(is_whole), 2, 1)
    assert result == (("scaled_dot_product_attention in Windows",) if is_whole else ())


@pytest.mark.parametrize(("ndim", "shape"), [(1, (90,)), (3, (24, 20, 22))])
def test_networks_of_any_dimension_are_certified(ndim: int, shape: tuple[int, ...]) -> None:
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[ndim]
    norm = {1: nn.InstanceNorm1d, 3: nn.InstanceNorm3d}[ndim]
    image = np.random.default_rng(0).normal(size=shape)
    torch.manual_seed(0)
    plain = nn.Sequential(conv(1, 4, 3, padding=1), nn.ReLU(), conv(4, 2, 3, padding=1))
    assert fcn.certify(plain, image, tile=10).is_exact
    result = fcn.certify(nn.Sequential(conv(1, 4, 3, padding=1), norm(4), conv(4, 2, 1)), image, tile=10)
    assert not result.is_exact
    assert f"1 ({norm.__name__})" in result.reason
