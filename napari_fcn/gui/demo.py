"""A demonstration in a real window: stained tissue, the Segment dock, one click on Run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import napari
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_fcn.errors import FcnError, OutputError
from napari_fcn.gui._samples import immunohistochemistry
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.storage import unused_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_TIMEOUT_SECONDS = 300  # after which a run counts as failed
WINDOW_SIZE = (1440, 900)


def show(out: Path, model: str, close: bool) -> Iterator[str]:
    """Open napari, segment a real image, save screenshots and results into ``out``; yield messages.

    Parameters
    ----------
    out : Path
        Folder for pictures and results.
    model : str
        Name of a shipped model.
    close : bool
        Close the window when all is saved, instead of leaving it to the user.

    Raises
    ------
    FcnError
        If the run fails, or the folder cannot be written.
    """
    viewer, dock = open_window()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made: {error.strerror}. Choose another --out.") from error
    try:
        fill_in(dock, model, out)
        yield from _run(viewer, dock, out)
    except BaseException:
        viewer.close()
        raise
    if close:
        viewer.close()
    else:
        napari.run()


def open_window() -> tuple[napari.Viewer, SegmentWidget]:
    """Return a viewer with the sample image and the dock."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW_SIZE)
    for data in immunohistochemistry():
        viewer.add_layer(Layer.create(*data))
    dock = SegmentWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment (FCN)")
    viewer.reset_view()
    wait(lambda: False, 1.0)
    return viewer, dock


def fill_in(dock: SegmentWidget, model: str, out: Path) -> None:
    """Choose the model, the stain that nuclei take up if it reads no colours, and where results go.

    Raises
    ------
    FcnError
        If there is no such model in the list.
    """
    names = [dock.source.model.combo.itemText(i) for i in range(dock.source.model.combo.count())]
    if model not in names:
        raise FcnError(f"There is no model {model!r} in the list; it has {', '.join(names)}.")
    index = names.index(model)
    dock.source.model.combo.setCurrentIndex(index)
    dock.source.model.combo.activated.emit(index)
    if dock.source.model.model is not None and not dock.source.model.model.info.spec.colours:
        dock.settings.set_value(replace(dock.settings.value(), colour="haematoxylin"))
    dock.save.set_value(replace(dock.save.value(), save=("classes", "probabilities"), folder=str(out)))


def wait(is_over: object, seconds: float) -> bool:
    """Process events until a condition holds or the time is over; return whether it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        if callable(is_over) and is_over():
            return True
        time.sleep(0.01)
    return False


def _run(viewer: napari.Viewer, dock: SegmentWidget, out: Path) -> Iterator[str]:
    QTest.mouseClick(dock.run_button, Qt.MouseButton.LeftButton)
    if not wait(lambda: not dock.controller.state.is_running, RUN_TIMEOUT_SECONDS) or dock.controller.state.error:
        raise FcnError(dock.controller.state.error or f"The run has not ended after {RUN_TIMEOUT_SECONDS} s.")
    result = dock.controller.state.result
    if result is None:
        raise FcnError(dock.controller.state.message or "The run ended without a result.")
    yield f"{result.line}."
    for path in result.files:
        yield f"Wrote {path}."
    wait(lambda: False, 0.5)
    picture = unused_path(out, "window", ".png")
    viewer.screenshot(str(picture), canvas_only=False, flash=False)
    yield f"Wrote {picture}."
