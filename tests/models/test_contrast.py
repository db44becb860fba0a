"""Images for which percentiles fail: broken pixels, a few objects in a large field, noise, graphics."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_fcn.models.contrast import contrast, hides_signal, is_noise
from napari_fcn.models.normalise import Normaliser, Scaling
from napari_fcn.sample_data import cells

ENDS = (1.0, 99.8)


def spots(side: int = 400, top: float = 2000, ground: float = 0) -> np.ndarray:
    """Return three blurred discs in a field, as float64."""
    y, x = np.indices((side, side))
    field = np.zeros((side, side))
    for cy, cx in ((100, 100), (200, 300), (330, 220)):
        field = np.maximum(field, np.clip(1.5 - np.hypot(y - cy, x - cx) / 6, 0, 1))
    return field * top + ground


def fit(image: np.ndarray) -> Scaling:
    return Normaliser().fit(image.reshape(1, -1))


def scaled(image: np.ndarray) -> np.ndarray:
    normalised: np.ndarray = fit(image).apply(image[None])[0]
    return normalised


def hot(image: np.ndarray, count: int, value: float, seed: int = 0) -> np.ndarray:
    spoilt = image.copy()
    at = np.random.default_rng(seed).choice(image.size, count, replace=False)
    spoilt.ravel()[at] = value
    return spoilt


@given(st.integers(0, 30), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_an_ordinary_image_is_scaled_exactly_by_its_percentiles(seed: int, kind: type) -> None:
    image = cells((100, 100), seed=seed)[0]
    image = (image / image.max() * 200).astype(kind)
    low, high = np.percentile(image.astype(np.float64), ENDS)
    scaling = fit(image)
    assert (scaling.offset, scaling.scale) == ((float(low + high) / 2,), (float(high - low) / 2,))
    assert scaling.notes == ()


@pytest.mark.parametrize("count", [1, 5, 60])
@pytest.mark.parametrize("side", [400, 1500])
def test_hot_pixels_do_not_hide_objects(count: int, side: int) -> None:
    clean = spots(side)
    normalised, expected = scaled(hot(clean, count, 65535)), scaled(clean)
    inside = clean > 1000
    assert np.median(normalised[inside]) > 0.5
    assert np.median(normalised[clean == 0]) == pytest.approx(-1, abs=0.05)
    assert np.median(np.abs(normalised - expected)[inside]) < 1.5


@pytest.mark.parametrize(("share", "value"), [(0.004, 65535.0), (0.015, 65535.0), (0.015, -30000.0)])
def test_broken_pixels_beyond_the_percentiles_do_not_hide_objects(share: float, value: float) -> None:
    clean = spots() + np.random.default_rng(1).normal(200, 20, (400, 400))
    scaling = fit(hot(clean, int(share * clean.size), value))
    assert scaling.scale[0] < 3 * fit(clean).scale[0] + 1
    assert "broken pixels" in scaling.notes[0]


def bar(image: np.ndarray) -> np.ndarray:
    image[380:388, 280:390] = 65535
    return image


def stripe(image: np.ndarray) -> np.ndarray:
    image[50] = 65535
    return image


def column(image: np.ndarray) -> np.ndarray:
    image[:, 50:53] = 65535
    return image


@pytest.mark.parametrize("draw", [bar, stripe, column])
@pytest.mark.parametrize("noise", [0, 20])
def test_graphics_and_saturated_lines_do_not_hide_objects(
    draw: Callable[[np.ndarray], np.ndarray], noise: float
) -> None:
    clean = spots() + np.random.default_rng(1).normal(200, noise, (400, 400))
    scaling = fit(draw(clean.copy()))
    assert scaling.scale[0] < 2000
    assert scaling.notes


def test_noise_around_a_few_objects_is_not_amplified() -> None:
    image = np.random.default_rng(0).poisson(3 + spots(1500)).astype(np.uint16)
    normalised = scaled(image)
    assert normalised[spots(1500) == 0].std() < 0.05
    assert np.median(normalised[spots(1500) > 1000]) > 0.5
    assert "doubtful" in fit(image).notes[0]


@pytest.mark.parametrize(
    "noise",
    [
        lambda rng: rng.normal(100, 10, (200, 200)).astype(np.float32),
        lambda rng: rng.normal(-5, 0.01, (200, 200)),
        lambda rng: rng.poisson(3, (200, 200)).astype(np.uint16),
        lambda rng: rng.poisson(0.05, (200, 200)).astype(np.uint8),
        lambda rng: rng.integers(0, 4, (200, 200)).astype(np.uint8),
    ],
)
def test_pure_noise_is_scaled_to_a_small_range_with_a_note(noise: Callable[[np.random.Generator], np.ndarray]) -> None:
    image = noise(np.random.default_rng(3))
    assert scaled(image).std() < 0.15
    assert "looks like noise" in fit(image).notes[0]


def test_structure_in_noise_is_detected() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(200, 200)), 1)
    assert not is_noise(image.ravel(), *np.percentile(image, ENDS))
    assert fit(image).notes == ()


@pytest.mark.parametrize("shading", [0, 600])
@pytest.mark.parametrize("blur", [0.5, 0.7, 1.0])
def test_correlated_noise_around_a_few_objects_is_not_amplified(blur: float, shading: float) -> None:
    clean = spots(1500)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=clean.shape), blur)
    ramp = np.linspace(0, shading, 1500)
    image = (1000 + clean + 200 * noise / noise.std() + ramp).astype(np.uint16)
    found = scaled(image)
    assert found[(clean == 0) & (ramp < 1)].std() < 0.2
    assert np.median(found[clean > 1500]) > 0.4
    assert "doubtful" in fit(image).notes[0]


@pytest.mark.parametrize("spoil", [lambda image: image, lambda image: hot(image, 1, 65535)])
def test_correlated_noise_alone_and_with_a_hot_pixel_is_scaled_by_its_percentiles(
    spoil: Callable[[np.ndarray], np.ndarray],
) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(600, 600)), 0.7)
    image = spoil((1000 + 400 * noise).astype(np.uint16))
    values = image.ravel().astype(np.float64)
    assert not hides_signal(values, *np.percentile(values, ENDS))


def test_small_objects_in_large_numbers_do_not_count_as_noise() -> None:
    y, x = np.indices((600, 600)) % 12
    image = 1000 * np.exp(-((y - 6) ** 2 + (x - 6) ** 2) / 4) + np.random.default_rng(0).normal(0, 50, (600, 600))
    assert not hides_signal(image.ravel(), *np.percentile(image, ENDS))


def test_few_weak_objects_in_noise_are_detected() -> None:
    clean = spots(600)
    normalised = scaled(clean + np.random.default_rng(0).normal(0, 300, clean.shape))
    assert np.median(normalised[clean > 1500]) > 0.5
    assert normalised[clean == 0].std() < 0.3


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_masks_are_not_taken_for_noise(kind: type) -> None:
    mask = np.random.default_rng(0).random((100, 100)) > 0.5
    assert set(np.unique(scaled(mask.astype(kind)))) == {-1, 1}
    assert fit(mask.astype(kind)).notes == ()


def test_noise_is_not_detected_in_few_pixels() -> None:
    values = np.random.default_rng(0).normal(size=8000)
    assert contrast(values, ENDS).notes == ()


def test_a_constant_image_with_a_hot_pixel_is_empty() -> None:
    image = hot(np.full((100, 100), 7.0), 1, 60000)
    assert np.median(scaled(image)) == 0
    assert fit(image).notes == (
        "The image is constant (value 7) except for 1 single pixels: there is nothing to find in it.",
    )


@pytest.mark.parametrize("value", [1e30, -1e30, 3e38, np.inf, np.nan])
@pytest.mark.parametrize("method", ["percentile", "standard"])
def test_a_huge_outlier_is_ignored_without_warnings(value: float, method: str) -> None:
    clean = cells((100, 100), seed=0)[0].astype(np.float32)
    spoilt = clean.copy()
    spoilt[3, 3] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normalised, expected = (
            Normaliser(method).fit(one.reshape(1, -1)).apply(one[None])[0] for one in (spoilt, clean)
        )
    assert np.abs(normalised - expected)[clean != spoilt].size == 1
    np.testing.assert_allclose(np.delete(normalised, 3 * 100 + 3), np.delete(expected, 3 * 100 + 3), atol=0.05)


def test_a_dark_frame_and_very_bright_objects_get_a_note() -> None:
    framed = np.zeros((400, 400))
    framed[100:300, 100:300] = cells((200, 200), seed=0)[0] / 100 + 5000
    assert "crop it" in fit(framed).notes[0]
    sparse = cells((400, 400), seed=0)[0].astype(float)
    sparse[10:14, 10:20] = 100 * sparse.max() * np.linspace(0.5, 1, 40).reshape(4, 10)
    assert "crop the image around them" in fit(sparse).notes[0]


def test_the_note_names_the_channel_of_several() -> None:
    noise = np.random.default_rng(0).normal(size=10_000)
    image = cells((100, 100), seed=0)[0].astype(float).ravel()
    notes = Normaliser().fit(np.stack([image, noise])).notes
    assert len(notes) == 1
    assert notes[0].startswith("Channel 1: The contrast is doubtful")


@given(st.floats(0.01, 100), st.floats(-1000, 1000))
def test_gain_and_offset_of_the_camera_do_not_matter(gain: float, offset: float) -> None:
    image = hot(spots(200), 3, 65535)
    np.testing.assert_allclose(scaled(image * gain + offset), scaled(image), atol=1e-3)
