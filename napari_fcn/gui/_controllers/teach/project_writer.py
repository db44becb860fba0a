"""What becomes of a project while a model is taught: everything is written by one thread, in order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ProjectError

if TYPE_CHECKING:
    from napari_fcn.events import HistoryChanged
    from napari_fcn.gui._layers import Stroke
    from napari_fcn.gui._threads import Writer
    from napari_fcn.project import Project


class ProjectWriter:
    """Hands what happens in one lesson to the thread that writes.

    Parameters
    ----------
    writer : Writer
        Calls the project, so that the disk keeps nobody waiting.
    """

    def __init__(self, writer: Writer) -> None:
        self._wait = writer.queue.wait
        self._put = writer.queue.put  # which lives longer than the writer does
        self._project: Project | None = None
        self._is_closed = False

    def open(self, project: Project) -> None:
        """Write to this project from now on; if nobody wants that any more, let it go."""
        self._project = project
        if self._is_closed:
            self.close()

    def stroke(self, stroke: Stroke) -> None:
        """Write a stroke."""
        if self._project is not None:
            self._put(partial(self._project.stroke, stroke.region, stroke.labels))

    def record(self, kind: str, **facts: Any) -> None:
        """Write something else that happened; what `Teaching` calls."""
        project = self._project
        if project is None:
            return
        if kind == "pin":
            self._put(partial(project.pin, facts["name"], facts["region"], facts["classes"]))
        else:
            self._put(partial(project.record, kind, **facts))

    def history(self, event: HistoryChanged) -> None:
        """Write what is new in the history."""
        if self._project is not None:
            self._put(partial(self._project.record_history, event))

    def wait(self, seconds: float) -> None:
        """Wait until all is written, but not longer than this; not for the GUI thread."""
        self._wait(seconds)

    def close(self) -> None:
        """Close the project when all is written; whatever the disk refused is tried once more."""
        self._is_closed = True
        project, self._project = self._project, None
        if project is not None:
            self._put(partial(_close, project))


@dataclass(slots=True, eq=False, weakref_slot=True)  # Qt holds what it calls by a weak reference
class ProjectGuard:
    """The journal that is written in now, for whoever closes it when the window has gone without a word."""

    writer: ProjectWriter | None = None

    def close(self, *_: object) -> None:
        """Let go of the project, once all is written."""
        if self.writer is not None:
            self.writer.close()


def _close(project: Project) -> None:
    try:
        project.close()
    except ProjectError as error:
        raise ProjectError(f"{project.path.name} could not be written to its end. {error}") from error
