"""The features of a pixel are the same whenever somebody asks, and give the answer of the whole network."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teaching_examples import halves, tiny, view_of, whole

from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.predictor import Predictor
from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.features import FeatureCache, FeatureExtractor, bytes_per_pixel, select_inside
from napari_fcn.models.adapt import filters_only, make_teachable

# names of the axes, shape, what sees them
IMAGES = {
    "line": ("x", (300,), 1),
    "plane": ("yx", (45, 131), 1),
    "volume": ("zyx", (9, 17, 75), 1),
    "stack": ("tyx", (3, 33, 41), 1),
    "mixed stack": ("ytxq", (33, 2, 41, 2), 1),
    "colours": ("yxc", (40, 47, 3), 3),
    "channels of a stack": ("tcyx", (2, 2, 30, 35), 2),
}


def seen(name: str, filters: bool = False) -> tuple[FeatureExtractor, Any]:
    """Return a view of an image and a network with a head as strokes leave it."""
    names, shape, channels = IMAGES[name]
    space = tuple(n for n in names if n in "zyx")
    axes = Axes(tuple(names), space, "c" if "c" in names else None)
    model = (
        filters_only(len(space), channels)
        if filters
        else make_teachable(tiny(len(space), channels=channels), sigmas=(0.7, 2.0))
    )
    net: Any = model.net()
    generator = torch.Generator().manual_seed(0)
    known = head.read_head(net).linear
    drawn = head.LinearHead(torch.randn(known.weight.shape, generator=generator) * 0.3, known.bias)
    head.write_head(net, head.Head(drawn))
    return view_of(np.random.default_rng(0).normal(size=shape), model.info.spec, axes), net


def samples_at(shape: tuple[int, ...], count: int, seed: int) -> Samples:
    labels = np.zeros(int(np.prod(shape)), np.uint8)
    labels[np.random.default_rng(seed).choice(labels.size, min(count, labels.size), replace=False)] = 1
    return Samples.from_labels(labels.reshape(shape))


@pytest.mark.parametrize("filters", [False, True], ids=["network", "filters"])
@pytest.mark.parametrize("name", IMAGES)
def test_windows_answer_as_the_predictor_does(name: str, filters: bool) -> None:
    view, net = seen(name, filters)
    expected = Predictor(net, view.source, view.scaling, view.device, torch.float32)
    features = FeatureCache(view, net, 2**30)
    covered = np.zeros(view.source.shape, int)
    for tile in view.plan:
        window = features.tile(tile)
        logits = view.logits(head.read_head(net).linear.relative_to_first(), window)
        assert np.abs(view.probabilities(logits, tile.core) - expected.tile(tile)).max() <= 1e-5
        covered[window.core.slices] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("name", IMAGES)
def test_rows_give_the_answer_of_the_windows(name: str) -> None:
    view, net = seen(name)
    features = FeatureCache(view, net, 2**30)
    samples = samples_at(view.source.shape, 60, 1)
    rows = head.read_head(net).logits(features.matrix(samples)).softmax(1)
    dense = np.empty((2, *view.source.shape), np.float32)
    for tile in view.plan:
        logits = view.logits(head.read_head(net).linear.relative_to_first(), features.tile(tile))
        dense[(slice(None), *tile.core.slices)] = view.probabilities(logits, tile.core)
    expected = dense[(slice(None), *samples.coordinates().T)].T
    np.testing.assert_allclose(rows.numpy(), expected, atol=1e-5)


@settings(max_examples=20)
@given(st.sampled_from(["plane", "stack", "line"]), st.data())
def test_the_rows_of_a_pixel_are_the_same_bit_by_bit_whatever_was_asked_for_before(
    name: str, data: st.DataObject
) -> None:
    view, net = seen(name)
    samples = samples_at(view.source.shape, 40, 2)
    expected = FeatureCache(view, net, 2**30).matrix(samples)
    features = FeatureCache(view, net, data.draw(st.sampled_from([0, 2**17, 2**30])))
    for seed in data.draw(st.lists(st.integers(0, 9), max_size=4)):
        other = samples_at(view.source.shape, 1 + seed * 7, seed)
        if seed % 2:
            for _ in features.tiles_in(Region.whole(view.source.shape)):
                pass
        else:
            features.matrix(other)
    part = samples.select(np.random.default_rng(0).random(len(samples)) < 0.5)
    assert torch.equal(features.matrix(part), expected[np.isin(samples.pixel_index, part.pixel_index)])
    assert torch.equal(features.matrix(samples), expected)


def test_memory_is_given_back_but_the_last_window_stays() -> None:
    view, net = seen("plane")
    assert len(view.plan) > 1
    features = FeatureCache(view, net, 0)
    for tile in view.plan:
        assert features.tile(tile).core == tile.core
        assert list(features.tiles) == [tile.core]


def test_a_window_is_computed_once() -> None:
    view, net = seen("plane")
    features = FeatureCache(view, net, 2**30)
    tile = next(iter(view.plan))
    assert features.tile(tile) is features.tile(tile)


def test_the_window_used_last_is_kept() -> None:
    view, net = seen("plane")
    tiles = list(view.plan)[:2]
    first = view.compute_tile(net, tiles[0])
    features = FeatureCache(view, net, first.nbytes)
    kept = features.tile(tiles[0])
    features.tile(tiles[1])
    assert tiles[0].core not in features.tiles
    assert features.tile(tiles[0]) is not kept


def test_what_is_far_from_where_the_user_works_is_let_go_first() -> None:
    view, net = seen("plane")
    tiles = list(view.plan)
    room = sum(view.compute_tile(net, tile).nbytes for tile in tiles[:2])
    features = FeatureCache(view, net, room, focus=tiles[0].core.middle)
    for tile in reversed(tiles):
        assert features.tile(tile).core == tile.core
    assert list(features.tiles) == [tiles[1].core, tiles[0].core]
    far = features.tile(tiles[-1])
    assert far.core not in features.tiles
    assert len(features.tiles) == 2


@pytest.mark.parametrize("name", IMAGES)
def test_each_sample_lies_in_its_tile(name: str) -> None:
    view, _ = seen(name)
    samples = samples_at(view.source.shape, 50, 3)
    for number, place in zip(view.tiles_of(samples), samples.coordinates(), strict=True):
        core = view.plan.at(np.unravel_index(number, view.plan.counts)).core
        assert core.contains(Region(tuple(place), tuple(i + 1 for i in place)))


def test_windows_on_a_region_are_those_that_touch_it() -> None:
    view, net = seen("plane")
    region = Region((0, 60), (3, 70))
    cores = [window.core for window in FeatureCache(view, net, 2**30).tiles_in(region)]
    assert cores == [tile.core for tile in view.plan if tile.core.intersects(region)]


def test_samples_inside_a_region_are_found() -> None:
    samples = samples_at((20, 20), 50, 0)
    part = select_inside(samples, Region((5, 5), (10, 12)))
    assert 0 < len(part) < 50
    assert ((part.coordinates() >= 5) & (part.coordinates() < (10, 12))).all()


def test_a_window_takes_the_memory_that_is_foretold() -> None:
    image = halves((512, 512))
    model = make_teachable(tiny(), sigmas=(0.7, 2.0))
    view, net = view_of(image, model.info.spec), model.net()
    window = view.compute_tile(net, view.plan.at((1, 1)))  # type: ignore[arg-type]
    assert window.nbytes == pytest.approx(bytes_per_pixel(net) * window.stored.size, rel=0.01)  # type: ignore[arg-type]
    assert whole(view.source.shape).contains(window.stored)
