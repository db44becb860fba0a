"""Fields, validation and storage of specs."""

import json
from dataclasses import FrozenInstanceError
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from net_contract import SPECS

from napari_fcn.nets import NetSpec
from napari_fcn.nets.validation import NETWORKS


@st.composite
def specs(draw: st.DrawFn) -> NetSpec:
    ndim, depth = draw(st.integers(1, 3)), draw(st.integers(0, 3))

    def levels(count: int, numbers: list[int]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(draw(st.sampled_from(numbers)) for _ in range(ndim)) for _ in range(count))

    family = draw(st.sampled_from(NETWORKS))
    is_learnt = draw(st.booleans()) and family not in ("dilated", "deeplab")
    return NetSpec(
        family=family,
        ndim=ndim,
        channels=draw(st.integers(1, 4)),
        classes=draw(st.integers(1, 5)),
        width=draw(st.integers(1, 8)),
        depth=depth,
        kernel=levels(depth + 1, [1, 3, 5]),
        pool=levels(depth, [1, 2, 4]),
        up="transposed" if is_learnt else "",
        norm=draw(st.sampled_from(["batch", "none"])),
        padding=draw(st.sampled_from(["zeros", "reflect", "replicate"])),
        dilate=None if family == "dilated" else draw(st.one_of(st.none(), st.integers(0, depth))),
        skips=draw(st.integers(0, 3)),
        rates=tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))),
        time=draw(st.one_of(st.none(), st.integers(0, ndim - 1))),
    )


@given(specs())
def test_a_spec_survives_json(spec: NetSpec) -> None:
    assert NetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@given(specs())
def test_an_axis_spec_is_the_network_along_one_axis(spec: NetSpec) -> None:
    for axis in range(spec.ndim):
        axis_spec = spec.axis_spec(axis)
        assert axis_spec.ndim == 1
        assert axis_spec.multiple == spec.multiple[axis : axis + 1]
        assert [k for (k,) in axis_spec.kernel] == [level[axis] for level in spec.kernel]
        assert (axis_spec.up, axis_spec.padding, axis_spec.depth) == (spec.up, spec.padding, spec.depth)
        assert [d for (d,) in axis_spec.dilations] == [level[axis] for level in spec.dilations]
        assert (axis_spec.time is None) == (axis != spec.time)


@given(specs())
def test_each_step_pools_or_dilates(spec: NetSpec) -> None:
    for axis in range(spec.ndim):
        for level in range(spec.depth + 1):
            factor = prod(step[axis] for step in spec.pool[:level])
            assert spec.grids[level][axis] * spec.dilations[level][axis] == factor


@pytest.mark.parametrize(
    ("family", "multiple", "dilation"), [("unet", 16, 1), ("fcn", 16, 1), ("deeplab", 4, 4), ("dilated", 1, 16)]
)
def test_a_family_dilates_as_it_was_published(family: str, multiple: int, dilation: int) -> None:
    spec = NetSpec(family, depth=4)
    assert spec.multiple == (multiple, multiple)
    assert spec.dilations[-1] == (dilation, dilation)


def test_later_fields_are_written_only_if_they_are_not_the_default() -> None:
    older = {"family", "ndim", "channels", "classes", "width", "depth", "kernel", "pool", "up", "norm", "padding"}
    older |= {"filters", "head", "original"}
    assert set(NetSpec().to_dict()) == older
    assert NetSpec().to_dict()["up"] == "linear"
    assert set(NetSpec("video", ndim=3, dilate=1).to_dict()) - older == {"time", "dilate"}
    assert NetSpec("fcn").up == "transposed"


@given(specs())
def test_the_minimum_lies_on_the_pooling_grid(spec: NetSpec) -> None:
    assert all(n >= m and n % m == 0 for n, m in zip(spec.minimum, spec.multiple, strict=True))


@pytest.mark.parametrize(
    ("given_as", "stored"),
    [
        ({"kernel": 5, "depth": 1}, ((5, 5), (5, 5))),
        ({"kernel": (1, 3), "depth": 1}, ((1, 3), (1, 3))),
        ({"kernel": [[1, 3], [3, 3]], "depth": 1}, ((1, 3), (3, 3))),
        ({"kernel": ((5,), (3,)), "depth": 1}, ((5, 5), (3, 3))),
        ({"kernel": 3, "depth": 0}, ((3, 3),)),
    ],
)
def test_kernels_are_stored_in_full(given_as: dict[str, Any], stored: tuple[tuple[int, ...], ...]) -> None:
    assert NetSpec(**given_as).kernel == stored


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "transformer"}, "family is 'transformer'; it can be unet"),
        ({"up": "nearest"}, "up is 'nearest'; it can be linear, transposed"),
        ({"norm": "instance"}, "norm is 'instance'"),
        ({"padding": "circular"}, "padding is 'circular'"),
        ({"ndim": 0}, "ndim is 0; it can be 1 to 3"),
        ({"ndim": 4}, "ndim is 4"),
        ({"channels": 0}, "channels is 0"),
        ({"classes": 256}, "classes is 256"),
        ({"width": 0}, "width is 0"),
        ({"depth": -1}, "depth is -1"),
        ({"depth": 9}, "depth is 9"),
        ({"kernel": 2}, "odd and positive"),
        ({"kernel": -1}, "odd and positive"),
        ({"kernel": ((3, 3), (3, 3)), "depth": 2}, "needs 3 levels of 2 numbers"),
        ({"kernel": ((3, 3, 3),)}, "levels of 2 numbers"),
        ({"pool": 3}, "factors can be 1, 2, 4, 8"),
        ({"pool": ((2,), (2,)), "depth": 3}, "needs 3 levels"),
        ({"width": 16.5}, "width is 16.5"),
        ({"depth": 2.0}, "depth is 2.0"),
        ({"dilate": 4}, "dilate is 4; it can be 0 to 3"),
        ({"dilate": -1}, "dilate is -1"),
        ({"family": "dilated", "dilate": 1}, "a dilated network never pools"),
        ({"family": "dilated", "up": "transposed"}, "dilated has no learnt upsampling"),
        ({"family": "deeplab", "up": "transposed"}, "deeplab has no learnt upsampling"),
        ({"skips": -1}, "skips is -1; it can be 0 to 8"),
        ({"rates": ()}, "it needs one number or more"),
        ({"rates": (2, 65)}, "whole, of 1 to 64"),
        ({"rates": (1.5,)}, "rates is"),
        ({"time": 2}, "time is 2; it can be 0 to 1"),
        ({"width": True}, "width is True"),
        ({"family": ["unet"]}, "family is"),
        ({"kernel": float("inf")}, "whole numbers"),
        ({"kernel": "33"}, "whole numbers"),
        ({"kernel": 10**400}, "lengths can be up to 255|odd and positive"),
        ({"pool": None}, "whole numbers"),
        ({"rates": 2}, "a list of at most 16 entries"),
        ({"rates": (1,) * 17}, "a list of at most 16 entries"),
        ({"head": "levels", "filters": ((float("nan"), 1.0),)}, "positive numbers"),
        ({"head": "levels", "filters": ((1e-300, 1.0),)}, "sigmas can be 0.1 to 256"),
        ({"head": "levels", "filters": ((1e9, 1.0),)}, "sigmas can be 0.1 to 256"),
        ({"head": "levels", "filters": ((10**400, 1.0),)}, "one sigma for each axis"),
        ({"head": "levels", "filters": ((1.0, 1.0),) * 65}, "a list of at most 64 entries"),
        ({"pool": 8, "depth": 4}, "the smallest image of such a network has 4096 x 4096 pixels"),
        ({"pool": 8, "depth": 3, "ndim": 3}, "the smallest image"),
        ({"kernel": 255, "depth": 5}, "receptive field would be .* pixels or more"),
    ],
)
def test_invalid_networks_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetSpec(**arguments)


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match="not known here: attention"):
        NetSpec.from_dict({"family": "unet", "attention": True})


def test_a_spec_is_a_value() -> None:
    assert NetSpec(kernel=((3,),)) == NetSpec(kernel=3)  # type: ignore[arg-type]  # one number is accepted
    assert len({*SPECS.values(), *SPECS.values()}) == len(SPECS)
    with pytest.raises(FrozenInstanceError):
        NetSpec().width = 8  # type: ignore[misc]
