"""The method of napari-fcn, and variants without some of its parts."""

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


class TaughtModel:
    """A model that is taught in the same way as in the Teach dock.

    Parameters
    ----------
    name : str
        Name of the variant.
    model : str
        Shipped model to start from; empty for filters only.
    network : str
        Fine-tuning of the whole network, see `TeachSettings`.
    has_filters : bool
        Whether the features of the filter bank are added to those of the network.
    """

    def __init__(self, name: str, model: str = "nuclei", network: str = "off", has_filters: bool = True) -> None:
        self.name, self.model, self.has_filters = name, model, has_filters
        self.settings = TeachSettings(network=network, attempts=1)  # users paint again before a second evaluation

    def start(self, image: np.ndarray, classes: int) -> None:
        """Start a session on an image (planes, Y, X[, 3]); a stack is processed in 3-D."""
        colour = image.ndim == 4
        is_volume = len(image) > 1
        axes = Axes(
            ("z", "y", "x", *(["c"] if colour else [])), ("z", "y", "x")[not is_volume :], "c" if colour else None
        )
        labels = tuple(ClassLabel(f"class {k}", "#808080") for k in range(classes))
        model = None
        if self.model:
            start = Checkpoint.load(zoo.path_of(self.model))
            labels = (*start.info.classes[:2], *labels[2:])  # the first two classes are those of the model
            start = inflate_to_3d(start) if is_volume else start
            model = make_teachable(start, labels) if self.has_filters else make_teachable(start, labels, sigmas=())
        self.teaching = Teaching(image, model, axes, self.settings, labels, rgb=colour)
        self.shown = np.zeros(self.teaching.source.shape, np.uint8)
        self.view = Region.whole(self.shown.shape)

    def fit(self, labels: Labels) -> None:
        """Train on all strokes, and store the prediction."""
        for event in self.teaching.run_round(Samples.from_labels(labels), self.view):
            if isinstance(event, TileDone):
                self.shown[event.region.slices] = event.probabilities.argmax(0)

    def predict(self) -> Labels:
        """Return the class index of each pixel."""
        return self.shown.copy()


class LinearFitOnly(TaughtModel):
    """The prediction after the linear fit of the head, without its refinement."""

    def __init__(self) -> None:
        super().__init__("instant-only")

    def fit(self, labels: Labels) -> None:
        """Train on all strokes, and store the prediction before the head is refined."""
        events = self.teaching.run_round(Samples.from_labels(labels), self.view)
        for event in events:
            if isinstance(event, Heartbeat) and event.task == "settle":
                break
            if isinstance(event, TileDone):
                self.shown[event.region.slices] = event.probabilities.argmax(0)
        events.close()


METHODS: Mapping[str, Callable[[], Method]] = {
    "napari-fcn": lambda: TaughtModel("napari-fcn", network="automatic"),
    "head-only": lambda: TaughtModel("head-only"),
    "instant-only": LinearFitOnly,
    "hypercolumn-only": lambda: TaughtModel("hypercolumn-only", has_filters=False),
    "filters-only": lambda: TaughtModel("filters-only", model=""),
}
