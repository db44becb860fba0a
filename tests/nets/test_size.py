"""The size of a network, computed from its spec, equals that of the built network."""

from dataclasses import replace

import pytest
from net_contract import SPECS

from napari_fcn.nets import NetSpec
from napari_fcn.nets.size import count_parameters, min_receptive_field
from napari_fcn.receptive_fields.theoretical import theoretical

SIGMAS = ((0.7,), (2.0,), (8.0,))


def with_level_head(spec: NetSpec, original: int, hidden: int = 4) -> NetSpec:
    filters = tuple(sigma * spec.ndim for sigma in SIGMAS)
    return replace(spec, head="levels", original=original, hidden=hidden, filters=filters)


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("kind", ["plain", "taught", "taught without original", "linear head without filters"])
def test_weights_are_counted_without_building(name: str, kind: str) -> None:
    spec = SPECS[name]
    if kind == "taught":
        spec = replace(with_level_head(spec, original=spec.classes), classes=4)
    elif kind == "taught without original":
        spec = with_level_head(spec, original=0)
    elif kind != "plain":
        spec = replace(spec, head="levels", original=spec.classes)
    assert count_parameters(spec) == sum(p.numel() for p in spec.build().parameters())


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_weights_of_a_filter_bank_are_counted(ndim: int) -> None:
    filters = tuple(sigma * ndim for sigma in SIGMAS)
    spec = NetSpec("filters", ndim, 2, 3, 1, 0, kernel=((1,),), pool=(), filters=filters, head="levels", hidden=4)
    assert count_parameters(spec) == sum(p.numel() for p in spec.build().parameters())


@pytest.mark.parametrize("name", sorted(SPECS))
def test_the_lower_bound_is_within_the_receptive_field(name: str) -> None:
    spec = SPECS[name]
    field = theoretical(spec)
    assert all(r <= min(a, b) for r, a, b in zip(min_receptive_field(spec), field.before, field.after, strict=True))
