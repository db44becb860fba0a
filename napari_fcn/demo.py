"""The demonstration without a window: segmentation of a real image."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from napari_fcn.api import load
from napari_fcn.errors import OutputError
from napari_fcn.events import RunDone, TileDone
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.run_inputs import collect_inputs
from napari_fcn.models.binding import ImageForm, bind
from napari_fcn.models.zoo import path_of
from napari_fcn.runs.progress import RunProgress, advance
from napari_fcn.runs.writer import RunWriter, describe
from napari_fcn.sample_data import skimage_image
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings
from napari_fcn.storage import replace_file, unused_path
from napari_fcn.system_errors import reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.sample_data import Sample

SAMPLE = "immunohistochemistry"


def segment_sample(out: Path, model: str) -> Iterator[str]:
    """Segment a sample image of scikit-image, stained tissue, and write the results; yield lines to print.

    Parameters
    ----------
    out : Path
        Folder of the results.
    model : str
        Name of a shipped model, or file.

    Raises
    ------
    FcnError
        If the model cannot be loaded, or the folder cannot be written.
    """
    sample, checkpoint = skimage_image(SAMPLE), load(model)
    session = open_sample(sample, checkpoint)
    paths = {kind: out / f"{SAMPLE}-{kind}.ome.tif" for kind in ("classes", "probabilities8")}
    meta = describe(session, f"skimage.data.{SAMPLE}", session.settings)
    protection = Protection((collect_inputs({"the model": [path_of(model)]}),), only_results=True)
    tiles, progress = [], RunProgress()
    for event in RunWriter(paths, overwrite=True, protection=protection).run(session, meta):
        progress = advance(progress, event, monotonic())
        if isinstance(event, TileDone):
            tiles.append(event)
        elif isinstance(event, RunDone):
            yield from (*progress.notes, f"{progress.result_line}.")
    yield from (f"Wrote {path}." for path in paths.values())
    yield f"Wrote {_picture(sample, checkpoint, tiles, unused_path(out, f'{SAMPLE}-overlay', '.png'))}."


def open_sample(sample: Sample, checkpoint: Checkpoint) -> Session:
    """Return a session of a model on a sample image."""
    form = ImageForm(sample.image.shape, sample.axes, calibration=Calibration.of(sample.scale, sample.units))
    bound = bind(form, checkpoint.info.spec)
    settings = PredictSettings() if checkpoint.info.spec.colours else PredictSettings(colour="haematoxylin")
    return Session(sample.image, checkpoint, bound, settings)


def _picture(sample: Sample, checkpoint: Checkpoint, tiles: list[TileDone], path: Path) -> Path:
    """Write the image with an overlay of the classes, and return the path."""
    import numpy as np
    from PIL import Image
    from skimage.color import label2rgb

    classes = np.zeros(sample.image.shape[:2], np.uint8)
    for tile in tiles:
        classes[tile.region.slices] = tile.probabilities.argmax(0)
    colours = [tuple(bytes.fromhex(label.colour[1:])) for label in checkpoint.info.classes[1:]]
    shown = label2rgb(classes, sample.image, np.array(colours) / 255, alpha=0.5, bg_label=0, saturation=1)
    try:
        with replace_file(path) as part:
            Image.fromarray((shown * 255).astype(np.uint8)).save(part, format="png")
    except OSError as error:
        raise OutputError(f"The picture cannot be written to {path}: {reason(error)}. Choose another --out.") from error
    return path
