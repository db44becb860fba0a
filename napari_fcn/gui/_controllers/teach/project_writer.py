"""Writing a project while a model is taught: one thread writes everything, in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ProjectError
from napari_fcn.gui._controllers.teach.progress import KIND, TeachProgress

if TYPE_CHECKING:
    from napari_fcn.events import HistoryChanged
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.gui._threads import Writer
    from napari_fcn.project import Project


class ProjectWriter:
    """Passes the strokes and events of one session to the writer thread.

    Parameters
    ----------
    writer : Writer
        The writer thread, so that no other thread waits for the disk.

    Attributes
    ----------
    recorded : TeachProgress
        The progress that is written already.
    """

    def __init__(self, writer: Writer) -> None:
        self._wait = writer.queue.wait
        self._put = writer.queue.put  # the queue lives longer than the writer
        self._project: Project | None = None
        self._is_closed = False
        self.recorded = TeachProgress()

    def open(self, project: Project, recorded: TeachProgress) -> None:
        """Write to this project from now on; closes it if the session has been closed in the meantime."""
        self._project, self.recorded = project, replace(recorded, saved_at=0.0)
        if self._is_closed:
            self.close()

    def progress(self, progress: TeachProgress) -> None:
        """Write the scores, losses and notes that the project does not have yet."""
        facts = progress.changes_since(self.recorded)
        if facts:
            self.record(KIND, **facts)
            self.recorded = progress

    def stroke(self, stroke: Stroke) -> None:
        """Write a stroke."""
        if self._project is not None:
            self._put(partial(self._project.stroke, stroke.region, stroke.labels))

    def record(self, kind: str, **facts: Any) -> None:
        """Write any other entry; `Teaching` calls it."""
        project = self._project
        if project is None:
            return
        if kind == "pin":
            self._put(partial(project.pin, facts["name"], facts["region"], facts["classes"]))
        else:
            self._put(partial(project.record, kind, **facts))

    def history(self, event: HistoryChanged) -> None:
        """Write the new commits of a history."""
        if self._project is not None:
            self._put(partial(self._project.record_history, event))

    def wait(self, seconds: float) -> None:
        """Wait until everything is written, at most this long; not for the GUI thread."""
        self._wait(seconds)

    def close(self) -> None:
        """Close the project when everything is written; failed writes are tried once more."""
        self._is_closed = True
        project, self._project = self._project, None
        if project is not None:
            self._put(partial(_close, project))


@dataclass(slots=True, eq=False, weakref_slot=True)  # Qt keeps weak references to slots
class ProjectGuard:
    """The writer of the open project, to be closed if the window is destroyed without notice."""

    writer: ProjectWriter | None = None

    def close(self, *_: object) -> None:
        """Close the project when everything is written."""
        if self.writer is not None:
            self.writer.close()


def _close(project: Project) -> None:
    try:
        project.close()
    except ProjectError as error:
        raise ProjectError(f"{project.path.name} could not be written completely. {error}") from error
