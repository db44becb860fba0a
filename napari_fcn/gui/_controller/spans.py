"""How far a model sees along the axes of a stack or movie that are not on screen."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.gui._layers import displayed_axes, read, shown_index

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controller.catalogue import ModelEntry
    from napari_fcn.gui._controller.state import Request
    from napari_fcn.nets import NetSpec

WORDS = {"t": "frame", "z": "plane", "y": "row", "x": "column"}


@dataclass(frozen=True, slots=True)
class Span:
    """What a model sees along one axis at the place where its slider stands.

    Attributes
    ----------
    axis : int
        Of the viewer.
    name : str
        As t or z.
    at, first, last : int
        Where the slider stands, and the first and last pixel that decide about the answer there, from 0.
    length : int
        Of the image.
    """

    axis: int
    name: str
    at: int
    first: int
    last: int
    length: int

    @property
    def sentence(self) -> str:
        """What the dock says."""
        word = WORDS.get(self.name, f"step along {self.name}")
        if self.first == self.last:
            return f"At {word} {self.at} the model sees this {word} only."
        plural = word.replace("step", "steps") if " " in word else f"{word}s"
        return f"At {word} {self.at} the model sees {plural} {self.first} to {self.last} (of 0 to {self.length - 1})."


def spans(viewer: ViewerModel, layer: Image, request: Request | None, model: ModelEntry) -> tuple[Span, ...]:
    """Return what a model sees along each of its axes that a slider moves along.

    Nothing where the image is resampled for the model, since its field has another length then; nothing before torch
    is loaded either, which takes a second and is done by the worker.
    """
    if "torch" not in sys.modules or (request is not None and request.settings.resample != "off"):
        return ()
    image, spec = read(layer), model.info.spec
    try:
        axes = image.axes(spec.ndim, request.axes if request else (), spec.time)
    except ValueError:
        return ()
    if len(axes.space) != spec.ndim:
        return ()
    hidden = set(range(layer.ndim)) - set(displayed_axes(viewer, layer))
    places = [(own, name, axes.names.index(name)) for own, name in enumerate(axes.space)]
    index, shape, offset = shown_index(viewer, layer), image.shape, viewer.dims.ndim - layer.ndim
    found = []
    for own, name, place in places:
        phases = _phases(model.info.spec.twin(own)) if place in hidden else ()
        if phases:
            at, length = index[place], shape[place]
            before, after = phases[at % len(phases)]
            found.append(Span(offset + place, name, at, max(0, at - before), min(length - 1, at + after), length))
    return tuple(found)


def _phases(twin: NetSpec) -> tuple[tuple[int, int], ...]:
    """Return pixels before and after, for each phase of the grid; none if the network looks at everything."""
    from napari_fcn.errors import ModelError
    from napari_fcn.fields.theoretical import anatomy

    try:
        (phases,) = anatomy(twin).phases
    except ModelError:
        return ()
    return phases
