"""How a lesson begins: the model, the project, and what was painted in it before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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

PATIENCE = 30.0  # seconds that a project that was closed just now may take to be written


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """What a lesson begins with.

    Attributes
    ----------
    teaching : Teaching
        The engine.
    strokes : int
        How many the project holds.
    corrections : tuple of Stroke
        What was painted before.
    project : str
        The project folder; empty if there is none.
    notes : tuple of str
        Sentences for the user.
    progress : Progress
        What an earlier session has shown.
    """

    teaching: Any
    strokes: int = 0
    corrections: tuple[Stroke, ...] = ()
    project: str = ""
    notes: tuple[str, ...] = ()
    progress: TeachProgress = field(default_factory=TeachProgress)


def _teach(*what: Any, **how: Any) -> Any:
    from napari_fcn.teaching import Teaching

    return Teaching(*what, **how)


def _create(opening: SessionFactory, checkpoint: Checkpoint | None) -> Any:
    from pathlib import Path

    from napari_fcn.io.image_paths import zarr_root
    from napari_fcn.project import ImageRecord, Project, default_path, fingerprint

    image, axes = opening.image, opening.axes
    record = ImageRecord(
        name=image.name,
        path=image.path,
        shape=image.shape,
        dtype=str(image.data.dtype),
        axes=axes,
        scale=opening.binding.calibration.scale,
        units=opening.binding.calibration.units,
        origin=opening.binding.calibration.origin,
        rgb=opening.binding.rgb,
        hash=fingerprint(image.data),
    )
    classes = checkpoint.info.classes if checkpoint else ()
    file = zarr_root(Path(image.path)) if image.path and "://" not in image.path else image.path
    path = default_path(image.name, file)
    opening.inputs().check_file(path)
    return Project.create(path, record, checkpoint, opening.settings, classes)


def _reopen(folder: Path) -> Any:
    from napari_fcn.project import Project

    return Project.open(folder)


def _resume(project: Any) -> dict[str, Any]:
    from napari_fcn.project.replay import resume

    return resume(project)


@dataclass(frozen=True, slots=True)
class Factories:
    """What makes the engine and projects; tests bring their own."""

    teach: Callable[..., Any] = _teach
    create: Callable[[SessionFactory, Any], Any] = _create
    reopen: Callable[[Any], Any] = _reopen
    resume: Callable[[Any], dict[str, Any]] = _resume
    timer: MakeTimer = single_shot


@dataclass(frozen=True, slots=True, eq=False)
class SessionFactory:
    """All that a lesson needs, read from the layers before it begins.

    Attributes
    ----------
    image : LayerImage
        What is painted on.
    binding : Binding
        How the model reads it.
    model : Path or None
        The model file; None for filters only, or a new network.
    settings : TeachSettings
        How to learn.
    canvas : Canvas
        Where the answer will go; the GUI thread writes to it.
    journal : Journal
        Writes what happens.
    loaded : Loaded
        Models in memory.
    folder : Path or None
        The project to go on with; None for a new one.
    tools : Tools
        What makes the engine and projects.
    new : str
        Family of the new network to begin with; empty: none.
    """

    image: LayerImage
    binding: Binding
    model: Path | None
    settings: TeachSettings
    canvas: Canvas
    journal: ProjectWriter
    loaded: ModelCache
    folder: Path | None = None
    factories: Factories = Factories()
    new: str = ""

    @property
    def axes(self) -> Axes:
        """Role of each axis of the image."""
        return self.binding.axes

    def inputs(self, project: str = "") -> Inputs:
        """Return what must survive when something is written: the image, the model, and the project if it is named."""
        from napari_fcn.io.run_inputs import collect_inputs

        models = [] if self.model is None else [self.model]
        return collect_inputs(
            {"the image": self.image.files, "the model to begin with": models, "the project": [project]}
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image axes."""
        return self.axes.image_shape(self.image.shape)

    def open(self) -> OpenedSession:
        """Return the engine, with a project where one can be written.

        Raises
        ------
        FcnError
            If image, model and device do not fit each other, or the project cannot be gone on with.
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
        return self._with(project, checkpoint, ())

    def _model(self) -> Checkpoint | None:
        """Return the model to begin with; None for filters only."""
        if self.new:
            from napari_fcn.teaching.finetune import NEW_PREFIX, initial_model

            shape = [self.shape[position] for position in self.axes.space_positions]
            channels = self.axes.channels(self.image.shape)
            return initial_model(f"{NEW_PREFIX}{self.new}", shape, self.binding.ratios, channels, self.settings.seed)
        return None if self.model is None else self.loaded.load(self.model)

    def _reopen(self, folder: Path) -> OpenedSession:
        self.journal.wait(PATIENCE)
        project = self.factories.reopen(folder)
        try:
            project.check_image(self.image.data)
            painted = tuple(Stroke(region, labels) for region, labels in project.corrections())
            checkpoint, progress = project.checkpoint(), TeachProgress.read(project.entries())
        except BaseException:
            project.close()
            raise
        return replace(self._with(project, checkpoint, painted), progress=progress)

    def _with(self, project: Any, checkpoint: Checkpoint | None, painted: tuple[Stroke, ...]) -> OpenedSession:
        """Return an engine that writes what it does to a project; if there is none, the project is let go."""
        try:
            self.journal.open(project)
            teaching = self._teaching(checkpoint, record=self.journal.record, **self.factories.resume(project))
        except BaseException:
            self.journal.close()
            raise
        self.journal.history(teaching.history.event())
        return OpenedSession(teaching, project.strokes, painted, str(project.path), project.notes)

    def _teaching(self, checkpoint: Checkpoint | None, **more: Any) -> Any:
        bound, more = self.binding, {"settings": self.settings, **more}
        return self.factories.teach(
            self.image.data, checkpoint, bound.axes, rgb=bound.rgb, spacing=bound.ratios, **more
        )
