"""What a pupil answers is the same by tiles and at once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from lessons import halves, tiny, view_of

from napari_fcn.events import Working
from napari_fcn.geometry import Region
from napari_fcn.learning import head, suggest
from napari_fcn.learning.pupil import Pupil
from napari_fcn.models.teachable import teachable
from napari_fcn.teaching import looking

SHAPE = (48, 400)


@pytest.fixture
def pupil() -> Pupil:
    model = teachable(tiny(), sigmas=(0.7,))
    net: Any = model.net()
    return Pupil(net, view_of(halves(SHAPE), model.info.spec), 2**30, head.read(net), (24, 200))


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
def test_tiles_come_one_by_one_and_known_features_at_once(pupil: Pupil, region: Region) -> None:
    first = list(looking.answers_soon(pupil, region))
    assert [told.done for told in first] == list(range(1, first[0].total + 1))
    assert len(first) > 1
    *pauses, again = looking.answers_soon(pupil, region)
    assert pauses == [Working("show")] * (len(first) - 1)
    assert (again.region, again.done, again.total) == (region, 1, 1)
    joined = put(region, [(told.region, told.probabilities) for told in first])
    np.testing.assert_array_equal(again.probabilities, joined)
    unsure = put(region, [(told.region, told.values) for told in looking.uncertainty(pupil, region)])
    np.testing.assert_array_equal(unsure, suggest.entropy(joined))
