"""The functions of ``import napari_fcn as fcn``."""

from pathlib import Path

import dask.array as da
import net_contract
import numpy as np
import pytest
from net_contract import one_thread  # noqa: F401

import napari_fcn as fcn
from napari_fcn.errors import ImageError, ModelError
from napari_fcn.io import read_image
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec

SPEC = NetSpec(width=2, depth=1, classes=3)


@pytest.fixture
def model() -> Checkpoint:
    return net_contract.checkpoint(SPEC)


def test_predict_returns_classes_first_then_the_image_axes(model: Checkpoint, rng: np.random.Generator) -> None:
    assert fcn.predict(rng.random((20, 4, 18, 2)), model, "ytxc").shape == (3, 20, 4, 18)


def test_axes_are_given_as_letters_or_as_names(model: Checkpoint, rng: np.random.Generator) -> None:
    image = rng.random((12, 3, 14))
    np.testing.assert_array_equal(fcn.predict(image, model, "YTX"), fcn.predict(image, model, ["y", "t", "x"]))


def test_an_unnamed_axis_as_long_as_the_model_has_channels_is_read_as_these(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    two = net_contract.checkpoint(NetSpec(channels=2, width=2, depth=1))
    image = rng.random((2, 16, 16)).astype(np.float32)
    expected = fcn.predict(image, two, "cyx")
    np.testing.assert_array_equal(fcn.predict(image, two), expected)
    path = tmp_path / "plain.npy"  # a file that names no axes
    np.save(path, image)
    assert read_image(path).bind(two.info.spec).axes.names == ("c", "y", "x")


def test_a_model_can_be_a_file_or_loaded(model: Checkpoint, tmp_path: Path, rng: np.random.Generator) -> None:
    path, image = tmp_path / "m.safetensors", rng.random((12, 14))
    model.save(path)
    expected = fcn.predict(image, model)
    for given in (path, str(path), fcn.load(path)):
        np.testing.assert_array_equal(fcn.predict(image, given), expected)


def test_load_returns_a_loaded_model_unchanged(model: Checkpoint) -> None:
    assert fcn.load(model) is model


def test_classes_are_the_most_probable(model: Checkpoint, rng: np.random.Generator) -> None:
    image = rng.random((20, 18))
    found = fcn.classes(image, model)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, fcn.predict(image, model).argmax(0))


def test_settings_are_passed_on(model: Checkpoint, rng: np.random.Generator) -> None:
    image = rng.random((2, 20, 18))
    np.testing.assert_array_equal(
        fcn.predict(image, model, "cyx", channel=1, tile=8, device="cpu"),
        fcn.predict(image[1], model, tile=(8, 8), device="cpu"),
    )
    with pytest.raises(TypeError, match="speed"):
        fcn.predict(image, model, speed="high")


def test_a_dask_image_is_predicted_like_an_array(model: Checkpoint, rng: np.random.Generator) -> None:
    image = rng.random((40, 38))
    lazy = da.from_array(image, chunks=(16, 16))
    np.testing.assert_array_equal(fcn.predict(lazy, model, tile=16), fcn.predict(image, model, tile=16))


def test_the_image_is_not_modified(model: Checkpoint, rng: np.random.Generator) -> None:
    image = rng.random((12, 12)).astype(np.float32)
    before = image.copy()
    fcn.predict(image, model)
    np.testing.assert_array_equal(image, before)


def test_the_receptive_field_has_one_entry_for_each_axis(model: Checkpoint) -> None:
    assert fcn.receptive_field(model).before == (10, 10)


@pytest.mark.parametrize(("shape", "axes"), [((5,), ""), ((5, 5), "zyx"), ((5, 5, 5, 5, 5, 5), ""), ((5, 5), "yy")])
def test_axes_that_do_not_fit_are_refused(model: Checkpoint, shape: tuple[int, ...], axes: str) -> None:
    with pytest.raises(ImageError):
        fcn.predict(np.zeros(shape), model, axes)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        fcn.predict(np.zeros((5, 5)), "nowhere")
