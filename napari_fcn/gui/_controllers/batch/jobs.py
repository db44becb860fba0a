"""The work on one image of a batch, on the worker thread."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.errors import in_dock
from napari_fcn.events import FallbackTaken, ObjectsStep, ResultsDone, RunDone, RunPlanned, TileDone
from napari_fcn.gui._controllers.segment.worker import run_segmentation
from napari_fcn.gui._layers import Canvas, ColourTile, OpenedFiles, open_files, preload_layer_modules, to_layer_axes
from napari_fcn.storage import NO_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry import Axes, Region
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.segment.worker import LayerJob
    from napari_fcn.settings import PredictSettings
    from napari_fcn.storage import Inputs

OBJECTS = "objects"


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


@dataclass(frozen=True, slots=True)
class JobStep:
    """Part of an image is done: its share, 0..1, the seconds left if they are known, and what is done now."""

    share: float
    seconds_left: float | None = None
    task: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class JobEnded:
    """An image is done.

    Attributes
    ----------
    axes : Axes
        Role of each of its axes.
    classes : tuple of (str, str)
        Name and colour of each class.
    end : RunDone or None
        None if all results were there already.
    notes : tuple of str
        Sentences for the user.
    opened : Opened or None
        What is to be shown besides probabilities and classes.
    """

    axes: Axes
    classes: tuple[tuple[str, str], ...]
    end: RunDone | None
    notes: tuple[str, ...]
    opened: OpenedFiles | None = None


def run_file(task: FileJob, loaded: ModelCache) -> Iterator[JobStep | JobEnded]:
    """Yield how far an image in a file is, and its end.

    Raises
    ------
    FcnError
        If image, model, device and files do not fit each other.
    """
    from napari_fcn.io import ImageLocation, read_image
    from napari_fcn.io.fingerprint import missing_chunks_note
    from napari_fcn.runs.job import OutputPolicy, RunJob, run_job
    from napari_fcn.runs.writer import open_session

    checkpoint = loaded.load(task.model)
    image = read_image(task.image, memory=task.settings.memory)
    log = _EventLog([in_dock(note) for note in (*image.notes, missing_chunks_note(image)) if note])
    session = open_session(image, checkpoint, task.axes, task.settings)
    job = RunJob(task.image, task.out, task.targets, ImageLocation.from_file(task.image))
    terms = OutputPolicy(task.settings, resume=True, overwrite=task.replace, renew=task.replace, inputs=task.inputs)
    with closing(run_job(job, image, session, terms)) as events:  # type: ignore[type-var]  # generators can be closed
        yield from log.follow(events)
    classes = tuple((label.name, label.colour) for label in session.checkpoint.info.classes)
    yield JobEnded(session.axes, classes, log.end, tuple(log.notes))


def run_layer(job: LayerJob, classes: tuple[tuple[str, str], ...], loaded: ModelCache) -> Iterator[JobStep | JobEnded]:
    """Yield how far an image of a layer is, and its end; errors are those of `run_file`."""
    preload_layer_modules()
    log = _EventLog()
    with closing(run_segmentation(job, loaded)) as events:  # type: ignore[type-var]
        yield from log.follow(events)
    opened = None
    if OBJECTS in job.kinds and isinstance(job.canvas, HiddenCanvas):
        if OBJECTS in job.paths:
            opened = open_files(None, {OBJECTS: job.paths[OBJECTS]}, job.axes, classes, job.image.rgb)
        else:
            found = _ArrayStore.zeros(job.canvas.window.shape)
            yield from log.follow(_number(job, classes, found))
            array = to_layer_axes(found.array, None if job.image.rgb else job.axes.channel_position)
            opened = OpenedFiles(None, None, {OBJECTS: array}, job.axes, classes)
    yield JobEnded(job.axes, classes, log.end, tuple(log.notes), opened)


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


@dataclass(slots=True, eq=False)
class _EventLog:
    """What the events of one image add up to."""

    notes: list[str] = field(default_factory=list)
    end: RunDone | None = None
    _done: int = 0
    _total: int = 1
    _before: int = 0  # done by an earlier run, so not in the time that this one has taken
    _task: str = ""
    _began: float = 0.0

    def follow(self, events: Iterator[Any]) -> Iterator[JobStep]:
        for event in events:
            self._note(event)
            if isinstance(event, RunPlanned):
                self._begin(event.tiles, event.done)
            elif isinstance(event, FallbackTaken):
                self._total = event.total
            elif isinstance(event, ObjectsStep):
                if event.done == 1:
                    self._begin(event.total, 0, OBJECTS)
                self._done += 1
            elif isinstance(event, TileDone | ResultsDone | ColourTile):
                self._done += 1
            yield self._step()

    def _note(self, event: Any) -> None:
        if isinstance(event, FallbackTaken):
            self.notes.append(event.line)
        elif isinstance(event, RunDone):
            self.end = event
        if isinstance(event, RunPlanned | RunDone):
            self.notes += map(in_dock, event.notes)
        if isinstance(event, RunPlanned) and event.done:
            self.notes.append(f"{event.done} of {event.tiles} tiles were already done.")

    def _begin(self, total: int, done: int, task: str = "") -> None:
        self._total, self._done, self._before, self._task = max(1, total), done, done, task
        self._began = time.monotonic()

    def _step(self) -> JobStep:
        new = self._done - self._before
        left = (time.monotonic() - self._began) / new * (self._total - self._done) if new else None
        return JobStep(self._done / self._total, left, self._task)
