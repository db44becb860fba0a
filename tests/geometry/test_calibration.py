"""Size, unit and origin of the pixels along each axis, or unknown."""

from math import inf, nan

import hypothesis
import pytest
from hypothesis import strategies as st

from napari_fcn.geometry.calibration import PIXEL, UNKNOWN, AxisCalibration, Calibration

SIZES = st.floats(1e-3, 1e3)
PLACES = st.floats(-1e4, 1e4)
UNITS = st.sampled_from(["micrometer", "nanometer", "second", PIXEL])
AXES = st.one_of(
    st.builds(AxisCalibration, SIZES, UNITS, PLACES), st.builds(AxisCalibration, origin=PLACES), st.just(UNKNOWN)
)


@pytest.mark.parametrize("size", [0.0, -0.5, nan, inf, "much", None, True])
@pytest.mark.parametrize("unit", ["micrometer", PIXEL])
def test_a_size_that_is_not_positive_is_unknown_and_has_no_unit(size: object, unit: str) -> None:
    found = Calibration.of([size, 0.5], [unit, "micrometer"])
    assert found.axes == (UNKNOWN, AxisCalibration(0.5, "micrometer"))
    assert (found.scale, found.units) == ((1.0, 0.5), (PIXEL, "micrometer"))


@pytest.mark.parametrize("wrong", [{"size": -1.0}, {"size": nan}, {"unit": "micrometer"}, {"origin": inf}])
def test_values_that_are_not_numbers_are_rejected(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"not a positive number|has no unit|not a finite number"):
        AxisCalibration(**wrong)


@hypothesis.given(st.lists(AXES, max_size=4))
def test_numbers_as_text_give_the_same_calibration(axes: list[AxisCalibration]) -> None:
    known = Calibration(tuple(axes))
    assert Calibration.of(known.scale, known.units, known.origin) == known


@hypothesis.given(AXES, st.integers(0, 1000))
def test_the_first_pixel_of_a_part_keeps_its_position(axis: AxisCalibration, start: int) -> None:
    part = Calibration((axis,)).cropped((start,))
    assert part.origin[0] == pytest.approx(axis.origin + start * axis.step)
    assert (part.scale[0], part.units[0]) == (axis.step, axis.unit)


@hypothesis.given(AXES, st.sampled_from([1, 2, 4]))
def test_the_pixels_of_a_coarser_level_are_centred_on_those_they_cover(axis: AxisCalibration, factor: int) -> None:
    level = axis.coarser(factor, (factor - 1) / 2)
    covered = [axis.origin + axis.step * i for i in range(factor)]
    assert level.origin == pytest.approx(sum(covered) / factor, abs=1e-6)
    assert level.step == pytest.approx(axis.step * factor)
    assert level.unit == axis.unit


def test_sizes_in_different_units_are_compared_in_one_unit() -> None:
    assert Calibration.of((500, 0.25), ("nanometer", "micrometer")).ratios == (0.5, 0.25)
    assert Calibration.of((3, 1), (PIXEL, PIXEL)).ratios == (3, 1)
    assert Calibration.of((1, 0.5), (PIXEL, "micrometer")).ratios == (1, 1)
    assert Calibration.of((30, 500, 0.2), ("second", "nanometer", "micrometer")).ratios == (0.2, 0.5, 0.2)


def test_an_axis_has_no_unit_of_another_kind_and_channels_have_none() -> None:
    known = Calibration.of((2, 0.5, 3), ("second", "micrometer", "micrometer"))
    assert known.named(("z", "y", "c")).axes == (UNKNOWN, known.axes[1], UNKNOWN)
    assert known.named(("t", "q", "t0")).axes == known.axes


def test_another_pixel_size_keeps_the_centre_of_the_first_pixel() -> None:
    assert AxisCalibration(250, "nanometer", 1000).resized(0.5, "micrometer") == AxisCalibration(0.5, "micrometer", 1)
    assert AxisCalibration(origin=100).resized(0.5, "micrometer") == AxisCalibration(0.5, "micrometer", 50)
