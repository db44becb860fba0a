"""Certificate, equivariance map and border map of a session."""

from typing import Any

import numpy as np
import pytest
from inspection.test_influence import SPEC, session
from net_contract import SPECS

from napari_fcn.errors import ImageError, ModelError
from napari_fcn.events import BorderTrustDone, Certified, CheckStep, EquivarianceDone
from napari_fcn.geometry import Region
from napari_fcn.inspection import checks
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import FieldAnalysis


def last(events: Any) -> Any:
    *steps, end = events
    assert all(isinstance(step, CheckStep) for step in steps)
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert {step.total for step in steps} == {len(steps)}
    return end


def test_planned_tiles_are_certified_on_the_whole_image() -> None:
    result = last(session(SPEC, (90, 84), "yx").certify())
    assert isinstance(result, Certified)
    assert result.is_exact
    assert result.region == Region.whole((90, 84))
    assert result.difference.shape == (90, 84)
    assert (result.halo_needed, result.tiles) == (((26, 26), (26, 26)), 9)
    assert "Compared" not in result.reason


def test_tiles_of_the_settings_are_the_ones_certified() -> None:
    assert last(session(SPEC, (90, 84), "yx", tile=(30,)).certify()).tiles == 9  # 32 px
    assert last(session(SPEC, (90, 84), "yx", tile=(16, 84)).certify()).tiles == 6


def test_the_middle_frame_of_a_movie_is_certified() -> None:
    result = last(session(SPEC, (5, 40, 36), "tyx").certify())
    assert result.region == Region((2, 0, 0), (3, 40, 36))
    assert result.difference.shape == (1, 40, 36)
    assert result.reason.endswith("Compared: t 2.")


def test_an_image_too_large_for_one_piece_is_certified_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "CERTIFIED_PIXELS", 48**2)
    result = last(session(SPEC, (200, 150), "yx").certify())
    assert result.region.size <= 48**2
    assert all(a % 4 == 0 and a > 40 for a in result.region.start)
    assert result.is_exact
    assert "Compared: 48 x 48 px from (76, 48) on." in result.reason


def test_half_precision_may_round_by_more() -> None:
    result = last(session(SPEC, (60, 60), "yx", precision="bfloat16").certify())
    assert result.tolerance == checks.HALF_PRECISION_ERROR
    assert result.is_exact


def test_a_network_without_a_finite_field_is_certified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    running = session(SPEC, (60, 60), "yx")
    known = running.analysis
    running.__dict__["analysis"] = FieldAnalysis(known.layers, known.phases, ("pool (AdaptiveAvgPool2d)",))
    assert "pool (AdaptiveAvgPool2d) of the network depends on the whole input" in last(running.certify()).reason
    for ask in (running.equivariance, running.border_trust, lambda: iter([running.field_at((3, 3))])):
        with pytest.raises(ModelError, match="no finite receptive field: pool"):
            list(ask())


def test_equivariance_of_a_region_equals_that_of_the_whole() -> None:
    running = session(SPEC, (3, 120, 110), "tyx")
    whole = last(running.equivariance())
    assert isinstance(whole, EquivarianceDone)
    assert whole.region == Region((1, 0, 0), (2, 120, 110))
    region = Region((1, 42, 31), (2, 60, 50))
    part = last(running.equivariance(region))
    assert part.region.contains(region)
    np.testing.assert_allclose(part.values, whole.values[part.region.relative_to(whole.region).slices], atol=1e-5)


def test_a_network_without_pooling_is_equivariant() -> None:
    result = last(session(NetSpec(width=4, depth=0), (40, 44), "yx").equivariance())
    assert result.values.max() < 1e-5


@pytest.mark.parametrize(("name", "shape", "names"), [("unet-2d", (70, 75), "yx"), ("unet-1d", (2, 99), "yx")])
def test_padding_has_influence_near_the_border(name: str, shape: tuple[int, ...], names: str) -> None:
    result = last(session(SPECS[name], shape, names).border_trust())
    assert isinstance(result, BorderTrustDone)
    assert result.outside.shape == result.change.shape == result.region.shape
    middle = tuple(n // 2 for n in result.region.shape)
    assert result.outside[(0,) * len(shape)] > 0.1 > result.outside[middle]
    assert result.change.max() > result.change[middle]


def test_a_region_outside_the_image_is_rejected() -> None:
    running = session(SPEC, (40, 36), "yx")
    for ask in (running.certify, running.equivariance):
        with pytest.raises(ImageError, match="outside the image"):
            list(ask(Region((50, 0), (60, 36))))
