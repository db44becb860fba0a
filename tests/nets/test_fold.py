"""Folded networks have the same output."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from napari_fcn.nets import NetSpec
from napari_fcn.nets.fold import DirectConv3d, fold

has_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs a torch with oneDNN")


def as_direct(conv: nn.Conv3d) -> nn.Conv3d:
    conv.__class__ = DirectConv3d
    return conv


@pytest.mark.parametrize(
    ("kernel", "padding", "stride", "dilation", "mode"),
    [
        ((3, 3, 3), (1, 1, 1), 1, 1, "zeros"),
        ((1, 3, 3), (0, 1, 1), 1, 1, "zeros"),
        ((2, 3, 4), "same", 1, 2, "zeros"),
        ((3, 3, 3), (2, 0, 1), 2, 1, "zeros"),
        ((3, 3, 3), (1, 2, 0), 1, 1, "reflect"),
        ((3, 3, 3), (1, 1, 1), 1, 2, "replicate"),
    ],
)
def test_a_direct_convolution_equals_that_of_torch(
    kernel: tuple[int, ...], padding: str | tuple[int, ...], stride: int, dilation: int, mode: str
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(4, 6, kernel, stride, padding, dilation, padding_mode=mode)  # type: ignore[arg-type]
    x = torch.randn(2, 4, 9, 10, 11)
    with torch.inference_mode():
        expected = conv(x)
        torch.testing.assert_close(as_direct(conv)(x), expected, atol=1e-5, rtol=1e-5)


def test_gradients_pass_through_a_direct_convolution() -> None:
    conv = nn.Conv3d(2, 3, 3, padding=1)
    x = torch.randn(1, 2, 6, 6, 6, requires_grad=True)
    (expected,) = torch.autograd.grad(conv(x).square().sum(), x)
    (direct,) = torch.autograd.grad(as_direct(conv)(x).square().sum(), x)
    torch.testing.assert_close(direct, expected, atol=1e-4, rtol=1e-4)


@has_onednn
def test_folded_volumes_are_never_copied_into_matrices() -> None:
    net = fold(NetSpec(ndim=3, width=2, depth=1).build())
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiled:
        net(torch.zeros(1, 1, 8, 8, 8))
    names = {event.name for event in profiled.events()}
    assert "aten::mkldnn_convolution" in names
    assert not any("slow_conv3d" in name for name in names)
