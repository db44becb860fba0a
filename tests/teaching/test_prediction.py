"""Predictions tile by tile and in one piece, their order, and prefetching."""

import numpy as np
import numpy.typing as npt
import pytest
from teaching_examples import halves, model_on, tiny

from napari_fcn.cancellation import cancellation_scope
from napari_fcn.events import Heartbeat, TileDone
from napari_fcn.geometry import Region
from napari_fcn.learning import suggestions
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import make_teachable
from napari_fcn.teaching import prediction

SHAPE = (48, 400)


@pytest.fixture
def model() -> InteractiveModel:
    return model_on(make_teachable(tiny(), sigmas=(0.7,)), halves(SHAPE))


def join(region: Region, parts: list[tuple[Region, npt.NDArray[np.float32]]]) -> npt.NDArray[np.float32]:
    """Return the joined parts of a region, which cover each pixel once."""
    out, covered = np.zeros((*parts[0][1].shape[:-2], *region.shape), np.float32), np.zeros(region.shape, int)
    for part, values in parts:
        slices = part.relative_to(region).slices
        out[(..., *slices)] = values
        covered[slices] += 1
    assert (covered == 1).all()
    return out


@pytest.mark.parametrize("region", [Region.whole(SHAPE), Region((5, 100), (40, 333))], ids=["whole", "part"])
def test_tiles_are_predicted_one_by_one_and_cached_features_in_one_piece(
    model: InteractiveModel, region: Region
) -> None:
    first = list(prediction.predict_cached(model, region))
    assert [event.done for event in first] == list(range(1, first[0].total + 1))
    assert len(first) > 1
    *pauses, whole_region = prediction.predict_cached(model, region)
    assert pauses == [Heartbeat("show")] * (len(first) - 1)
    assert (whole_region.region, whole_region.done, whole_region.total) == (region, 1, 1)
    joined = join(region, [(event.region, event.probabilities) for event in first])
    np.testing.assert_array_equal(whole_region.probabilities, joined)
    uncertainty = join(
        region, [(event.region, event.values) for event in prediction.predict_uncertainty(model, region)]
    )
    np.testing.assert_array_equal(uncertainty, suggestions.entropy(joined))


def test_cached_tiles_are_predicted_first_then_outward_from_the_focus(
    model: InteractiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Region.whole(SHAPE)
    cores = [tile.core for tile in model.extractor.plan.touching(whole)]
    assert len(cores) > 4
    model.focus_on(cores[2].middle)
    first = [event.region for event in prediction.predict_tiles(model, whole)]
    assert first[0] == cores[2]
    assert set(first[1:3]) == {cores[1], cores[3]}
    assert set(first) == set(cores)
    model.features.tiles.clear()
    model.features.tile(next(iter(model.extractor.plan.touching(cores[-1]))))
    assert [event.region for event in prediction.predict_tiles(model, whole)][:2] == [cores[-1], cores[2]]
    monkeypatch.setattr(
        prediction, "MAX_TILES_AT_ONCE", 3
    )  # more tiles are predicted one by one, although all are cached
    assert next(event.region for event in prediction.predict_cached(model, whole)) == cores[2]


def test_surrounding_tiles_are_prefetched_nearest_first_within_the_budget(model: InteractiveModel) -> None:
    region = Region((0, 150), (48, 210))
    predicted = [event.region for event in prediction.predict_tiles(model, region) if isinstance(event, TileDone)]
    cached = set(model.features.tiles)
    assert list(prediction.prefetch_around(model, region))
    around = {tile.core for tile in model.extractor.plan.touching(Region((0, 120), (48, 240)))}
    assert set(model.features.tiles) == around > cached
    assert list(prediction.prefetch_around(model, region)) == []
    whole_region = [event.region for event in prediction.predict_tiles(model, region) if isinstance(event, TileDone)]
    assert whole_region == predicted
    tile_bytes = next(iter(model.features.tiles.values())).nbytes
    model.features.tiles.clear()
    model.features.budget = 2 * tile_bytes
    for _ in prediction.prefetch_around(model, region):
        pass
    nearest = sorted(around, key=lambda core: core.distance(region.middle))[:2]
    assert set(model.features.tiles) == set(nearest)


def test_predictions_can_be_cancelled_within_a_tile(model: InteractiveModel) -> None:
    region = Region((0, 150), (48, 210))
    with cancellation_scope(lambda: True):
        for steps in (
            prediction.predict_tiles(model, region),
            prediction.predict_cached(model, region),
            prediction.prefetch_around(model, region),
        ):
            assert isinstance(next(steps), Heartbeat)
            steps.close()  # type: ignore[attr-defined]
    assert not model.features.tiles
