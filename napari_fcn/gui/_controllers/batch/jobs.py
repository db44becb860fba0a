"""The work on one image of a batch, on the worker thread."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

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

    import numpy.typing as npt

    from napari_fcn.events import RunDone, TileDone
    from napari_fcn.geometry import Axes, Region
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.segment.worker import LayerJob
    from napari_fcn.settings import PredictSettings
    from napari_fcn.storage import Inputs


class HiddenCanvas(Canvas):
    """A canvas that no layer shows yet, so that the worker may write into it."""

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Store a tile and return how it is shown."""
        painted = Canvas.process_tile(self, tile, colours)
        self.put(painted)
        return painted


class NoCanvas(Canvas):
    """For results that go to files only."""

    def process_tile(self, tile: TileDone, colours: Sequence[str]) -> ColourTile:
        """Return that a tile is done."""
        nothing = np.zeros(0, np.uint8)
        return ColourTile(tile.region, nothing, nothing, np.zeros(len(colours), np.int64), tile.done, tile.total)


@dataclass(frozen=True, slots=True, eq=False)
class FileJob:
    """An image in a file: what is read, with which model, and what is written.

    Attributes
    ----------
    image, model : Path
        The files.
    settings : PredictSettings
        How to run.
    axes : tuple of str
        Names of the axes; empty: as the file says.
    out : Path
        Beside which unfinished work lies.
    targets : mapping of str to Path
        A file for each kind of result.
    replace : bool
        Whether results that exist may be replaced.
    inputs : Inputs
        What must survive: all images of the batch, and the model.
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
    """An image is done.

    Attributes
    ----------
    axes : Axes
        Role of each of its axes.
    classes : tuple of (str, str)
        Name and colour of each class.
    progress : RunProgress
        The notes and the end of the run, without an end if all results were there already.
    opened : OpenedFiles or None
        Results to show besides probabilities and classes.
    """

    axes: Axes
    classes: tuple[tuple[str, str], ...]
    progress: RunProgress
    opened: OpenedFiles | None = None

    @property
    def end(self) -> RunDone | None:
        """The end of the run; None if all results were there already."""
        return self.progress.result

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user, in the words of a dock."""
        return tuple(map(in_dock, self.progress.notes))


def run_file(task: FileJob, loaded: ModelCache) -> Iterator[RunProgress | JobEnded]:
    """Yield the progress of the run of an image in a file, and its end.

    Raises
    ------
    FcnError
        If image, model, device and files do not fit each other.
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
    """Yield the progress of the run of a layer, and its end; errors are those of `run_file`."""
    preload_layer_modules()
    progress = RunProgress()
    with closing(run_segmentation(job, loaded)) as events:  # type: ignore[type-var]
        for event in events:
            progress = advance(progress, event, monotonic())
            yield progress
    opened = None
    if OBJECTS in job.kinds and isinstance(job.canvas, HiddenCanvas):
        if OBJECTS in job.paths:
            opened = open_files(None, {OBJECTS: job.paths[OBJECTS]}, job.axes, classes, job.image.rgb)
        else:
            found = _ArrayStore.zeros(job.canvas.window.shape)
            numbering = progress
            for step in _number(job, classes, found):
                numbering = advance(numbering, step, monotonic())
                yield numbering
            array = to_layer_axes(found.array, None if job.image.rgb else job.axes.channel_position)
            opened = OpenedFiles(None, None, {OBJECTS: array}, job.axes, classes)
    yield JobEnded(job.axes, classes, progress, opened)


class _ArrayStore:
    """An array in memory, as a place for objects."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    @classmethod
    def zeros(cls, shape: Sequence[int]) -> Self:
        return cls(np.zeros(shape, np.uint32))

    def read(self, region: Region) -> npt.NDArray[Any]:
        return self.array[region.slices]

    def write(self, region: Region, block: npt.NDArray[Any]) -> None:
        self.array[region.slices] = block


def _number(job: LayerJob, classes: Sequence[tuple[str, str]], found: _ArrayStore) -> Iterator[ObjectsStep]:
    """Yield progress while the objects in the classes of a canvas are numbered."""
    from napari_fcn.objects import ObjectRule, find_objects

    rule = ObjectRule.from_class_names([name for name, _ in classes], job.axes.image, job.axes.space)
    stores = (_ArrayStore(job.canvas.classes), _ArrayStore.zeros(found.array.shape), found)  # type: ignore[union-attr]
    for done, total in enumerate(find_objects(*stores, found.array.shape, rule), start=1):
        yield ObjectsStep(done, total)
