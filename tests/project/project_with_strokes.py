"""A teaching session without a window: the engine, and the project that it writes to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from teaching_examples import CLASSES, halves, run, whole

from napari_fcn.events import HistoryChanged
from napari_fcn.geometry import Axes, Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.project import ImageRecord, Project, fingerprint
from napari_fcn.project.replay import Replayed, replay, saved_session
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import SavedSession, Teaching

SHAPE = (48, 64)
IMAGE = halves(SHAPE)


class Lesson:
    """A project and the engine that writes to it, as a session uses them."""

    def __init__(
        self,
        folder: Path,
        model: Checkpoint | None,
        asked: TeachSettings,
        image: npt.NDArray[Any] = IMAGE,
        axes: Axes | None = None,
        scale: tuple[float, ...] = (),
    ) -> None:
        self.image, self.axes = image, axes or Axes.guess(image.shape, image.ndim)
        shape = self.axes.image_shape(image.shape)
        record = ImageRecord("cells", "", image.shape, image.dtype.name, self.axes, scale, hash=fingerprint(image))
        self.labels = np.zeros(shape, np.uint8)
        sizes = dict(zip(self.axes.names, scale, strict=True)) if scale else {}
        self.spacing = tuple(sizes[name] for name in self.axes.space) if sizes else ()
        self.begin(Project.create(folder, record, model, asked, CLASSES))

    def begin(self, project: Project, saved: SavedSession | None = None) -> None:
        self.project = project
        self.teaching = Teaching(
            self.image,
            project.checkpoint(),
            self.axes,
            project.settings(),
            spacing=self.spacing,
            record=project.record,
            saved=saved or SavedSession(project.history()),
        )
        project.record_history(self.teaching.history.event())

    def reopen(self) -> None:
        self.project.close()
        project = Project.open(self.project.path)
        self.labels = np.asarray(project.labels())
        self.begin(project, saved_session(project))

    def paint(self, labels: npt.NDArray[np.uint8]) -> None:
        """Paint what differs, as one stroke."""
        places = np.argwhere(labels != self.labels)
        if len(places):
            region = Region(tuple(map(int, places.min(0))), tuple(int(i) + 1 for i in places.max(0)))
            self.labels = labels.copy()
            self.project.stroke(region, labels[region.slices])

    def teach(self, labels: npt.NDArray[np.uint8], until: Callable[[Any], bool] = lambda event: False) -> list[Any]:
        """Paint and learn; return the events up to one at which it is closed."""
        self.paint(labels)
        found = []
        events = self.teaching.run_round(
            Samples.from_labels(self.labels), whole(self.labels.shape), self.project.strokes
        )
        for event in events:
            found.append(event)
            if until(event):
                break
        events.close()
        return found

    def do(self, events: Any) -> None:
        """Do what restores or renames, and let project and labels follow."""
        for event in run(events):
            if isinstance(event, HistoryChanged):
                self.project.record_history(event)
        present = self.teaching.history.present.number
        self.labels = np.asarray(self.project.labels_at(present))

    def repeated(self) -> list[Replayed]:
        """Return the commits made again from the closed project."""
        self.project.close()
        with Project.open_read_only(self.project.path) as project:
            return list(replay(project, self.image))
