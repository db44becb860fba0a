"""For each shipped model, joined tiles equal the whole image."""

import numpy as np
import pytest

from napari_fcn.events import TileDone
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import Look, cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

LONG = {2: (330, 300), 3: (9, 150, 140)}  # longer than a tile and its halo
TILES = {2: (96, 88), 3: (5, 80, 72)}
VISIBLE = 1e-3


def answer(image: np.ndarray, model: Checkpoint, tile: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Return the joined probabilities, and the number of tiles."""
    out, count = np.full((model.info.spec.classes, *image.shape), np.nan, np.float32), 0
    for event in Session(image, model, settings=PredictSettings(device="cpu", tile=tile)).predict():
        if isinstance(event, TileDone):
            out[(slice(None), *event.region.slices)] = event.probabilities
            count += 1
    return out, count


@pytest.mark.parametrize("name", zoo.names())
def test_joined_tiles_of_a_shipped_model_equal_the_whole_image(name: str) -> None:
    model = Checkpoint.load(zoo.path_of(name))
    ndim = model.info.spec.ndim
    image = cells(LONG[ndim], seed=4, look=Look(diameter=24, spacing=(2, 1, 1)[-ndim:]))[0]
    whole, one = answer(image, model, LONG[ndim])
    tiled, several = answer(image, model, TILES[ndim])
    assert one == 1
    assert several >= 8
    assert np.abs(tiled - whole).max() <= 1e-5
    assert np.ptp(whole) > VISIBLE
