"""The exact receptive field; the contract (`tests/nets`) compares it with the support of every network."""

import net_contract
import published
import pytest
import torch
from net_contract import SPECS
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fcn.errors import ModelError
from napari_fcn.geometry import ReceptiveField
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import analyze, theoretical


@pytest.mark.parametrize(
    ("up", "depth", "radius"),
    [
        ("transposed", 0, 2),  # two convolutions
        ("transposed", 1, 9),  # two, two of steps of 2, two more, and a pixel to the end of the pooling window
        ("transposed", 2, 23),
        ("transposed", 3, 51),
        ("linear", 1, 10),  # the coarse neighbour of each upsampling adds its half window
        ("linear", 2, 26),
        ("linear", 3, 58),
    ],
)
def test_the_receptive_field_of_a_plain_unet_is_as_computed_by_hand(up: str, depth: int, radius: int) -> None:
    field = theoretical(NetSpec(ndim=1, depth=depth, up=up))
    assert max(field.before + field.after) == radius


def test_the_field_has_one_entry_for_each_axis() -> None:
    spec = NetSpec(ndim=3, depth=1, kernel=((1, 3, 3), (1, 3, 5)), pool=((1, 2, 2),))
    field = theoretical(spec)
    assert field.before[0] == field.after[0] == 0
    assert field.before[1] < field.before[2]


@pytest.mark.parametrize("padding", ["reflect", "replicate"])
def test_padding_does_not_change_the_field(padding: str) -> None:
    assert theoretical(NetSpec(depth=2, padding=padding)) == theoretical(NetSpec(depth=2))


def test_width_channels_and_classes_do_not_change_the_field() -> None:
    assert theoretical(NetSpec(channels=3, classes=7, width=64)) == theoretical(NetSpec(width=1))


def test_the_random_state_is_unchanged() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    theoretical(NetSpec(ndim=1, depth=1, kernel=7))
    assert torch.equal(torch.rand(3), expected)


def test_a_large_receptive_field_is_measured() -> None:
    field = theoretical(NetSpec(ndim=1, depth=4, pool=4))
    # two 3-convolutions at each of five levels, down and up, spaced 1, 4, 16, 64, 256
    assert 2 * 256 + 2 * 2 * (1 + 4 + 16 + 64) < max(field.before + field.after) < 3 * 256 + 3 * 2 * (1 + 4 + 16 + 64)


PUBLISHED = {  # Araujo et al. 2019, table of receptive field sizes
    "AlexNet": (published.alexnet, 195),
    "VGG16": (published.vgg16, 212),
    "ResNet-50": (lambda: published.resnet((3, 4, 6, 3)), 483),
    "ResNet-101": (lambda: published.resnet((3, 4, 23, 3)), 1027),
    "ResNet-50 with the strides first": (lambda: published.resnet((3, 4, 6, 3), strides_first=True), 427),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_published_fields(name: str) -> None:
    build, size = PUBLISHED[name]
    with torch.random.fork_rng():
        assert theoretical(build()).size == (size, size)


def test_growth_is_that_of_the_closed_form() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, stride=2), nn.AvgPool2d(3))
    result = analyze(net).layers
    size, jump, start = 1, 1, 0.0
    for layer, (kernel, stride, padding) in zip(result, [(5, 1, 2), (2, 2, 0), (3, 2, 0), (3, 3, 0)], strict=False):
        size, start, jump = size + (kernel - 1) * jump, start + ((kernel - 1) / 2 - padding) * jump, jump * stride
        assert layer.size == (size, size)
        assert layer.jump == (jump, jump)
        assert layer.start == (start, start)
    assert [layer.kind for layer in result] == ["Conv2d", "MaxPool2d", "Conv2d", "AvgPool2d", "Sequential"]
    assert result[-1].name == "output"


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_network_of_the_package_is_probed_like_an_external_one(name: str) -> None:
    spec = SPECS[name]
    assert theoretical(spec.build(torch.Generator().manual_seed(0))) == theoretical(spec)


@pytest.mark.parametrize("pool", [(4, 4, 4, 4), (8, 8, 2)])
def test_a_grid_of_hundreds_of_pixels_is_detected(pool: tuple[int, ...]) -> None:
    spec = NetSpec(ndim=1, width=1, depth=len(pool), pool=tuple((p,) for p in pool), kernel=1)
    result = analyze(spec)
    assert result.multiple == spec.multiple
    assert max(layer.jump[0] for layer in result.layers) == spec.multiple[0]


@pytest.mark.parametrize("name", ["unet-1d", "one-d-pools-of-4-and-8", "transposed-1d", "reflect-wide-kernel"])
def test_the_field_of_each_phase_contains_the_pixels_with_influence(name: str) -> None:
    spec = SPECS[name]
    net = net_contract._positive(spec)
    result, period = analyze(spec), spec.multiple[0]
    assert result.multiple == spec.multiple
    length = 2 * period * -(-max(result.field.size) // period) + 2 * period
    x = torch.ones(1, 1, length, dtype=torch.float64, requires_grad=True)
    middle = length // 2 // period * period
    for phase in range(period):
        (gradient,) = torch.autograd.grad(net(_mean_pooled(net, x))[0, 0, middle + phase], x)
        seen = gradient[0, 0].nonzero()[:, 0]
        box = result.box((middle + phase,), (length,))
        assert (box.start[0], box.stop[0] - 1) == (int(seen[0]), int(seen[-1]))


def _mean_pooled(net: nn.Module, x: Tensor) -> Tensor:
    """Return ``x`` and make a network pool by the mean, which passes all gradients."""
    for parent in net.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool1d):
                setattr(parent, name, nn.AvgPool1d(child.kernel_size))
    return x


class Halves(nn.Module):
    """Splits its channels into parts of different size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv1d(1, 5, 3, padding=1), nn.Conv1d(2, 3, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).split([3, 2], dim=1)
        return a + self.wide(b)


def test_a_network_that_splits_its_channels_is_probed() -> None:
    assert theoretical(Halves()) == ReceptiveField((3,), (3,))


class Gated(nn.Module):
    """Common code: functions instead of layers, gates, splits of channels, in-place operations."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 5, padding=2)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(torch.zeros(4, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        a, b = F.relu(self.stem(x), inplace=True).split(4, dim=1)
        a = a * torch.sigmoid(self.gate(b))
        b = F.max_pool2d(b, 2)
        b = F.interpolate(self.deep(b), scale_factor=2, mode="nearest")
        a += self.scale * b
        return {"logits": a}


def test_an_external_network_with_functions_and_gates_is_probed() -> None:
    # the gate sees 2 beyond the stem's 1; the deep branch one step of 2 beyond the other pixel of its pair
    assert theoretical(Gated()) == ReceptiveField((4, 4), (4, 4))


def test_the_field_of_a_valid_convolution_is_centred() -> None:
    assert theoretical(nn.Conv1d(1, 1, 7)) == ReceptiveField((3,), (3,))
    assert theoretical(nn.Sequential(nn.ConstantPad1d((6, 0), 0.0), nn.Conv1d(1, 1, 7))) == ReceptiveField((6,), (0,))


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.mix(x.mean((2, 3), keepdim=True)).sigmoid()


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)), "1 (GroupNorm)"),
        (nn.Sequential(nn.Conv1d(1, 4, 3), nn.InstanceNorm1d(4)), "1 (InstanceNorm1d)"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)), "1 (AdaptiveAvgPool2d)"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 10)), "2 (Linear)"),
        (Squeezed(), "mean in Squeezed"),
    ],
)
def test_layers_that_depend_on_the_whole_input_are_named(net: nn.Module, name: str) -> None:
    assert analyze(net).unbounded == (name,)
    with pytest.raises(ModelError, match="no finite receptive field") as caught:
        theoretical(net)
    assert name in str(caught.value)


def test_pointwise_norms_keep_the_receptive_field_finite() -> None:
    frozen = nn.InstanceNorm2d(4, track_running_stats=True)
    assert theoretical(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), frozen)).size == (3, 3)


def test_networks_that_cannot_be_probed_raise_an_error() -> None:
    with pytest.raises(ModelError, match="has no convolutions"):
        theoretical(nn.Sequential(nn.ReLU()))
    with pytest.raises(ModelError, match="does not run on an image of another size"):
        theoretical(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Unflatten(2, (7, 11))))


def test_probing_does_not_change_the_network() -> None:
    net = Gated().train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    theoretical(net)
    assert net.training
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())
