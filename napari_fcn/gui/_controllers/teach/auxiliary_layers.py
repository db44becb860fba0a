"""The layers in addition to the overlay: changes by a candidate, uncertainty, next place, compared predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.gui._layers import (
    METADATA_KEY,
    OVERLAY_KINDS,
    BoxLayer,
    PartialLayer,
    bring_into_view,
    find_layer,
    region_on_layer,
    show_changes,
    show_prediction,
    show_uncertainty,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.events import CandidateEvaluated, RegionSuggested
    from napari_fcn.geometry import Region
    from napari_fcn.gui._controllers.teach.messages import ComparisonReady, UncertaintyReady


class AuxiliaryLayers:
    """The auxiliary layers of a session; each is created at its first use, then reused.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer to which the layers are added.
    source : Image
        The image.
    channel : int, optional
        Axis of the image layer that holds its channels; None if it has none or they are colours.
    like : Layer
        A layer on the axes of the results.
    """

    def __init__(self, viewer: ViewerModel, source: Image, channel: int | None, like: Layer) -> None:
        self._viewer, self._source, self._channel, self._like = viewer, source, channel, like
        self._changes = PartialLayer(viewer, source, channel, "changes")
        self._uncertainty = PartialLayer(viewer, source, channel, "uncertainty")
        self._compared = PartialLayer(viewer, source, channel, "compared")
        self._next_place = BoxLayer(viewer, source, channel, "next place")
        self._pair: ComparisonReady | None = None
        self._hidden: list[Layer] = []

    @property
    def layers(self) -> list[Layer]:
        """The layers that exist."""
        partial_layers = (self._changes, self._uncertainty, self._compared, self._next_place)
        return [partial.layer for partial in partial_layers if partial.layer is not None]

    def go_to(self, region: Region) -> None:
        """Move sliders and camera to a region of the image axes."""
        origin = self._like.metadata[METADATA_KEY]["origin"]
        target = region_on_layer(region, self._channel).shift([-a for a in origin])
        bring_into_view(self._viewer, self._like, target, self._source)

    def show_changes(self, ready: CandidateEvaluated, classes: Sequence[tuple[str, str]]) -> None:
        """Show where a candidate predicts another class."""
        show_changes(self._changes, ready.region, ready.changed, classes)

    def hide_changes(self) -> None:
        """Hide the changes."""
        self._changes.hide()

    def show_uncertainty(self, uncertainty: UncertaintyReady) -> None:
        """Show the uncertainty of the model."""
        show_uncertainty(self._uncertainty, uncertainty.region, uncertainty.values)

    def hide_uncertainty(self) -> None:
        """Hide the uncertainty."""
        self._uncertainty.hide()

    def show_place(self, suggestion: RegionSuggested) -> None:
        """Move the camera to the next place to paint, and show its receptive field as a box."""
        self.go_to(suggestion.region)
        self._next_place.show_box(suggestion.region, self._like)

    def hide_place(self) -> None:
        """Hide the box."""
        self._next_place.hide()

    def compare(self, pair: ComparisonReady) -> None:
        """Store two predictions for `show_compared`, and hide the overlay."""
        if self._pair is None:
            layers = [find_layer(self._viewer, self._source, kind) for kind in OVERLAY_KINDS]
            self._hidden = [layer for layer in layers if layer is not None and layer.visible]
        for layer in self._hidden:
            layer.visible = False
        self._pair = pair

    def show_compared(self, shown: str) -> None:
        """Show the ``"first"`` prediction, the ``"second"``, or one in each half (``"split"``)."""
        if self._pair is None:
            return
        first, second = self._pair.pictures
        pictures = {"first": first, "second": second}
        if shown == "split":
            pictures["split"] = first.copy()
            middle = first.shape[-2] // 2
            pictures["split"][..., middle:, :] = second[..., middle:, :]
            pictures["split"][..., max(0, middle - 1) : middle + 1, :] = 255
        show_prediction(self._compared, self._pair.region, np.ascontiguousarray(pictures[shown]))

    def end_comparison(self) -> None:
        """Show the overlay again."""
        if self._pair is not None:
            self._pair = None
            self._compared.hide()
            for layer in self._hidden:
                layer.visible = True
            self._hidden = []
