"""A spec says all that rebuilds a network, and refuses what cannot be built."""

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from net_contract import SPECS

from napari_fcn.nets import NetSpec


@st.composite
def specs(draw: st.DrawFn) -> NetSpec:
    ndim, depth = draw(st.integers(1, 3)), draw(st.integers(0, 3))

    def levels(count: int, numbers: list[int]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(draw(st.sampled_from(numbers)) for _ in range(ndim)) for _ in range(count))

    return NetSpec(
        ndim=ndim,
        channels=draw(st.integers(1, 4)),
        classes=draw(st.integers(1, 5)),
        width=draw(st.integers(1, 8)),
        depth=depth,
        kernel=levels(depth + 1, [1, 3, 5]),
        pool=levels(depth, [1, 2, 4]),
        up=draw(st.sampled_from(["linear", "transposed"])),
        norm=draw(st.sampled_from(["batch", "none"])),
        padding=draw(st.sampled_from(["zeros", "reflect", "replicate"])),
    )


@given(specs())
def test_a_spec_survives_json(spec: NetSpec) -> None:
    assert NetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@given(specs())
def test_a_twin_is_the_network_along_one_axis(spec: NetSpec) -> None:
    for axis in range(spec.ndim):
        twin = spec.twin(axis)
        assert twin.ndim == 1
        assert twin.multiple == spec.multiple[axis : axis + 1]
        assert [k for (k,) in twin.kernel] == [level[axis] for level in spec.kernel]
        assert (twin.up, twin.padding, twin.depth) == (spec.up, spec.padding, spec.depth)


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
    ("wrong", "message"),
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
    ],
)
def test_a_network_that_cannot_be_built_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetSpec(**wrong)


def test_an_option_of_the_future_is_named() -> None:
    with pytest.raises(ValueError, match="not known here: attention"):
        NetSpec.from_dict({"family": "unet", "attention": True})


def test_a_spec_is_a_value() -> None:
    assert NetSpec(kernel=((3,),)) == NetSpec(kernel=3)  # type: ignore[arg-type]  # one number is meant too
    assert len({*SPECS.values(), *SPECS.values()}) == len(SPECS)
    with pytest.raises(FrozenInstanceError):
        NetSpec().width = 8  # type: ignore[misc]
