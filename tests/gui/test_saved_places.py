"""Result files have the origin of their layer."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image

from napari_fcn.geometry import Region
from napari_fcn.gui._controllers.batch.jobs import NoCanvas
from napari_fcn.gui._controllers.segment.worker import LayerJob, VisibleRegion, run_segmentation
from napari_fcn.gui._layers import read_layer
from napari_fcn.io import read_image
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.settings import PredictSettings


class Loaded:
    """A model in memory."""

    def __init__(self) -> None:
        spec = NetSpec(width=2, depth=1)
        self.checkpoint = Checkpoint.of(spec.build(), plain_recipe("tiny", spec, ""))

    def load(self, _: Path) -> Checkpoint:
        return self.checkpoint


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize(("units", "scale"), [("um", (2.0, 0.5, 0.25)), ("pixel", (1.0, 1.0, 1.0))])
def test_result_files_have_the_origin_of_the_moved_layer(
    tmp_path: Path, suffix: str, units: str, scale: tuple[float, ...]
) -> None:
    layer = Image(np.zeros((3, 20, 24), np.uint8), scale=scale, units=units, translate=(8, 100, -200))
    loaded, image = Loaded(), read_layer(layer)
    bound = image.bind(loaded.checkpoint.info.spec)
    settings, out = PredictSettings(resample="off"), tmp_path / f"classes{suffix}"
    seen, canvas = VisibleRegion(Region.whole((3, 20, 24))), NoCanvas.empty((0,))
    job = LayerJob(image, bound, Path("tiny"), settings, seen, canvas, {"classes": out})
    for _ in run_segmentation(job, loaded):  # type: ignore[arg-type]
        pass
    found = read_image(out)
    assert found.calibration.origin == (8, 100, -200)
    assert found.scale == scale
    assert found.units == tuple(str(unit) for unit in layer.units)
