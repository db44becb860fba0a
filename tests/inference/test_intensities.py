"""The range of intensities is that of the image or of each frame, with percentiles of the model or the user."""

import net_contract
import numpy as np
import pytest
from net_contract import SPECS

from napari_fcn.events import TileDone
from napari_fcn.inference.intensities import NO_FRAMES
from napari_fcn.models.normalise import FrameScaling, Scaling
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings


def session(image: np.ndarray, names: str, **settings: object) -> Session:
    model = net_contract.checkpoint(SPECS["unet-2d"])
    return Session(image, model, tuple(names), PredictSettings(device="cpu", backend="torch", **settings))  # type: ignore[arg-type]


def predicted(running: Session) -> np.ndarray:
    out = np.empty((running.spec.classes, *running.source.shape), np.float32)
    for event in running.predict():
        if isinstance(event, TileDone):
            out[(slice(None), *event.region.slices)] = event.probabilities
    return out


@pytest.fixture
def bleaching() -> np.ndarray:
    """A movie whose frames are the same but for a smaller range each."""
    frame = np.random.default_rng(0).normal(100, 20, (61, 45))
    return np.stack([frame * 0.5**t for t in range(3)]).astype(np.float32)


def test_frames_that_bleach_are_predicted_alike(bleaching: np.ndarray) -> None:
    one = predicted(session(bleaching, "tyx", scaling="frame", tile=(16,)))
    np.testing.assert_allclose(one[:, 1:], np.repeat(one[:, :1], 2, 1), atol=1e-5)
    whole = predicted(session(bleaching, "tyx", tile=(16,)))
    assert np.abs(whole[:, 1:] - whole[:, :1]).max() > 1e-3


def test_tiles_equal_the_whole_frame(bleaching: np.ndarray) -> None:
    tiles, whole = (predicted(session(bleaching, "tyx", scaling="frame", tile=(n,))) for n in (16, 64))
    assert np.abs(tiles - whole).max() <= 1e-5


def test_a_frame_is_predicted_as_if_it_were_alone(bleaching: np.ndarray) -> None:
    alone = predicted(session(bleaching[2], "yx"))
    np.testing.assert_allclose(predicted(session(bleaching, "tyx", scaling="frame"))[:, 2], alone, atol=1e-5)


def test_an_image_without_frames_is_scaled_as_a_whole_and_says_so() -> None:
    running = session(np.random.default_rng(0).normal(size=(40, 40)), "yx", scaling="frame")
    assert isinstance(running.scaling, Scaling)
    assert NO_FRAMES in running.notes


def test_each_position_along_all_loop_axes_is_a_frame() -> None:
    stack = np.random.default_rng(0).normal(size=(2, 3, 40, 40))
    scaling = session(stack, "tzyx", scaling="frame").scaling
    assert isinstance(scaling, FrameScaling)
    assert scaling.offset.shape[1:] == (2, 3, 1, 1)


def test_percentiles_replace_those_of_the_model() -> None:
    image = np.random.default_rng(0).integers(0, 1000, (80, 80)).astype(np.uint16)
    scaling = session(image, "yx", percentiles=(10, 90)).scaling
    assert isinstance(scaling, Scaling)
    low, high = np.percentile(image, (10, 90))
    assert (scaling.offset[0], scaling.scale[0]) == pytest.approx(((low + high) / 2, (high - low) / 2))
