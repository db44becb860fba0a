"""The families match numbers in their publications."""

import pytest
import torch
from torch import nn

from napari_fcn.nets import NetSpec
from napari_fcn.nets.fcn import FCN, BilinearUp
from napari_fcn.nets.layers import enlarge
from napari_fcn.receptive_fields.theoretical import theoretical


@pytest.mark.parametrize("factor", [(2,), (4,), (2, 2), (1, 4), (2, 1, 2), (8, 8)])
def test_a_transposed_convolution_starts_as_linear_upsampling(factor: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *(5, 4, 3)[: len(factor)])
    torch.testing.assert_close(BilinearUp(3, factor)(x), enlarge(x, factor))


@pytest.mark.parametrize(("skips", "factor", "scored"), [(0, 32, [256]), (1, 16, [256, 64]), (2, 8, [256, 64, 32])])
def test_skips_select_fcn_32s_16s_and_8s(skips: int, factor: int, scored: list[int]) -> None:
    net = FCN(NetSpec("fcn", ndim=1, width=8, depth=5, skips=skips))
    assert net.score is not None
    assert net.score.factor == (factor,)
    assert [net.score.deepest.in_channels, *(s.in_channels for s in net.score.skips)] == scored  # type: ignore[comparison-overlap]
    assert len(net.score.ups) == skips


def test_the_fusion_of_an_fcn_is_the_sum_of_its_scores() -> None:
    """With linear transposed convolutions, away from the border."""
    spec = NetSpec("fcn", ndim=1, width=2, depth=3)
    net = spec.build(torch.Generator().manual_seed(0)).eval()
    linear = NetSpec("fcn", ndim=1, width=2, depth=3, up="linear").build().eval()
    linear.load_state_dict(net.state_dict(), strict=False)
    x = torch.randn(1, 1, 64)
    with torch.inference_mode():
        torch.testing.assert_close(net(x), linear(x), atol=1e-5, rtol=1e-5)


def test_the_receptive_field_of_the_context_module_is_67_pixels() -> None:
    """Yu & Koltun 2016, table 1: dilations 1 1 2 4 8 16 1; the block before it adds two dense convolutions."""
    spec = NetSpec("dilated", ndim=1, depth=4)
    assert theoretical(spec).size == (67 + 4,)
    rates = [step[0].dilation[0] for step in spec.build().context]  # type: ignore[union-attr, operator, index]
    assert rates == [1, 1, 2, 4, 8, 16, 1]


def test_a_factorised_convolution_has_as_many_weights_as_the_full_one() -> None:
    """Tran et al. 2018, section 3.5."""
    whole = NetSpec(ndim=3, width=16, depth=2, time=0, norm="none")
    split = NetSpec("video", ndim=3, width=16, depth=2, norm="none")
    counts = [sum(p.numel() for p in spec.build().parameters()) for spec in (whole, split)]
    assert counts[1] == pytest.approx(counts[0], rel=0.02)
    assert theoretical(whole) == theoretical(split)


def test_a_video_network_convolves_space_then_time() -> None:
    net = NetSpec("video", ndim=3, width=4, depth=0, norm="none", time=1).build()
    kernels = [m.kernel_size for m in net.encoder[0] if isinstance(m, nn.Conv3d)]  # type: ignore[union-attr, index]
    assert kernels == [(3, 1, 3), (1, 3, 1)] * 2


def test_deeplab_has_one_branch_for_each_rate_and_a_pointwise_one() -> None:
    net = NetSpec("deeplab", ndim=1, width=4, depth=5, rates=(6, 12, 18)).build()
    assert net.spec.multiple == (8,)  # output stride 8, at which the published rates are doubled twice over 32
    assert [branch[0].dilation[0] for branch in net.pyramid] == [1, 24, 48, 72]  # type: ignore[union-attr]


def test_dilation_instead_of_pooling_keeps_most_of_the_field() -> None:
    pooled, dilated = (theoretical(NetSpec("fcn", ndim=1, depth=3, dilate=n)).size[0] for n in (0, 3))
    assert dilated < pooled < 2 * dilated
