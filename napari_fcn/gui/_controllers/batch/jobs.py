"""Jobs of a batch, one for each image, on the worker thread."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import in_dock
from napari_fcn.events import ObjectsStep
from napari_fcn.gui._controllers.segment.worker import run_segmentation
from napari_fcn.gui._layers import Canvas, ColourTile, OpenedFiles, open_files, preload_layer_modules, to_layer_axes
from napari_fcn.runs.progress import OBJECTS, RunProgress, advance
from napari_fcn.storage import NO_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.events import RunDone, TileDone
    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.segment.worker import LayerJob
    from napari_fcn.objects import ArrayStore, ObjectRule, Separation
    from napari_fcn.settings import PredictSettings
    from napari_fcn.storage import Inputs


class HiddenCanvas(Canvas):
    """A canvas that no layer shows yet, so the worker thread may write to it; it can also keep what objects need."""

    _rule: ObjectRule | None = None

    def keep_landscape(self, rule: ObjectRule) -> None:
        """Keep the landscape of the objects, too."""
        from napari_fcn.objects import ArrayStore

        self._rule, self.landscape = rule, ArrayStore(np.zeros(self.window.shape, np.uint16))

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Store a tile and return it in colours."""
        coloured = Canvas.process_tile(self, tile, colours)
        self.put(coloured)
        if self._rule is not None:
            self.landscape.write(tile.region, self._rule.landscape(tile.probabilities, tile.distance))
        return coloured


class NoCanvas(Canvas):
    """A canvas for results that are written to files only."""

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return a tile without pixels, as progress."""
        empty, counts = np.zeros(0, np.uint8), np.zeros(len(colours), np.int64)
        return ColourTile(tile.region, empty, empty, counts, tile.done, tile.total, tile.work)


@dataclass(frozen=True, slots=True, eq=False)
class FileJob:
    """The segmentation of one image file.

    Attributes
    ----------
    image, model : Path
        The files.
    settings : PredictSettings
        Settings of the run.
    axes : tuple of str
        Names of the axes; empty: those of the file.
    out : Path
        Path next to which the unfinished run is stored.
    targets : mapping of str to Path
        Output file of each kind of result.
    replace : bool
        Whether existing results may be replaced.
    inputs : Inputs
        Files that must not be overwritten: all images of the batch, and the model.
    """

    image: Path
    model: Path
    settings: PredictSettings
    axes: tuple[str, ...]
    out: Path
    targets: Mapping[str, Path]
    replace: bool
    inputs: Inputs = NO_INPUTS


@dataclass(frozen=True, slots=True, eq=False)
class JobEnded:
    """The end of the job of one image.

    Attributes
    ----------
    axes : Axes
        Role of each image axis.
    classes : tuple of (str, str)
        Name and colour of each class.
    progress : RunProgress
        Notes and end of the run; without an end if all results existed already.
    opened : OpenedFiles or None
        Results to show in addition to probabilities and classes.
    """

    axes: Axes
    classes: tuple[tuple[str, str], ...]
    progress: RunProgress
    opened: OpenedFiles | None = None

    @property
    def end(self) -> RunDone | None:
        """The end of the run; None if all results existed already."""
        return self.progress.result

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user, as shown in a dock."""
        return tuple(map(in_dock, self.progress.notes))


def run_file(task: FileJob, loaded: ModelCache) -> Iterator[RunProgress | JobEnded]:
    """Yield the progress of a run on an image file, then its end.

    Raises
    ------
    FcnError
        If the image, the model, the device or the output files are not suitable.
    """
    from napari_fcn.io import ImageLocation, read_image
    from napari_fcn.runs.job import OutputPolicy, RunInput, RunJob, run_job
    from napari_fcn.session import Session

    checkpoint = loaded.load(task.model)
    image = read_image(task.image, memory=task.settings.memory)
    binding = image.bind(checkpoint.info.spec, task.axes)
    run_input = RunInput.of(image, Session(image.data, checkpoint, binding, task.settings))
    job = RunJob(task.image, task.out, task.targets, ImageLocation.from_file(task.image))
    policy = OutputPolicy(task.settings, resume=True, overwrite=task.replace, renew=task.replace, inputs=task.inputs)
    progress = RunProgress(notes=run_input.notes)
    with closing(run_job(job, run_input, policy)) as events:  # type: ignore[type-var]  # generators can be closed
        for event in events:
            progress = advance(progress, event, monotonic())
            yield progress
    classes = tuple((label.name, label.colour) for label in run_input.session.checkpoint.info.classes)
    yield JobEnded(binding.axes, classes, progress)


def run_layer(
    job: LayerJob, classes: tuple[tuple[str, str], ...], loaded: ModelCache
) -> Iterator[RunProgress | JobEnded]:
    """Yield the progress of a run on a layer, then its end; raises the errors of `run_file`."""
    from napari_fcn.objects import ArrayStore, ObjectRule, Separation

    preload_layer_modules()
    progress = RunProgress()
    canvas = job.canvas if OBJECTS in job.kinds and isinstance(job.canvas, HiddenCanvas) else None
    names = [name for name, _ in classes]
    rule = ObjectRule.from_class_names(names, job.axes.image, job.axes.space)
    if canvas is not None and OBJECTS not in job.paths:
        canvas.keep_landscape(rule)
    with closing(run_segmentation(job, loaded)) as events:  # type: ignore[type-var]
        for event in events:
            progress = advance(progress, event, monotonic())
            yield progress
    opened = None
    if canvas is not None:
        if OBJECTS in job.paths:
            opened = open_files(None, {OBJECTS: job.paths[OBJECTS]}, job.axes, classes, job.image.rgb)
        else:
            objects = ArrayStore(np.zeros(canvas.window.shape, np.uint32))
            numbering, separation = progress, Separation.from_settings(job.settings)
            for step in _label_objects(canvas, objects, rule, separation):
                numbering = advance(numbering, step, monotonic())
                yield numbering
            array = to_layer_axes(objects.array, None if job.image.rgb else job.axes.channel_position)
            opened = OpenedFiles(None, None, {OBJECTS: array}, job.axes, classes)
    yield JobEnded(job.axes, classes, progress, opened)


def _label_objects(
    canvas: HiddenCanvas, objects: ArrayStore, rule: ObjectRule, separation: Separation
) -> Iterator[ObjectsStep]:
    """Yield the progress of numbering the objects in the landscape of a canvas."""
    from napari_fcn.objects import ArrayStore, find_objects

    shape = objects.array.shape
    stores = (canvas.landscape, ArrayStore(np.zeros(shape, np.uint32)), objects)
    for done, total in enumerate(find_objects(*stores, shape, rule, separation), start=1):
        yield ObjectsStep(done, total)
