"""The exact field; that it is the support of every net is in the contract (`tests/nets`)."""

import pytest
import torch

from napari_fcn.fields.theoretical import theoretical
from napari_fcn.nets import NetSpec


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
def test_a_plain_unet_sees_as_far_as_counted_by_hand(up: str, depth: int, radius: int) -> None:
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


def test_asking_does_not_touch_the_random_numbers_of_others() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    theoretical(NetSpec(ndim=1, depth=1, kernel=7))
    assert torch.equal(torch.rand(3), expected)


def test_a_deep_net_with_a_wide_field_is_measured_whole() -> None:
    field = theoretical(NetSpec(ndim=1, depth=4, pool=4))
    # two 3-convolutions at each of five levels, down and up, spaced 1, 4, 16, 64, 256
    assert 2 * 256 + 2 * 2 * (1 + 4 + 16 + 64) < max(field.before + field.after) < 3 * 256 + 3 * 2 * (1 + 4 + 16 + 64)
