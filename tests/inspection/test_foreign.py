"""The certificate of networks that are none of ours."""

import net_contract
import numpy as np
import pytest
import torch
from lively import lively
from net_contract import SPECS
from torch import nn

import napari_fcn as fcn
from napari_fcn.errors import ImageError, ModelError
from napari_fcn.geometry import ReceptiveField
from napari_fcn.inspection import foreign
from napari_fcn.models.checkpoint import Checkpoint

IMAGE = np.random.default_rng(0).normal(size=(90, 77)).astype(np.float32)


def net(*more: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    down, up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), down, *more, nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1), up
    )  # fmt: skip


def test_a_foreign_network_is_certified() -> None:
    model = net().train()
    found = fcn.certify(model, IMAGE)
    assert found.is_exact
    assert found.region.shape == (90, 76)  # on its grid of 2 pixels
    assert "Looked at: 90 x 76 px." in found.reason
    assert found.halo_needed[0] == fcn.receptive_field(model).halo[0]
    assert model.training


def test_the_layer_that_breaks_tiles_is_named() -> None:
    found = fcn.certify(net(nn.InstanceNorm2d(4)), IMAGE, tile=30)
    assert not found.is_exact
    assert found.halo_needed == ()
    assert "2 (InstanceNorm2d)" in found.reason


class Gate(nn.Module):
    """A squeeze-and-excitation gate, written with functions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mix(x.mean((2, 3), keepdim=True)).sigmoid()


def test_a_gate_over_the_whole_image_is_found_without_its_type() -> None:
    found = fcn.certify(net(Gate()), IMAGE)
    assert not found.is_exact
    assert "2.mix (Conv2d)" in found.reason
    assert found.halo_used[0][0] >= 32


def test_a_large_image_is_certified_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MOST", 40**2)
    found = fcn.certify(net(), IMAGE)
    assert found.region.size < 45**2
    assert found.region.start[0] > 10
    assert found.is_exact


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ImageError, match="reads 1 channels of 2 axes"):
        fcn.certify(net(), np.zeros((3, 20, 20)))
    with pytest.raises(ModelError, match="one answer for each pixel"):
        fcn.certify(nn.Conv2d(1, 2, 3, stride=2, padding=1), IMAGE)
    with pytest.raises(ModelError, match="3 lengths"):
        fcn.certify(net(), IMAGE, tile=(8, 8, 8))
    with pytest.raises(TypeError, match="speed"):
        fcn.certify(net(), IMAGE, speed="high")


def test_a_model_of_ours_is_certified_by_the_same_function() -> None:
    spec = SPECS["unet-2d"]
    model = Checkpoint.of(lively(spec), net_contract.info(spec))
    found = fcn.certify(model, np.stack([IMAGE] * 2), "tyx", tile=32, device="cpu")
    assert found.is_exact
    assert found.tiles == 9


def test_the_field_of_a_network_of_torch() -> None:
    assert fcn.receptive_field(nn.Conv2d(1, 2, 5, padding=2)) == ReceptiveField((2, 2), (2, 2))
