"""Opening a teaching session: the model, the project, and the corrections in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import InputAtRiskError, ProjectError, in_dock
from napari_fcn.gui._controllers.teach.progress import TeachProgress
from napari_fcn.gui._layers import Stroke
from napari_fcn.gui._timers import MakeTimer, single_shot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.teach.project_writer import ProjectWriter
    from napari_fcn.gui._layers import Canvas, LayerImage
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.settings import TeachSettings
    from napari_fcn.storage import Inputs
    from napari_fcn.teaching import SavedSession

CLOSE_TIMEOUT = 30.0  # seconds to wait until a project that was just closed is written


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """The engine of a new session, and the content of its project.

    Attributes
    ----------
    teaching : Teaching
        The engine.
    strokes : int
        Number of the last stroke in the project.
    corrections : tuple of Stroke
        Corrections in the project.
    project : str
        The project folder; empty if there is none.
    notes : tuple of str
        Sentences for the user.
    progress : TeachProgress
        Scores, losses and notes in the project.
    """

    teaching: Any
    strokes: int = 0
    corrections: tuple[Stroke, ...] = ()
    project: str = ""
    notes: tuple[str, ...] = ()
    progress: TeachProgress = field(default_factory=TeachProgress)


def _teach(*arguments: Any, **options: Any) -> Any:
    from napari_fcn.teaching import Teaching

    return Teaching(*arguments, **options)


def _create(factory: SessionFactory, checkpoint: Checkpoint | None) -> Any:
    from pathlib import Path

    from napari_fcn.io.image_paths import zarr_root
    from napari_fcn.project import ImageRecord, Project, default_path, fingerprint

    image, axes = factory.image, factory.axes
    record = ImageRecord(
        name=image.name,
        path=image.path,
        shape=image.shape,
        dtype=str(image.data.dtype),
        axes=axes,
        scale=factory.binding.calibration.scale,
        units=factory.binding.calibration.units,
        origin=factory.binding.calibration.origin,
        rgb=factory.binding.rgb,
        hash=fingerprint(image.data),
    )
    classes = checkpoint.info.classes if checkpoint else ()
    file = zarr_root(Path(image.path)) if image.path and "://" not in image.path else image.path
    path = default_path(image.name, file)
    factory.inputs().check_file(path)
    return Project.create(path, record, checkpoint, factory.settings, classes)


def _reopen(folder: Path) -> Any:
    from napari_fcn.project import Project

    return Project.open(folder)


def _saved_session(project: Any) -> SavedSession:
    from napari_fcn.project.replay import saved_session

    return saved_session(project)


@dataclass(frozen=True, slots=True)
class Factories:
    """Constructors of the engine and of projects; tests use others."""

    teach: Callable[..., Any] = _teach
    create: Callable[[SessionFactory, Any], Any] = _create
    reopen: Callable[[Any], Any] = _reopen
    saved_session: Callable[[Any], SavedSession] = _saved_session
    timer: MakeTimer = single_shot


@dataclass(frozen=True, slots=True, eq=False)
class SessionFactory:
    """Creates a session from the input that was read from the layers.

    Attributes
    ----------
    image : LayerImage
        The image.
    binding : Binding
        How the model reads it.
    model : Path or None
        The model file; None for filters only, or a new network.
    settings : TeachSettings
        How to learn.
    canvas : Canvas
        The arrays of the overlay; the GUI thread writes to them.
    writer : ProjectWriter
        Writes the project.
    models : ModelCache
        Models in memory.
    folder : Path or None
        The project to resume; None for a new one.
    factories : Factories
        Constructors of the engine and of projects.
    new : str
        Family of a new network to start from; empty: none.
    """

    image: LayerImage
    binding: Binding
    model: Path | None
    settings: TeachSettings
    canvas: Canvas
    writer: ProjectWriter
    models: ModelCache
    folder: Path | None = None
    factories: Factories = Factories()
    new: str = ""

    @property
    def axes(self) -> Axes:
        """Role of each axis of the image."""
        return self.binding.axes

    def inputs(self, project: str = "") -> Inputs:
        """Return the files that must not be overwritten: the image, the model, and the project if one is given."""
        from napari_fcn.io.run_inputs import collect_inputs

        models = [] if self.model is None else [self.model]
        return collect_inputs({"the image": self.image.files, "the first model": models, "the project": [project]})

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of the image axes."""
        return self.axes.image_shape(self.image.shape)

    def open(self) -> OpenedSession:
        """Return the engine, with a project if one can be written.

        Raises
        ------
        FcnError
            If the image, the model or the device is not suitable, or the project cannot be resumed.
        """
        from napari_fcn.inference.device import leave_a_core

        leave_a_core()
        if self.folder is not None:
            return self._reopen(self.folder)
        checkpoint = self._model()
        try:
            project = self.factories.create(self, checkpoint)
        except (ProjectError, InputAtRiskError, OSError) as error:
            return OpenedSession(self._teaching(checkpoint), notes=(f"Nothing is saved. {in_dock(error)}",))
        return self._with_project(project, checkpoint, (), TeachProgress())

    def _model(self) -> Checkpoint | None:
        """Return the first model; None for filters only."""
        if self.new:
            from napari_fcn.teaching.finetune import NEW_PREFIX, initial_model

            shape = [self.shape[position] for position in self.axes.space_positions]
            channels = self.axes.channels(self.image.shape)
            return initial_model(f"{NEW_PREFIX}{self.new}", shape, self.binding.ratios, channels, self.settings.seed)
        return None if self.model is None else self.models.load(self.model)

    def _reopen(self, folder: Path) -> OpenedSession:
        self.writer.wait(CLOSE_TIMEOUT)
        project = self.factories.reopen(folder)
        try:
            project.check_image(self.image.data)
            corrections = tuple(Stroke(region, labels) for region, labels in project.corrections())
            checkpoint, progress = project.checkpoint(), TeachProgress.read(project.entries())
        except BaseException:
            project.close()
            raise
        return self._with_project(project, checkpoint, corrections, progress)

    def _with_project(
        self, project: Any, checkpoint: Checkpoint | None, corrections: tuple[Stroke, ...], progress: TeachProgress
    ) -> OpenedSession:
        """Return an engine that records to a project; the project is closed if the engine cannot be made."""
        try:
            self.writer.open(project, progress)
            saved, settings = self.factories.saved_session(project), project.settings()
            teaching = self._teaching(checkpoint, settings=settings, record=self.writer.record, saved=saved)
        except BaseException:
            self.writer.close()
            raise
        self.writer.history(teaching.history.event())
        return OpenedSession(teaching, project.strokes, corrections, str(project.path), project.notes, progress)

    def _teaching(self, checkpoint: Checkpoint | None, **more: Any) -> Any:
        bound, more = self.binding, {"settings": self.settings, **more}
        return self.factories.teach(
            self.image.data, checkpoint, bound.axes, rgb=bound.rgb, spacing=bound.ratios, **more
        )
