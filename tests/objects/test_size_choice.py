"""The size of objects is measured with a network that is sure of objects of about 20 pixels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Axes
from napari_fcn.inference.source import ImageSource
from napari_fcn.models.card import ClassLabel, ModelInfo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import FrameScaling, Scaling
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec
from napari_fcn.objects import ObjectRule
from napari_fcn.objects.size_choice import SizeChoice, choose_object_size, find_places, measure_objects
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SCALING = Scaling((0.5,), (0.5,), 4.0)
BEST = 20.0


class Thresholder:
    """A network that finds what is bright, surest where objects are 20 pixels wide."""

    label, device, dtype = "test", torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        self.pixels = 0

    def probabilities(self, block: Any, crop: Sequence[slice] = (), trim: tuple[bool, bool] = (False, False)) -> Any:
        self.pixels += block[0, 0].size
        bright = block[0, 0] > 0
        width = 2 * float(ndimage.distance_transform_edt(np.pad(bright, 1)).max())
        sure = 0.5 + 0.5 * np.exp(-((np.log2(max(width, 1) / BEST) / 2) ** 2))
        foreground = np.where(bright, sure, 1 - sure)
        return np.stack([1 - foreground, foreground]).astype(np.float32)[None]

    def release(self) -> None:
        """Nothing is kept."""


def model(ndim: int = 2) -> ModelInfo:
    spec = NetSpec(ndim=ndim, classes=2, width=2, depth=1)
    info = plain_recipe("sizes", spec, "made for a test")
    return replace(info, classes=(ClassLabel("background", "#000000"), ClassLabel("cell", "#ffffff")), object_size=BEST)


def discs(diameter: float, shape: tuple[int, ...] = (512, 512), gap: float = 2.0) -> np.ndarray:
    """Return balls of a diameter on a grid, 0 to 1."""
    grid = np.indices(shape) % (gap * diameter) - gap * diameter / 2
    return np.clip(diameter / 2 + 0.5 - np.sqrt((grid**2).sum(0)), 0, 1).astype(np.float32)


def choose(image: np.ndarray, names: str = "yx") -> SizeChoice:
    space = tuple(name for name in names if name in "zyx") if names != "tyx" else ("y", "x")
    source = ImageSource(image, Axes(tuple(names), space), (0,))
    return choose_object_size(source, SCALING, Thresholder(), model(len(space)))


@pytest.mark.parametrize("diameter", [5, 7, 100, 150])
def test_the_size_of_objects_is_measured(diameter: float) -> None:
    choice = choose(discs(diameter, (1024, 1024)))
    assert choice.measured == pytest.approx(diameter, rel=0.15)
    target = BEST if diameter < BEST else 1.5 * BEST  # of large objects, less detail is lost
    assert choice.measured * BEST / choice.used == pytest.approx(target, rel=0.02)
    assert f"resampled by {BEST / choice.used:.2g}, to {target:.2g} px." in choice.notes(BEST)[0]


@pytest.mark.parametrize("diameter", [15, 20, 40])
def test_objects_near_the_size_of_the_model_are_not_resampled(diameter: float) -> None:
    choice = choose(discs(diameter))
    assert (choice.used, choice.measured) == (BEST, pytest.approx(diameter, rel=0.15))
    assert choice.notes(BEST)[0].startswith(f"Objects are about {choice.measured:g} px; the model works best at 20 px:")
    assert "not resampled" in choice.notes(BEST)[0]


def test_an_empty_image_is_read_at_its_own_size() -> None:
    choice = choose(np.zeros((300, 300), np.float32))
    assert (choice.measured, choice.used) == (0, BEST)
    assert "--object-size" in choice.notes(BEST)[0]


def test_one_choice_is_made_for_all_frames() -> None:
    movie = np.zeros((5, 700, 700), np.float32)
    movie[3] = discs(100, (700, 700))
    assert choose(movie, "tyx").measured == pytest.approx(100, rel=0.15)


def test_objects_of_volumes_are_measured() -> None:
    assert choose(discs(60, (128, 128, 128)), "zyx").measured == pytest.approx(60, rel=0.2)


def test_the_choice_is_deterministic_and_costs_less_than_a_tenth_of_a_run() -> None:
    image = discs(6, (2048, 2048))
    choice = choose(image)
    assert choice == choose(image)
    assert 0 < choice.pixels < 0.1 * image.size


def test_windows_lie_where_there_is_structure_and_apart() -> None:
    movie = np.zeros((4, 600, 600), np.float32)
    for frame, y, x in ((0, 100, 100), (1, 400, 500), (3, 480, 80)):
        movie[frame, y - 20 : y + 20, x - 20 : x + 20] = 1
    places = find_places(ImageSource(movie, Axes(("t", "y", "x"), ("y", "x")), (0,)), SCALING)
    assert sorted(int(t) for t, _, _ in places) == [0, 1, 3]
    for t, y, x in places:
        assert movie[int(t), int(y) - 64 : int(y) + 64, int(x) - 64 : int(x) + 64].any()


def test_objects_cut_by_the_border_are_counted_apart() -> None:
    classes = np.zeros((40, 40), int)
    classes[10:20, 10:20] = 2
    classes[12:18, 12:18] = 1
    classes[0:5, 30:35] = 1
    inside, cut = measure_objects(classes, ObjectRule((1,), (2,), (0, 1)))
    assert (inside.tolist(), cut.tolist()) == ([100], [25])


@pytest.mark.parametrize("wrong", [None, "auto", [1.0], [1.0, 0.0], [1.0, "2"], [float("nan"), 2.0]])
def test_a_damaged_record_of_a_choice_is_ignored(wrong: object) -> None:
    assert SizeChoice.stored(wrong) is None
    assert SizeChoice.stored(SizeChoice(42.0, 20.0).identity) == SizeChoice(42.0, 20.0)


def sized(size: float = BEST) -> Checkpoint:
    spec = NetSpec(classes=2, width=2, depth=1)
    info = replace(plain_recipe("sizes", spec, "made for a test"), object_size=size)
    return Checkpoint.of(spec.build(torch.Generator().manual_seed(3)), info)


def test_a_run_says_what_was_chosen_and_equals_a_run_of_that_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.objects.size_choice.choose_object_size", lambda *_: SizeChoice(50.0, 50.0))
    image = np.random.default_rng(0).normal(100, 20, (90, 61)).astype(np.float32)
    both = [
        Session(image, sized(), settings=PredictSettings(device="cpu", object_size=size, tile=(16,)))
        for size in ("auto", 50)
    ]
    (plan, *tiles), (_, *same) = (list(session.predict()) for session in both)
    assert "Objects are about 50 px; the model works best at 20 px: resampled by 0.4, to 20 px." in plan.notes  # type: ignore[union-attr]
    for one, other in zip(tiles[:-1], same[:-1], strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)  # type: ignore[union-attr]


def test_a_model_without_a_size_refuses_to_measure() -> None:
    with pytest.raises(ImageError, match=r"object size auto was given, but the model does not state .* --object-size"):
        Session(np.zeros((40, 60)), sized(0), settings=PredictSettings(device="cpu", object_size="auto"))


def test_frames_may_have_their_own_scaling() -> None:
    movie = np.stack([discs(100, (400, 400)), 5 * discs(100, (400, 400))])
    scaling = FrameScaling(np.array([[[[0.5]], [[2.5]]]]), np.array([[[[0.5]], [[2.5]]]]), 4.0)
    source = ImageSource(movie, Axes(("t", "y", "x"), ("y", "x")), (0,))
    assert choose_object_size(source, scaling, Thresholder(), model()).measured == pytest.approx(100, rel=0.15)
