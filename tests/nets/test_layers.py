"""The layers on which exact tiling depends."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_fcn.nets import NetSpec
from napari_fcn.nets.fold import fold
from napari_fcn.nets.layers import LinearUp, fill


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 2, 4, 8]), st.integers(1, 3))
def test_filling_repeats_the_last_pixels_up_to_the_grid(height: int, width: int, multiple: int, least: int) -> None:
    x = torch.rand(1, 1, height, width)
    minimum = least * multiple
    filled = fill(x, (multiple, 1), (minimum, 1))
    assert filled.shape[2] % multiple == 0
    assert minimum <= filled.shape[2] < max(minimum + 1, height + multiple)
    assert filled.shape[3] == width
    rows = torch.arange(filled.shape[2]).clamp(max=height - 1)
    assert torch.equal(filled, x[:, :, rows])


def test_an_input_on_the_grid_is_not_copied() -> None:
    x = torch.rand(1, 1, 8, 4)
    assert fill(x, (8, 2), (8, 4)) is x


@pytest.mark.parametrize("factor", [(2,), (4,), (8,)])
def test_linear_upsampling_of_a_ramp_is_linear(factor: tuple[int]) -> None:
    up = LinearUp(1, 1, 1, factor)
    nn.init.ones_(up.mix.weight)
    nn.init.zeros_(up.mix.bias)  # type: ignore[arg-type]
    ramp = up(torch.arange(8.0).view(1, 1, 8))[0, 0].detach()
    inside = ramp[factor[0] : -factor[0]]
    torch.testing.assert_close(inside.diff(), torch.full((len(inside) - 1,), 1 / factor[0]))


def test_folding_does_not_change_the_original_network() -> None:
    net = NetSpec(width=2, depth=1).build(torch.Generator().manual_seed(0)).train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    fold(net)
    assert net.training
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
