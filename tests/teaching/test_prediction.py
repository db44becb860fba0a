"""What a pupil answers is the same by tiles and at once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from teaching_examples import halves, tiny, view_of

from napari_fcn.events import Heartbeat, TileDone
from napari_fcn.geometry import Region
from napari_fcn.learning import head, suggestions
from napari_fcn.learning.cancellation import cancellation_scope
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import make_teachable
from napari_fcn.teaching import prediction

SHAPE = (48, 400)


@pytest.fixture
def pupil() -> InteractiveModel:
    model = make_teachable(tiny(), sigmas=(0.7,))
    net: Any = model.net()
    return InteractiveModel(net, view_of(halves(SHAPE), model.info.spec), 2**30, head.read_head(net), (24, 200))


def put(region: Region, parts: list[tuple[Region, npt.NDArray[np.float32]]]) -> npt.NDArray[np.float32]:
    """Return what parts of a region show; they fill it, each pixel once."""
    out, seen = np.zeros((*parts[0][1].shape[:-2], *region.shape), np.float32), np.zeros(region.shape, int)
    for part, values in parts:
        place = part.relative_to(region).slices
        out[(..., *place)] = values
        seen[place] += 1
    assert (seen == 1).all()
    return out


@pytest.mark.parametrize("region", [Region.whole(SHAPE), Region((5, 100), (40, 333))], ids=["whole", "part"])
def test_tiles_come_one_by_one_and_known_features_at_once(pupil: InteractiveModel, region: Region) -> None:
    first = list(prediction.predict_cached(pupil, region))
    assert [told.done for told in first] == list(range(1, first[0].total + 1))
    assert len(first) > 1
    *pauses, again = prediction.predict_cached(pupil, region)
    assert pauses == [Heartbeat("show")] * (len(first) - 1)
    assert (again.region, again.done, again.total) == (region, 1, 1)
    joined = put(region, [(told.region, told.probabilities) for told in first])
    np.testing.assert_array_equal(again.probabilities, joined)
    unsure = put(region, [(told.region, told.values) for told in prediction.predict_uncertainty(pupil, region)])
    np.testing.assert_array_equal(unsure, suggestions.entropy(joined))


def test_of_a_large_region_what_is_known_comes_first_then_outward_from_the_focus(
    pupil: InteractiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Region.whole(SHAPE)
    cores = [tile.core for tile in pupil.extractor.plan.touching(whole)]
    assert len(cores) > 4
    pupil.focus_on(cores[2].middle)
    first = [told.region for told in prediction.predict_tiles(pupil, whole)]
    assert first[0] == cores[2]
    assert set(first[1:3]) == {cores[1], cores[3]}
    assert set(first) == set(cores)
    pupil.features.tiles.clear()
    pupil.features.tile(next(iter(pupil.extractor.plan.touching(cores[-1]))))
    assert [told.region for told in prediction.predict_tiles(pupil, whole)][:2] == [cores[-1], cores[2]]
    monkeypatch.setattr(prediction, "MAX_TILES_AT_ONCE", 3)  # more than that one by one, though all are known
    assert next(told.region for told in prediction.predict_cached(pupil, whole)) == cores[2]


def test_what_lies_around_is_prepared_nearest_first_while_there_is_room(pupil: InteractiveModel) -> None:
    region = Region((0, 150), (48, 210))
    answered = [told.region for told in prediction.predict_tiles(pupil, region) if isinstance(told, TileDone)]
    known = set(pupil.features.tiles)
    assert list(prediction.prefetch_around(pupil, region))
    around = {tile.core for tile in pupil.extractor.plan.touching(Region((0, 120), (48, 240)))}
    assert set(pupil.features.tiles) == around > known
    assert list(prediction.prefetch_around(pupil, region)) == []
    again = [told.region for told in prediction.predict_tiles(pupil, region) if isinstance(told, TileDone)]
    assert again == answered
    one = next(iter(pupil.features.tiles.values())).nbytes
    pupil.features.tiles.clear()
    pupil.features.budget = 2 * one
    for _ in prediction.prefetch_around(pupil, region):
        pass
    nearest = sorted(around, key=lambda core: core.distance(region.middle))[:2]
    assert set(pupil.features.tiles) == set(nearest)


def test_whoever_waits_for_something_else_is_heard_within_a_tile(pupil: InteractiveModel) -> None:
    region = Region((0, 150), (48, 210))
    with cancellation_scope(lambda: True):
        for steps in (
            prediction.predict_tiles(pupil, region),
            prediction.predict_cached(pupil, region),
            prediction.prefetch_around(pupil, region),
        ):
            assert isinstance(next(steps), Heartbeat)
            steps.close()  # type: ignore[attr-defined]
    assert not pupil.features.tiles
