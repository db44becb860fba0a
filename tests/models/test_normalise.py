"""Intensities are scaled to one range by statistics of the whole image."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fcn.geometry import Region
from napari_fcn.models.normalise import METHODS, FrameScaling, Normaliser, Scaling

TYPES = ("bool", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "float64")


def normalised(image: npt.NDArray[np.generic], method: str = "percentile") -> npt.NDArray[np.float32]:
    """Return an image with one channel, scaled by its own statistics."""
    return Normaliser(method).fit(image.reshape(1, -1)).apply(image[None])[0]


def varied(dtype: str) -> npt.NDArray[np.generic]:
    """Return an image that uses the range of its dtype."""
    ramp = np.linspace(0, 1, 400).reshape(20, 20)
    if dtype == "bool":
        return ramp > 0.3
    if np.dtype(dtype).kind == "f":
        return (ramp * 6e4).astype(dtype)
    limits = np.iinfo(dtype)
    return (ramp * (float(limits.max) - limits.min) * 0.999 + limits.min).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("method", ["percentile", "standard"])
def test_every_dtype_gives_the_same_result(dtype: str, method: str) -> None:
    image = varied(dtype)
    out = normalised(image, method)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, normalised(image.astype(np.float64), method), atol=1e-3)
    assert out.min() < -0.5 < 0.5 < out.max()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "float64"])
def test_small_differences_on_a_large_offset_are_kept(dtype: str) -> None:
    image = (2**30 + np.arange(100)).astype(dtype).reshape(10, 10)
    np.testing.assert_allclose(normalised(image), normalised(np.arange(100.0).reshape(10, 10)), atol=1e-3)


@given(hnp.arrays(np.float64, (1, 50), elements=st.floats(-1e6, 1e6)), st.floats(0.1, 100), st.floats(-1e4, 1e4))
def test_gain_and_offset_of_the_camera_do_not_matter(
    image: npt.NDArray[np.float64], gain: float, offset: float
) -> None:
    spread = np.percentile(image, 99.8) - np.percentile(image, 1)
    if spread > 1:
        np.testing.assert_allclose(normalised(image * gain + offset), normalised(image), atol=1e-2)


@given(hnp.arrays(np.float32, (3, 40), elements=st.floats(width=32)), st.sampled_from(METHODS))
def test_scaled_intensities_are_finite_and_limited(image: npt.NDArray[np.float32], method: str) -> None:
    normaliser = Normaliser(method)
    with np.errstate(all="ignore"):  # numbers at the ends of float32 overflow on the way
        out = normaliser.fit(image).apply(image)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= normaliser.limit


@pytest.mark.parametrize("method", ["percentile", "standard"])
@pytest.mark.parametrize("value", [0, 0.1, -3.7, 1e7 + 0.1])
def test_a_constant_image_becomes_zero(method: str, value: float) -> None:
    for dtype in (np.float32, np.float64):
        assert not normalised(np.full((33, 31), value, dtype), method).any()


def test_percentiles_are_scaled_to_minus_one_and_one() -> None:
    out = normalised(np.arange(1001.0))
    assert out[10] == pytest.approx(-1)
    assert out[998] == pytest.approx(1)


def test_mean_and_deviation_are_scaled_to_zero_and_one() -> None:
    image = np.random.default_rng(0).normal(50, 7, (40, 40))
    out = normalised(image, "standard")
    assert out.mean() == pytest.approx(0, abs=1e-6)
    assert out.std() == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("value", [1000, 1e-6])
def test_a_few_bright_pixels_on_black_span_the_range(value: float) -> None:
    image = np.zeros((100, 100))
    image[4, 4:8] = value  # fewer than the percentiles see
    out = normalised(image)
    assert out[4, 4] == pytest.approx(1)
    assert out[0, 0] == pytest.approx(-1)


def test_pixels_that_are_not_finite_are_ignored() -> None:
    image = np.arange(100.0)
    spoilt = np.concatenate([image, [np.nan, np.inf, -np.inf]])
    assert Normaliser().fit(spoilt[None]) == Normaliser().fit(image[None])


def test_nan_becomes_mid_grey_and_infinity_the_limit() -> None:
    out = Scaling((10.0,), (2.0,), 4.0).apply(np.array([[np.nan, np.inf, -np.inf, 12.0]]))
    np.testing.assert_array_equal(out, [[0, 4, -4, 1]])


@pytest.mark.parametrize("method", METHODS)
def test_an_image_of_nan_becomes_zero(method: str) -> None:
    assert not normalised(np.full((4, 4), np.nan), method).any()


def test_each_channel_has_its_own_scaling() -> None:
    image = np.stack([np.arange(100.0), 1000 - np.arange(100.0) * 5])
    out = Normaliser().fit(image).apply(image)
    np.testing.assert_allclose(out[0], -out[1], atol=1e-1)


def test_each_frame_may_have_its_own_scaling() -> None:
    movie = np.random.default_rng(0).normal(0, 1, (2, 5, 40, 30)) * np.arange(1, 6)[:, None, None]  # (C, T, Y, X)
    frames = [Normaliser().fit(movie[:, t].reshape(2, -1)) for t in range(5)]
    scaling = FrameScaling.of(frames, (5, 1, 1))
    region = Region((1, 10, 5), (4, 30, 25))
    block = scaling.apply(movie[(slice(None), *region.slices)], region)
    for t in range(1, 4):
        whole = frames[t].apply(movie[:, t])
        np.testing.assert_array_equal(block[:, t - 1], whole[:, 10:30, 5:25])
    assert scaling.identity != FrameScaling.of(frames[::-1], (5, 1, 1)).identity


def test_the_image_is_not_changed() -> None:
    image = np.random.default_rng(0).normal(size=(1, 5, 5)).astype(np.float32)
    before = image.copy()
    Normaliser().fit(image.reshape(1, -1)).apply(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "magic"}, "'magic'; it can be percentile, standard, none"),
        ({"low": 60.0, "high": 40.0}, "must rise"),
        ({"low": -1.0}, "must rise"),
        ({"high": 100.5}, "must rise"),
    ],
)
def test_invalid_normalisations_are_rejected(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normaliser(**wrong)  # type: ignore[arg-type]
