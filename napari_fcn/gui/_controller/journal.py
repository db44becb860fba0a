"""What becomes of a project while a model is taught: everything is written by one thread, in order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ProjectError

if TYPE_CHECKING:
    from napari_fcn.events import HistoryChanged
    from napari_fcn.gui._jobs import Writer
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.project import Project

UNWRITTEN = {"reject"}  # what the engine tells and a project does not keep


class Journal:
    """Hands what happens to the thread that writes.

    Parameters
    ----------
    writer : Writer
        Calls the project, so that the disk keeps nobody waiting.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._project: Project | None = None

    def open(self, project: Project) -> None:
        """Write to this project from now on."""
        self._project = project

    def stroke(self, stroke: Stroke) -> None:
        """Write a stroke."""
        if self._project is not None:
            self._writer.put(partial(self._project.stroke, stroke.region, stroke.labels))

    def record(self, kind: str, **facts: Any) -> None:
        """Write something else that happened; what `Teaching` calls."""
        project = self._project
        if project is None or kind in UNWRITTEN:
            return
        if kind == "pin":
            self._writer.put(partial(project.pin, facts["name"], facts["region"], facts["classes"]))
        else:
            self._writer.put(partial(project.record, kind, **facts))

    def history(self, event: HistoryChanged) -> None:
        """Write what is new in the history."""
        if self._project is not None:
            self._writer.put(partial(self._project.record_history, event))

    def wait(self, seconds: float) -> None:
        """Wait until all is written, but not longer than this; not for the GUI thread."""
        self._writer.wait(seconds)

    def close(self) -> None:
        """Close the project when all is written; whatever the disk refused is tried once more."""
        project, self._project = self._project, None
        if project is not None:
            self._writer.put(partial(_close, project))


def _close(project: Project) -> None:
    try:
        project.close()
    except ProjectError as error:
        raise ProjectError(f"{project.path.name} could not be written to its end. {error}") from error
