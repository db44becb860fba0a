"""The jobs of the Segment dock on the worker thread: events of the engine, with tiles already in colours."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import PreviewDone, RunDone, RunPlanned, TileDone
from napari_fcn.gui._layers import (
    Canvas,
    ColourTile,
    LayerImage,
    StoredCanvas,
    pixel_digest,
    pixels_replaced_error,
    preload_layer_modules,
)
from napari_fcn.io.overwrite import NO_PROTECTION, Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_fcn.geometry import Axes, Region
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.io import ResultMeta
    from napari_fcn.models.binding import Binding
    from napari_fcn.runs.writer import Event
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings


@dataclass(slots=True, eq=False)
class VisibleRegion:
    """The visible region of a layer; the GUI thread sets it, and the worker reads it before each tile.

    Attributes
    ----------
    region : Region
        Visible region, on the image axes.
    """

    region: Region

    def __call__(self) -> Region:
        return self.region


@dataclass(frozen=True, slots=True, eq=False)
class LayerJob:
    """The input of a run, read from the layers before it starts.

    Attributes
    ----------
    image : LayerImage
        The image.
    binding : Binding
        How the model reads it.
    model : Path
        The model file.
    settings : PredictSettings
        Settings of the run.
    visible : VisibleRegion, optional
        The visible region, predicted first and with previews; None if no layer shows the result during the run.
    canvas : Canvas or StoredCanvas
        Stores the prediction.
    paths : mapping of str to Path
        Output file of each kind of result.
    overwrite : bool
        Whether existing files may be replaced.
    protection : Protection
        Files that must not be overwritten.
    kinds : tuple of str
        The requested kinds of results, written to files or only shown.
    """

    image: LayerImage
    binding: Binding
    model: Path
    settings: PredictSettings
    visible: VisibleRegion | None
    canvas: Canvas | StoredCanvas
    paths: Mapping[str, Path] = field(default_factory=dict)
    overwrite: bool = False
    protection: Protection = NO_PROTECTION
    kinds: tuple[str, ...] = ()

    @property
    def axes(self) -> Axes:
        """Role of each axis of the image."""
        return self.binding.axes


def run_segmentation(job: LayerJob, loaded: ModelCache) -> Iterator[ColourTile | Event]:
    """Yield the plan, each tile in colours, and the end of the run.

    Raises
    ------
    PixelsReplacedError
        If the pixels of the image have changed during the run.
    FcnError
        If the image, the model, the device or the output files are not suitable.
    """
    from napari_fcn.runs.writer import describe
    from napari_fcn.session import Session

    checkpoint = loaded.load(job.model)
    session = Session(job.image.data, checkpoint, job.binding, job.settings)
    meta = partial(describe, session, job.image.path or job.image.name, job.settings)
    colours = [label.colour for label in session.checkpoint.info.classes]
    job.protection.check_inputs(*job.paths.values(), *job.canvas.paths.values())
    digest = pixel_digest(job.image.data)
    latest = (0, 0)  # tiles done, all tiles
    with closing(job.canvas), closing(_events(session, job, meta)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, PreviewDone):
                tile = TileDone(event.region, event.probabilities, *latest, event.work)
                preview = job.canvas.process_tile(tile, colours)
                yield replace(preview, counts=np.zeros_like(preview.counts))  # its pixels are counted with their tile
                continue
            if isinstance(event, TileDone):
                latest = (event.done, event.total)
                yield job.canvas.process_tile(event, colours)
                if event.done == event.total and pixel_digest(job.image.data) != digest:
                    raise pixels_replaced_error(job.image.name)  # before the files get their names
                continue
            if isinstance(event, RunPlanned):
                latest = (event.done, event.tiles)
                job.canvas.prepare(event.tile, meta)
                notes = job.image.notes if job.paths else ()
                event = replace(event, notes=(*event.notes, *notes, *filter(None, [_missing_chunks_note(job.image)])))
            elif isinstance(event, RunDone):
                job.canvas.finish()
            yield event


def _missing_chunks_note(image: LayerImage) -> str:
    """Return a note on missing chunks in the zarr folder of a layer; empty if none are missing."""
    from napari_fcn.io import read_image
    from napari_fcn.io.fingerprint import FileSummary

    folder = _image_folder(image)
    if folder is None or not folder.is_dir():
        return ""
    try:
        file = read_image(folder)
    except ImageError:  # not an image that the package reads: the layer was read in another way
        return ""
    return FileSummary.of(file).note if tuple(file.data.shape) == image.shape else ""


def _image_folder(image: LayerImage) -> Path | None:
    """Return the path of an image, also of a zarr array that was passed to napari; None if it has none."""
    root = getattr(getattr(image.data, "store", None), "root", None)
    if image.path:
        return Path(image.path)
    return root / image.data.path if isinstance(root, Path) else None


def _events(session: Session, job: LayerJob, meta: Callable[[], ResultMeta]) -> Iterator[Event]:
    if not job.paths:
        return session.predict(job.visible)
    from napari_fcn.runs.writer import RunWriter

    writer = RunWriter(job.paths, job.overwrite, protection=job.protection)
    plan = session.plan() if job.visible is None else session.live_plan()
    return writer.run(session, meta(), plan, partial(session.predict, job.visible))


def warm_up(model: Path, loaded: ModelCache) -> Iterator[None]:
    """Load torch and a model and run it on the smallest image, so that the first real run starts at once."""
    preload_layer_modules()
    yield
    from napari_fcn.session import Session

    checkpoint = loaded.load(model)
    spec = checkpoint.info.spec
    blank = np.zeros((spec.channels, *spec.minimum), np.uint8)
    axes = LayerImage("", blank, ("c", *"zyx"[-spec.ndim :]), False).axes(spec.ndim)
    session = Session(blank, checkpoint, axes)
    for _ in session.predict():
        yield
