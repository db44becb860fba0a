"""Opens the results of batch rows as layers, on a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_fcn.gui._layers import (
    add_image,
    add_results,
    find_layer,
    fit_view,
    open_files,
    preload_layer_modules,
    select_layer,
)
from napari_fcn.gui._threads import JobRunner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.geometry import Axes
    from napari_fcn.gui._layers import OpenedFiles

DISPLAY_ORDER = ("objects", "probabilities", "classes")  # of several results, the first is shown


@dataclass(frozen=True, slots=True, eq=False)
class SavedResults:
    """The results of one image: its axes, the name and colour of each class, and the files by kind."""

    axes: Axes
    classes: tuple[tuple[str, str], ...]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True, eq=False)
class _ResultsRead:
    number: int
    name: str
    opened: OpenedFiles


class ResultOpener(QObject):
    """Shows images and their results; adds them to the viewer from files if necessary.

    Attributes
    ----------
    opened : Signal(int)
        The result of the row with this number is shown.
    failed : Signal(Exception)
        A result could not be read.
    """

    opened = Signal(int)
    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: dict[int, Image] = {}
        self._opened_rows: set[int] = set()  # rows whose layers came from files
        self._runner = JobRunner(self)
        self._runner.yielded.connect(self._on_yielded)
        self._runner.failed.connect(self.failed)

    @property
    def is_busy(self) -> bool:
        """Whether the worker thread is alive."""
        return self._runner.is_running

    def shutdown(self) -> None:
        """Cancel reading without waiting for its end."""
        self._runner.shutdown()
        self._layers.clear()

    def image_layer(self, number: int) -> Image | None:
        """Return the layer of the image of a row, if it is in the viewer."""
        layer = self._layers.get(number)
        return layer if layer in self._viewer.layers else None

    def assign_layer(self, number: int, layer: Image) -> None:
        """Set the image layer of a row."""
        self._layers[number] = layer

    def remove_row(self, number: int) -> None:
        """Remove a row."""
        self._layers.pop(number, None)
        self._opened_rows.discard(number)

    def result_layers(self, number: int) -> list[Layer]:
        """Return the result layers of a row that are in the viewer."""
        source = self.image_layer(number)
        return [] if source is None else self._find_results(source)

    def open(self, number: int, image: Path | None, name: str, results: SavedResults) -> None:
        """Show the results of a row, from files if they are not in the viewer; ``image`` is None for a layer."""
        source = self.image_layer(number)
        if source is not None and self._has_all_layers(source, results):
            self._reveal(number, source)
            return
        files = None if source is not None else image
        rgb = source is not None and bool(source.rgb)
        read = partial(open_files, files, results.files, results.axes, results.classes, rgb)
        self._runner.start(partial(_read_results, number, name, read))

    def _has_all_layers(self, source: Image, results: SavedResults) -> bool:
        kinds = {kind.removesuffix("8") for kind in results.files}
        return all(find_layer(self._viewer, source, kind) is not None for kind in kinds)

    def _find_results(self, source: Image) -> list[Layer]:
        """Return the result layers of an image, in the order of `DISPLAY_ORDER`."""
        layers = [find_layer(self._viewer, source, kind) for kind in DISPLAY_ORDER]
        return [layer for layer in layers if layer is not None]

    def _on_yielded(self, events: Sequence[_ResultsRead]) -> None:
        for event in events:
            source = self.image_layer(event.number)
            if source is None and event.opened.image is None:  # the layer was removed in the meantime
                continue
            if source is None:
                source = self._layers[event.number] = add_image(self._viewer, event.opened, event.name)
                self._opened_rows.add(event.number)
            add_results(self._viewer, event.opened, source)
            self._reveal(event.number, source)

    def _reveal(self, number: int, source: Image) -> None:
        """Make a result visible, centre the view on it, and hide other images that were opened from files."""
        for row in self._opened_rows - {number}:
            image = self.image_layer(row)
            for layer in () if image is None else (image, *self._find_results(image)):
                layer.visible = False
        results = self._find_results(source)
        source.visible = True
        if results and not any(layer.visible for layer in results):
            results[0].visible = True
        select_layer(self._viewer, source)
        fit_view(self._viewer, source)
        self.opened.emit(number)


def _read_results(number: int, name: str, read: partial[OpenedFiles]) -> Iterator[_ResultsRead]:
    preload_layer_modules()
    yield _ResultsRead(number, name, read())
