"""Converted networks have the same output as the originals."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from classifiers import (
    CLASSIFIERS,
    RESNET50,
    RESNET101,
    UNPADDED,
    VGG,
    VGG16,
    AlexNet,
    Branches,
    ResNet,
    Trunk,
    lenet,
    settled,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from napari_fcn.nets.convert import (
    PaddingAnalysis,
    ValidConv,
    analyze_padding,
    dilate,
    fully_convolutional,
    shift_and_stitch,
)

VISIBLE = 1e-3  # what answers differ by at least, relative to the largest, where they are of different functions
STRIDED = ("lenet", "lenet-1d", "lenet-3d", "functional", "branches", "branches-unpadded", "vgg", "vgg-3d", "resnet50")


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def classifier(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    make, size = CLASSIFIERS[name]
    return settled(make()), size


def image(net: nn.Module, shape: Sequence[int]) -> Tensor:
    first = next(module for module in net.modules() if isinstance(module, nn.modules.conv._ConvNd))
    return torch.randn(2, first.in_channels, *shape, generator=torch.Generator().manual_seed(3))


def assert_same(one: Tensor, other: Tensor) -> None:
    assert one.shape == other.shape
    scale = float(other.abs().max().clamp(min=1))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * scale)


def slide(net: nn.Module, x: Tensor, size: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Return the outputs of a network for all crops as a map."""
    counts = [(length - n) // s + 1 for length, n, s in zip(x.shape[2:], size, stride, strict=True)]
    answers = []
    for index in product(*map(range, counts)):
        starts = [i * s for i, s in zip(index, stride, strict=True)]
        crop = x[(..., *(slice(a, a + n) for a, n in zip(starts, size, strict=True)))]
        answers.append(net(crop).flatten(1))
    return torch.stack(answers, -1).unflatten(-1, counts)


def sampled(x: Tensor, stride: Sequence[int]) -> Tensor:
    return x[(..., *(slice(None, None, s) for s in stride))]


def test_the_example_in_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "src-docs/convert.md").read_text(encoding="utf-8")
    exec(page.split("```python\n")[1].split("```")[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "torch.Size([1, 2, 46, 71])"
    assert lines[2] == "torch.Size([1, 2, 181, 281])"
    assert all(float(line[len("tensor(") : -1]) < 1e-6 for line in lines[3:])


# a classifier becomes a network for any size


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_at_the_training_size_the_output_is_that_of_the_classifier(name: str) -> None:
    net, size = classifier(name)
    x = image(net, size)
    assert_same(fully_convolutional(net, size)(x), net(x)[(..., *[None] * len(size))])


@pytest.mark.parametrize("name", UNPADDED)
def test_without_padding_the_map_equals_sliding_the_classifier(name: str) -> None:
    net, size = classifier(name)
    converted = fully_convolutional(net, size)
    stride = analyze_padding(converted).stride
    x = image(net, [n + 2 * s + 1 for n, s in zip(size, stride, strict=True)])
    slid = slide(net, x, size, stride)
    assert_same(converted(x)[(..., *map(slice, slid.shape[2:]))], slid)
    assert analyze_padding(converted).padded == ()


@settings(max_examples=10)
@given(st.integers(20, 45), st.integers(20, 45), st.integers(20, 24))
def test_the_map_equals_sliding_for_any_size(height: int, width: int, crop: int) -> None:
    net = FIXED_LENET if crop < 24 else WIDE_LENET  # 20 to 23 pixels give the same map of 3 x 3
    converted = fully_convolutional(net, crop)
    x = image(net, (max(height, crop), max(width, crop)))
    slid = slide(net, x, (crop, crop), (4, 4))
    assert_same(converted(x)[..., : slid.shape[2], : slid.shape[3]], slid)


def test_with_padding_the_map_differs_from_sliding() -> None:
    net, size = classifier("vgg")
    x = image(net, (40, 40))
    converted = fully_convolutional(net, size)
    slid = slide(net, x, size, analyze_padding(converted).stride)
    answer = converted(x)[..., : slid.shape[2], : slid.shape[3]]
    assert (answer - slid).abs().max() > VISIBLE * slid.abs().max()
    assert analyze_padding(converted).padded == ("features.0", "features.4", "features.7")


@pytest.mark.parametrize("name", ["vgg", "vgg-3d", "branches", "lenet", "functional"])
def test_outputs_without_padding_equal_a_sliding_window(name: str) -> None:
    net, size = classifier(name)
    free = ValidConv(fully_convolutional(net, size))
    smallest, stride = free.window.minimum, free.window.stride
    x = image(net, [n + s + 1 for n, s in zip(smallest, stride, strict=True)])
    assert_same(free(x), slide(free, x, smallest, stride))


def test_outputs_without_padding_equal_the_network_without_paddings() -> None:
    net, size = classifier("vgg")
    converted = fully_convolutional(net, size)
    x = image(net, (53, 48))
    seen = analyze_padding(converted)
    bare = fully_convolutional(net, size)
    for module in bare.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
    skipped = [start % step for start, step in zip(seen.start, seen.stride, strict=True)]
    assert skipped != [0, 0]  # the grid of the padded network has another phase
    assert_same(ValidConv(converted)(x), bare(x[..., skipped[0] :, skipped[1] :]))


def test_the_padding_analysis_gives_the_receptive_field_of_a_position() -> None:
    net, size = classifier("branches")
    converted = fully_convolutional(net, size)
    seen = analyze_padding(converted)
    with torch.enable_grad():
        x = image(net, (120, 110)).requires_grad_()
        answer = converted(x)
        index = [part.start for part in seen.untouched((120, 110))]
        (gradient,) = torch.autograd.grad(answer[0, :, index[0], index[1]].sum(), x)
    for axis, across in ((0, 1), (1, 0)):
        touched = gradient[0].abs().amax((0, across + 1)).nonzero()[:, 0]
        assert int(touched.min()) >= index[axis] * seen.stride[axis] + seen.start[axis]
        assert int(touched.max()) < index[axis] * seen.stride[axis] + seen.start[axis] + seen.size[axis]


def test_an_image_that_is_too_small_without_padding_is_rejected() -> None:
    net, size = classifier("vgg")
    free = ValidConv(fully_convolutional(net, size))
    with pytest.raises(ValueError, match=r"image of \(20, 20\) pixels depends on padding. Use at least \(\d+, \d+\)"):
        free(image(net, size))


def test_the_classifier_is_not_changed() -> None:
    net = lenet().train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    fully_convolutional(net, 20)
    assert net.training
    assert isinstance(net[6], nn.Flatten)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


def test_the_weights_keep_their_names_and_values() -> None:
    net, size = classifier("vgg16")
    weights, converted = net.state_dict(), dilate(fully_convolutional(net, size)).state_dict()
    assert weights.keys() == converted.keys()
    assert all(torch.equal(values.flatten(), converted[name].flatten()) for name, values in weights.items())


# strides become dilations


@pytest.mark.parametrize("name", STRIDED)
def test_a_dilated_network_includes_the_old_outputs(name: str) -> None:
    net, size = classifier(name)
    strided = fully_convolutional(net, size)
    dense = dilate(strided)
    for more in (0, 3, 7):
        x = image(net, [n + more + axis for axis, n in enumerate(size)])
        assert_same(sampled(dense(x), analyze_padding(strided).stride), strided(x))


@pytest.mark.parametrize("name", STRIDED)
def test_dilation_keeps_the_field_and_restores_the_resolution(name: str) -> None:
    net, size = classifier(name)
    strided = analyze_padding(fully_convolutional(net, size))
    dense = analyze_padding(dilate(fully_convolutional(net, size)))
    assert (dense.start, dense.size) == (strided.start, strided.size)
    assert set(dense.stride) == {1}


LAYERS = {
    "average that counts padding": nn.AvgPool2d(3, 2, 1),
    "average that does not": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average with a divisor": nn.AvgPool2d((2, 3), divisor_override=5),
    "even maximum with padding": nn.MaxPool2d(2, 2, 1),
    "dilated maximum": nn.MaxPool2d(3, 2, 1, dilation=2),
    "even convolution of the same size": nn.Conv2d(4, 4, (4, 2), padding="same"),
    "padding at one end": nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 4, 3, (3, 2))),
    "padding with a constant": nn.Sequential(nn.ConstantPad2d(2, 7.0), nn.Conv2d(4, 4, 3)),
    "groups": nn.Conv2d(4, 4, 3, (1, 3), (1, 2), groups=2),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("shape", [(24, 31), (25, 32), (30, 26)])
def test_each_layer_dilates(layer: nn.Module, shape: tuple[int, int]) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, (2, 3), 1), layer, nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).eval()
    dense = dilate(net)
    x = image(net, shape)
    assert_same(sampled(dense(x), analyze_padding(net).stride), net(x))
    assert_same(sampled(dilate(dense)(x), analyze_padding(net).stride), net(x))


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_strides_up_to_the_requested_one_are_kept(stride: int) -> None:
    trunk = Trunk(settled(ResNet(RESNET50, 2))).eval()  # type: ignore[arg-type]
    x = image(trunk, (70, 67))
    some = dilate(trunk, stride)
    assert analyze_padding(some).stride == (stride, stride)
    assert_same(sampled(some(x), (32 // stride,) * 2), trunk(x))


def test_a_dilated_classifier_equals_the_sliding_classifier_at_each_pixel() -> None:
    net, size = classifier("lenet")
    x = image(net, (29, 27))
    assert_same(dilate(fully_convolutional(net, size))(x), slide(net, x, size, (1, 1)))


# shift and stitch


@pytest.mark.parametrize("name", UNPADDED)
def test_stitched_shifts_equal_dilation(name: str) -> None:
    net, size = classifier(name)
    strided = fully_convolutional(net, size)
    stride = analyze_padding(strided).stride
    x = image(net, [n + s + 2 for n, s in zip(size, stride, strict=True)])
    assert_same(shift_and_stitch(strided, x, stride), dilate(strided)(x))


@pytest.mark.parametrize("name", ["branches", "vgg", "vgg-3d"])
def test_with_padding_stitched_shifts_equal_dilation_away_from_the_border(name: str) -> None:
    net, size = classifier(name)
    strided = fully_convolutional(net, size)
    seen = analyze_padding(strided)
    dense = dilate(strided)
    x = image(net, [n + 2 * s for n, s in zip(seen.minimum, seen.stride, strict=True)])
    stitched, answer = shift_and_stitch(strided, x, seen.stride), dense(x)
    assert stitched.shape == answer.shape
    start = tuple(a - (s - 1) for a, s in zip(seen.start, seen.stride, strict=True))  # a shifted image begins later
    span = tuple(n + s - 1 for n, s in zip(seen.size, seen.stride, strict=True))
    inside: tuple[Any, ...] = (..., *PaddingAnalysis(start, span, (1,) * len(size)).untouched(x.shape[2:]))
    assert stitched[inside].numel()
    assert_same(stitched[inside], answer[inside])
    assert (stitched - answer).abs().max() > VISIBLE * answer.abs().max()


def test_stitching_takes_any_callable_of_known_stride() -> None:
    x = torch.rand(1, 1, 13, 11)
    assert torch.equal(shift_and_stitch(lambda part: part[..., ::3, ::4], x, (3, 4)), x)


def test_a_wrong_stride_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"\(6, 6\) is not the stride of this network"):
        shift_and_stitch(nn.MaxPool2d(2), torch.rand(1, 1, 20, 20), 6)


# published fields


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (VGG(VGG16, 1, 7).features, 212),
        (AlexNet().features, 195),
        (Trunk(ResNet(RESNET50, 1)), 483),
        (Trunk(ResNet(RESNET101, 1)), 1027),
    ],
    ids=["vgg16", "alexnet", "resnet50", "resnet101"],
)
def test_published_networks_have_their_published_fields(net: nn.Module, size: int) -> None:
    assert analyze_padding(net).size == (size, size)  # Araujo et al. 2019, table 1
    assert analyze_padding(dilate(net)).size == (size, size)


# what cannot be converted is named


class Excited(nn.Module):
    """Squeeze and excitation (Hu et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.pool(x)  # type: ignore[no-any-return]


class Looping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * sum(range(x.shape[0]))


class Mean(nn.Module):
    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.excited = nn.Conv2d(1, 1, 1), Excited()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.excited(self.conv(x)), x


def stem(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), *layers)


@pytest.mark.parametrize(
    ("net", "complaint"),
    [
        (stem(nn.InstanceNorm2d(4)), r"Layer '1' \(InstanceNorm2d\) cannot be converted"),
        (stem(nn.BatchNorm2d(4, track_running_stats=False)), r"Layer '1' \(BatchNorm2d\) cannot"),
        (stem(nn.Upsample(scale_factor=2)), r"Layer '1' \(Upsample\) cannot"),
        (stem(nn.Linear(10, 3)), r"Layer '1' \(Linear\) .* Flatten before it"),
        (stem(nn.AdaptiveMaxPool2d(4)), r"Layer '1' \(AdaptiveMaxPool2d\) .* have no sliding form"),
        (stem(nn.AdaptiveAvgPool2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)), r"Layer '2' \(ReLU\) cannot"),
        (stem(nn.AdaptiveAvgPool2d(4), nn.Conv2d(4, 4, 3)), r"Layer '2' \(Conv2d\) .* needs a map"),
        (stem(nn.Flatten(), nn.BatchNorm1d(400)), r"Layer '2' \(BatchNorm1d\) .* separately"),
        (stem(nn.Flatten()), r"Layer '1' .* without a linear layer after it"),
        (stem(nn.Softmax(dim=2)), r"Layer '1' \(Softmax\) .* channels"),
        (stem(nn.MaxPool2d(2, return_indices=True)), "indices|output"),
        (stem(nn.Flatten(2)), r"Layer '1' \(Flatten\)"),
        (stem(Mean((1, 2))), r"The call of .mean\(\) in '1' .* all spatial axes"),
        (stem(nn.Conv2d(4, 1, 1), Nested()), r"The call of mul\(\) in '2.excited' .* depends on the whole crop"),
        (nn.Sequential(nn.Linear(3, 3)), "no convolution"),
        (stem(nn.Conv2d(4, 4, 13)), r"does not run on an input of \(1, 1, 12, 12\).*Is the size right"),
        (stem(Looping()), "Sequential cannot be traced layer by layer"),
    ],
)
def test_layers_that_cannot_be_converted_are_named(net: nn.Module, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fully_convolutional(net, 12)


@pytest.mark.parametrize(
    ("net", "complaint"),
    [
        (stem(nn.AdaptiveAvgPool2d(1)), r"Layer '1' \(AdaptiveAvgPool2d\) depends on the whole image"),
        (stem(nn.MaxPool2d(2, ceil_mode=True)), r"Layer '1' \(MaxPool2d\) .*Set ceil_mode=False"),
        (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")), "'1' .*Pad with zeros"),
        (nn.Sequential(nn.MaxPool2d(2), nn.ReflectionPad2d(1), nn.Conv2d(1, 1, 3)), "'1' .*Pad with zeros"),
        (stem(nn.ZeroPad2d(-1)), r"Layer '1' \(ZeroPad2d\) crops"),
        (stem(nn.ConvTranspose2d(4, 4, 2)), r"Layer '1' \(ConvTranspose2d\) cannot"),
        (stem(Excited()), "depends on the whole image"),
    ],
)
def test_layers_without_a_dilated_form_are_named(net: nn.Module, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        dilate(net)


def test_merged_maps_of_different_strides_are_named() -> None:
    class Uneven(Branches):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.stem(x), x], 1)

    for convert in (analyze_padding, dilate):
        with pytest.raises(ValueError, match=r"The call of cat\(\) joins maps of"):
            convert(Uneven())


FIXED_LENET = settled(lenet())
WIDE_LENET = settled(
    nn.Sequential(nn.Conv2d(1, 3, 5), nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(75, 2))
)


def test_receptive_fields_without_padding_start_inside_the_image() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, padding=1)).eval()
    padded, clean = analyze_padding(net), analyze_padding(ValidConv(net))
    assert (clean.size, clean.stride, clean.padded) == (padded.size, padded.stride, ())
    assert all(0 <= start < step for start, step in zip(clean.start, clean.stride, strict=True))
    x = torch.randn(1, 1, 31, 36)
    whole, first = ValidConv(net)(x), clean.start
    part = x[..., first[0] : first[0] + clean.size[0], first[1] : first[1] + clean.size[1]]
    changed = torch.zeros_like(x)
    changed[..., first[0] : first[0] + clean.size[0], first[1] : first[1] + clean.size[1]] = part
    assert_same(ValidConv(net)(changed)[..., 0, 0], whole[..., 0, 0])


def test_a_network_without_padding_may_be_part_of_another() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)).eval()
    joined = analyze_padding(nn.Sequential(ValidConv(net), nn.Conv2d(2, 1, 3)))
    inner = analyze_padding(ValidConv(net))
    assert joined.size == tuple(n + 2 * j for n, j in zip(inner.size, inner.stride, strict=True))
    assert (joined.start, joined.stride, joined.padded) == (inner.start, inner.stride, ())
