"""Which session is open, and which project belongs to which choice of image and model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.gui._controllers.teach.project_writer import ProjectGuard, ProjectWriter
from napari_fcn.gui._controllers.teach.setup import TeachRequest, create_session

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.teach.layers import TeachLayers
    from napari_fcn.gui._controllers.teach.open_session import Factories
    from napari_fcn.gui._threads import Writer


@dataclass(slots=True, eq=False)
class TeachLifecycle:
    """Opens and closes sessions, one at a time.

    Attributes
    ----------
    viewer : ViewerModel
        The viewer with the images; results become layers of it.
    models : ModelCache
        Models in memory.
    writer : Writer
        The thread that writes projects.
    layers : TeachLayers or None
        The layers of the open session.
    request : TeachRequest or None
        The choice of the user from which the session was opened.
    guard : ProjectGuard
        Closes the project if the window is destroyed without notice.
    """

    viewer: ViewerModel
    models: ModelCache
    writer: Writer
    layers: TeachLayers | None = None
    request: TeachRequest | None = None
    guard: ProjectGuard = field(default_factory=ProjectGuard)
    _folders: dict[object, Path] = field(default_factory=dict)  # key of a request -> its project

    def resume(self, request: TeachRequest) -> TeachRequest:
        """Return a request with the project of the last session of the same choice, if there was one."""
        return replace(request, folder=self._folders.get(request.key))

    def open(self, request: TeachRequest, choice: TeachRequest, factories: Factories) -> TeachLayers:
        """Open a session that was started from a choice of the user.

        Raises
        ------
        FcnError
            If the model cannot run on the image.
        """
        project_writer = self.guard.writer = ProjectWriter(self.writer)
        self.layers = create_session(self.viewer, request, project_writer, self.models, factories)
        self.request = choice
        return self.layers

    def close(self) -> None:
        """Close the session; its layers stay, and pending writes are completed."""
        layers, self.layers = self.layers, None
        if layers is not None:
            layers.close()

    def remember_project(self, project: str) -> None:
        """Resume this project the next time that the same image and model are chosen."""
        if project and self.request is not None:
            self._folders[self.request.key] = Path(project)

    def forget_project(self) -> None:
        """Use a new project the next time, because this one could not be opened."""
        if self.request is not None:
            self._folders.pop(self.request.key, None)
