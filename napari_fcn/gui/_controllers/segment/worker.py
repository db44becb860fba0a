"""The work of the Segment dock, on the worker thread: the engine's events, with tiles already coloured."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import RunDone, RunPlanned, TileDone
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
    """What is on screen of a layer, now: the GUI thread says so, and the worker asks before each tile.

    Attributes
    ----------
    region : Region
        On the image axes.
    """

    region: Region

    def __call__(self) -> Region:
        return self.region


@dataclass(frozen=True, slots=True, eq=False)
class LayerJob:
    """All that a run needs, read from the layers before it starts.

    Attributes
    ----------
    image : LayerImage
        What to segment.
    binding : Binding
        How the model reads it.
    model : Path
        The model file.
    settings : PredictSettings
        How to run.
    visible : VisibleRegion, optional
        The part on screen, whose tiles come first, in small tiles; None where no layer shows the result before the end.
    canvas : Canvas or StoredCanvas
        Where the answer will go.
    paths : mapping of str to Path
        A file for each kind of result to be written.
    overwrite : bool
        Whether files that exist may be replaced.
    protection : Protection
        What must survive.
    kinds : tuple of str
        What is asked for, whether it is written to files or only shown.
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
    """Yield the plan, each tile as it is shown, and the end.

    Raises
    ------
    PixelsReplacedError
        If the pixels of the image are not the same at the end: no result is of one moment.
    FcnError
        If image, model, device and files do not fit each other.
    """
    from napari_fcn.runs.writer import describe
    from napari_fcn.session import Session

    checkpoint = loaded.load(job.model)
    session = Session(job.image.data, checkpoint, job.binding, job.settings)
    meta = partial(describe, session, job.image.path or job.image.name, job.settings)
    colours = [label.colour for label in session.checkpoint.info.classes]
    job.protection.check_inputs(*job.paths.values(), *job.canvas.paths.values())
    before = pixel_digest(job.image.data)
    with closing(job.canvas), closing(_events(session, job, meta)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, TileDone):
                yield job.canvas.process_tile(event, colours)
                if event.done == event.total and pixel_digest(job.image.data) != before:
                    raise pixels_replaced_error(job.image.name)  # before the files get their names
                continue
            if isinstance(event, RunPlanned):
                job.canvas.prepare(event.tile, meta)
                notes = job.image.notes if job.paths else ()
                event = replace(event, notes=(*event.notes, *notes, *filter(None, [_missing_chunks_note(job.image)])))
            elif isinstance(event, RunDone):
                job.canvas.finish()
            yield event


def _missing_chunks_note(image: LayerImage) -> str:
    """Return a sentence on the chunks that are missing in the zarr folder that a layer shows; "" if none are."""
    from napari_fcn.io import read_image
    from napari_fcn.io.fingerprint import FileSummary

    folder = _image_folder(image)
    if folder is None or not folder.is_dir():
        return ""
    try:
        file = read_image(folder)
    except ImageError:  # a folder of something else: what the layer shows was read in another way
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
    """Load torch and a model and run it on almost nothing, so that the first real run answers at once."""
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
