"""Cached features do not depend on the order of requests and give the predictions of the whole network."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from teaching_examples import extractor_of, tiny

from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.inference.predictor import Predictor
from napari_fcn.learning import head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.features import FeatureCache, FeatureExtractor, product_at_once, product_by_class
from napari_fcn.models.adapt import filters_only, make_teachable

# axis names, shape, channels
IMAGES = {
    "line": ("x", (300,), 1),
    "plane": ("yx", (45, 131), 1),
    "volume": ("zyx", (9, 17, 75), 1),
    "stack": ("tyx", (3, 33, 41), 1),
    "mixed stack": ("ytxq", (33, 2, 41, 2), 1),
    "colours": ("yxc", (40, 47, 3), 3),
    "channels of a stack": ("tcyx", (2, 2, 30, 35), 2),
}


def create(name: str, filters: bool = False) -> tuple[FeatureExtractor, Any]:
    """Return the feature extractor of an image, and a network with a random head."""
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
    linear = head.read_head(net).linear
    random_head = head.LinearHead(torch.randn(linear.weight.shape, generator=generator) * 0.3, linear.bias)
    head.write_head(net, head.Head(random_head))
    return extractor_of(np.random.default_rng(0).normal(size=shape), model.info.spec, axes), net


def samples_at(shape: tuple[int, ...], count: int, seed: int) -> Samples:
    labels = np.zeros(int(np.prod(shape)), np.uint8)
    labels[np.random.default_rng(seed).choice(labels.size, min(count, labels.size), replace=False)] = 1
    return Samples.from_labels(labels.reshape(shape))


@pytest.mark.parametrize("filters", [False, True], ids=["network", "filters"])
@pytest.mark.parametrize("name", IMAGES)
def test_tiles_give_the_predictions_of_the_predictor(name: str, filters: bool) -> None:
    extractor, net = create(name, filters)
    expected = Predictor(TorchBackend(net, extractor.device, torch.float32), extractor.source, extractor.scaling)
    features = FeatureCache(extractor, net, 2**30)
    covered = np.zeros(extractor.source.shape, int)
    for tile in extractor.plan:
        tile_features = features.tile(tile)
        logits = extractor.logits(head.read_head(net).linear.relative_to_first(), tile_features)
        assert np.abs(extractor.probabilities(logits, tile.core) - expected.tile(tile)).max() <= 1e-5
        covered[tile_features.core.slices] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("name", IMAGES)
def test_the_feature_matrix_gives_the_predictions_of_the_tiles(name: str) -> None:
    extractor, net = create(name)
    features = FeatureCache(extractor, net, 2**30)
    samples = samples_at(extractor.source.shape, 60, 1)
    probabilities = head.read_head(net).logits(features.matrix(samples)).softmax(1)
    dense = np.empty((2, *extractor.source.shape), np.float32)
    for tile in extractor.plan:
        logits = extractor.logits(head.read_head(net).linear.relative_to_first(), features.tile(tile))
        dense[(slice(None), *tile.core.slices)] = extractor.probabilities(logits, tile.core)
    expected = dense[(slice(None), *samples.coordinates().T)].T
    np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-5)


@settings(max_examples=20)
@given(st.sampled_from(["plane", "stack", "line"]), st.data())
def test_features_of_a_pixel_do_not_depend_on_earlier_requests(name: str, data: st.DataObject) -> None:
    extractor, net = create(name)
    samples = samples_at(extractor.source.shape, 40, 2)
    expected = FeatureCache(extractor, net, 2**30).matrix(samples)
    features = FeatureCache(extractor, net, data.draw(st.sampled_from([0, 2**17, 2**30])))
    for seed in data.draw(st.lists(st.integers(0, 9), max_size=4)):
        other = samples_at(extractor.source.shape, 1 + seed * 7, seed)
        if seed % 2:
            for _ in features.tiles_in(Region.whole(extractor.source.shape)):
                pass
        else:
            features.matrix(other)
    subset = samples.select(np.random.default_rng(0).random(len(samples)) < 0.5)
    assert torch.equal(features.matrix(subset), expected[np.isin(samples.pixel_index, subset.pixel_index)])
    assert torch.equal(features.matrix(samples), expected)


def test_without_budget_only_the_last_tile_is_cached() -> None:
    extractor, net = create("plane")
    assert len(extractor.plan) > 1
    features = FeatureCache(extractor, net, 0)
    for tile in extractor.plan:
        assert features.tile(tile).core == tile.core
        assert list(features.tiles) == [tile.core]


def test_a_cached_tile_is_not_computed_again() -> None:
    extractor, net = create("plane")
    features = FeatureCache(extractor, net, 2**30)
    tile = next(iter(extractor.plan))
    assert features.tile(tile) is features.tile(tile)


def test_the_least_recently_used_tile_is_evicted() -> None:
    extractor, net = create("plane")
    tiles = list(extractor.plan)[:2]
    first = extractor.compute_tile(net, tiles[0])
    features = FeatureCache(extractor, net, first.nbytes)
    evicted = features.tile(tiles[0])
    features.tile(tiles[1])
    assert tiles[0].core not in features.tiles
    assert features.tile(tiles[0]) is not evicted


def test_the_tile_farthest_from_the_focus_is_evicted() -> None:
    extractor, net = create("plane")
    tiles = list(extractor.plan)
    budget = sum(extractor.compute_tile(net, tile).nbytes for tile in tiles[:2])
    features = FeatureCache(extractor, net, budget, focus=tiles[0].core.middle)
    for tile in reversed(tiles):
        assert features.tile(tile).core == tile.core
    assert list(features.tiles) == [tiles[1].core, tiles[0].core]
    far = features.tile(tiles[-1])
    assert far.core not in features.tiles
    assert len(features.tiles) == 2


@pytest.mark.parametrize("name", IMAGES)
def test_each_sample_is_inside_its_tile(name: str) -> None:
    extractor, _ = create(name)
    samples = samples_at(extractor.source.shape, 50, 3)
    for number, pixel in zip(extractor.tiles_of(samples), samples.coordinates(), strict=True):
        core = extractor.plan.at(np.unravel_index(number, extractor.plan.counts)).core
        assert core.contains(Region(tuple(pixel), tuple(i + 1 for i in pixel)))


def test_tiles_in_a_region_are_those_that_intersect_it() -> None:
    extractor, net = create("plane")
    region = Region((0, 60), (3, 70))
    cores = [tile_features.core for tile_features in FeatureCache(extractor, net, 2**30).tiles_in(region)]
    assert cores == [tile.core for tile in extractor.plan if tile.core.intersects(region)]


@pytest.mark.parametrize("classes", [1, 3, 5])
@pytest.mark.parametrize("space", [(7,), (6, 5), (4, 3, 2)], ids=["1-D", "2-D", "3-D"])
def test_both_products_of_features_and_weights_are_equal(classes: int, space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn((2, *(n + 4 for n in space), 9), generator=generator)
    part = whole[(slice(None), *(slice(1, n + 1) for n in space))]  # not contiguous, as a part of a tile
    weight = torch.randn((classes, 9), generator=generator)
    at_once, by_class = product_at_once(part, weight), product_by_class(part, weight)
    assert at_once.shape == by_class.shape == (2, classes, *space)
    assert at_once.is_contiguous()
    assert (at_once - by_class).abs().max() <= 1e-5
    assert (at_once - torch.einsum("n...c,kc->nk...", part, weight)).abs().max() <= 1e-5
