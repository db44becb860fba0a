"""Our own method, and what becomes of it when parts are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import Heartbeat, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.learning.annotations import Samples
from napari_fcn.models import zoo
from napari_fcn.models.adapt import inflate_to_3d, make_teachable
from napari_fcn.models.card import ClassLabel
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import Teaching

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.rivals import Method

    Labels = np.ndarray


class Taught:
    """A model that is taught as the dock does it.

    Parameters
    ----------
    name : str
        Of the variant.
    model : str
        Shipped model to start from; empty for filters only.
    network : str
        What becomes of whole networks, see `TeachSettings`.
    has_filters : bool
        Whether a filter bank stands beside the network.
    """

    def __init__(self, name: str, model: str = "nuclei", network: str = "off", has_filters: bool = True) -> None:
        self.name, self.model, self.has_filters = name, model, has_filters
        self.settings = TeachSettings(network=network, attempts=1)  # people paint on before a second judgement

    def start(self, image: np.ndarray, classes: int) -> None:
        """Open an image (planes, Y, X[, 3]); a stack is filtered across its planes."""
        colour = image.ndim == 4
        is_volume = len(image) > 1
        axes = Axes(
            ("z", "y", "x", *(["c"] if colour else [])), ("z", "y", "x")[not is_volume :], "c" if colour else None
        )
        labels = tuple(ClassLabel(f"class {k}", "#808080") for k in range(classes))
        model = None
        if self.model:
            start = Checkpoint.load(zoo.path_of(self.model))
            labels = (*start.info.classes[:2], *labels[2:])  # people keep its background and take its object for theirs
            start = inflate_to_3d(start) if is_volume else start
            model = make_teachable(start, labels) if self.has_filters else make_teachable(start, labels, sigmas=())
        self.teaching = Teaching(image, model, axes, self.settings, labels, rgb=colour)
        self.shown = np.zeros(self.teaching.source.shape, np.uint8)
        self.view = Region.whole(self.shown.shape)

    def learn(self, labels: Labels) -> None:
        """Learn from all strokes, and keep what is shown of it."""
        for event in self.teaching.run_round(Samples.from_labels(labels), self.view):
            if isinstance(event, TileDone):
                self.shown[event.region.slices] = event.probabilities.argmax(0)

    def answer(self) -> Labels:
        """Return the class of each pixel."""
        return self.shown.copy()


class Instant(Taught):
    """The answer that is there at once, without the second look at the strokes."""

    def __init__(self) -> None:
        super().__init__("instant-only")

    def learn(self, labels: Labels) -> None:
        """Learn from all strokes, and keep what is shown of it before the head looks again."""
        events = self.teaching.run_round(Samples.from_labels(labels), self.view)
        for event in events:
            if isinstance(event, Heartbeat) and event.task == "settle":
                break
            if isinstance(event, TileDone):
                self.shown[event.region.slices] = event.probabilities.argmax(0)
        events.close()


METHODS: Mapping[str, Callable[[], Method]] = {
    "napari-fcn": lambda: Taught("napari-fcn", network="automatic"),
    "head-only": lambda: Taught("head-only"),
    "instant-only": Instant,
    "hypercolumn-only": lambda: Taught("hypercolumn-only", has_filters=False),
    "filters-only": lambda: Taught("filters-only", model=""),
}
