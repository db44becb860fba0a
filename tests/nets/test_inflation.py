"""An inflated network predicts like the 2-D network, plane by plane."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from napari_fcn.nets import NetSpec
from napari_fcn.nets.build import Net
from napari_fcn.nets.convert import copy_weights

FLAT = NetSpec(width=4, depth=2, classes=3)
DEEP = replace(FLAT, ndim=3, kernel=((1, 3, 3), (3, 3, 3), (3, 3, 3)), pool=((1, 2, 2),) * 2)


def drawn(spec: NetSpec, seed: int = 0) -> Net:
    """Return a network with random weights and random statistics of its norms."""
    net = spec.build(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    for name, value in net.state_dict().items():
        if "running_mean" in name:
            value.uniform_(-0.2, 0.2, generator=generator)
        elif "running_var" in name:
            value.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


@torch.inference_mode()
def difference(deep: Net, flat: Net, axis: int = 0) -> float:
    """Return the relative difference between the logits of a volume and those of its planes."""
    shape = [16, 16]
    shape.insert(axis, 7)
    x = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(5))
    planes = [flat(plane) for plane in x.unbind(2 + axis)]
    expected = torch.stack(planes, 2 + axis)
    return float((deep(x) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("flat", "deep", "axis"),
    [
        (FLAT, DEEP, 0),
        (replace(FLAT, up="transposed"), replace(DEEP, up="transposed"), 0),
        (replace(FLAT, norm="none"), replace(DEEP, norm="none", kernel=3), 0),
        (replace(FLAT, family="resunet"), replace(DEEP, family="resunet"), 0),
        (
            NetSpec("dilated", width=2, depth=2, padding="replicate"),
            NetSpec("dilated", ndim=3, width=2, depth=2, padding="replicate", pool=((1, 2, 2),) * 2, kernel=((3,),)),
            0,
        ),
        (FLAT, replace(DEEP, family="video"), 0),
        (FLAT, replace(DEEP, family="video", kernel=3), 0),
        (FLAT, replace(DEEP, family="video", kernel=((3, 3, 1), (3,), (3,)), pool=((2, 2, 1),) * 2, time=2), 2),
    ],
    ids=["unet", "transposed", "no norm", "resunet", "dilated", "video", "video, all levels", "video, time last"],
)
def test_an_inflated_network_equals_the_2d_network_plane_by_plane(flat: NetSpec, deep: NetSpec, axis: int) -> None:
    source, net = drawn(flat), drawn(deep, 7)
    assert difference(net, source, axis) > 1e-2
    copy_weights(net, source)
    assert difference(net, source, axis) < 1e-5


def test_convolutions_along_the_new_axis_can_learn() -> None:
    net = drawn(replace(DEEP, family="video"))
    copy_weights(net, drawn(FLAT))
    net.train()
    net(torch.randn(1, 1, 5, 16, 16)).square().sum().backward()
    weights = [p for p in net.parameters() if p.ndim == 5 and p.shape[2] == 3]
    assert weights
    assert all(float(p.grad[:, :, 0].abs().sum()) > 0 for p in weights if p.grad is not None)
    assert all(p.grad is not None for p in weights)


def test_another_number_of_classes_keeps_its_own_score_layer() -> None:
    net, source = drawn(replace(DEEP, classes=5)), drawn(FLAT)
    score = net.score.weight.clone()  # type: ignore[union-attr, operator]
    copy_weights(net, source)
    assert torch.equal(net.score.weight, score)  # type: ignore[union-attr, arg-type]
    first = net.state_dict()["encoder.0.0.weight"]
    assert torch.equal(first[:, :, 0], source.state_dict()["encoder.0.0.weight"])


def test_a_network_with_as_many_axes_gets_all_weights() -> None:
    net, source = drawn(FLAT, 3), drawn(FLAT)
    copy_weights(net, source)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 8}, "its width is 8 and that of the initial model 4"),
        ({"family": "resunet"}, "its family is resunet"),
        ({"kernel": 5}, "its kernel is"),
        ({"channels": 2}, "its channels is 2"),
    ],
)
def test_the_error_names_the_field_that_differs(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        copy_weights(replace(DEEP, **change).build(), FLAT.build())


def test_a_2d_network_cannot_start_from_a_3d_one() -> None:
    with pytest.raises(ValueError, match="a unet of 2 axes cannot start from a unet of 3"):
        copy_weights(FLAT.build(), DEEP.build())
