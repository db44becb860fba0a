"""A viewer with the Segment dock, used by mouse and keyboard."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gui.clocks import LONG
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from napari_fcn.gui._controllers import RunResult
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.settings import PredictSettings

MakeModel = Callable[..., Path]  # (ndim, channels, classes)


@dataclass
class Dock:
    """A viewer with the Segment dock, used by mouse and keyboard."""

    viewer: Viewer
    widget: SegmentWidget
    qtbot: QtBot

    def click(self, button: Any) -> None:
        self.qtbot.mouseClick(button, Qt.LeftButton)

    def wait(self, condition: Callable[[], Any]) -> None:
        self.qtbot.waitUntil(condition, timeout=LONG)

    def wait_for_end(self) -> None:
        self.wait(lambda: not self.widget.controller.state.is_running)

    def wait_for_rest(self) -> None:
        self.wait(lambda: not self.widget.controller.is_busy)

    def run(self) -> RunResult:
        """Click on Run, wait for the end, and return the result."""
        self.click(self.widget.run_button)
        assert self.widget.controller.state.is_running, self.widget.message.text()
        self.wait_for_end()
        result = self.widget.controller.state.result
        assert result is not None, self.widget.error.text()
        return result

    def start_long_run(self) -> None:
        """Start a run of about a thousand tiles, and return when the first are finished."""
        self.viewer.add_image(np.zeros((1024, 1024), np.uint8), name="long")
        self.widget.settings.set_value(PredictSettings(tile=(32,)))
        self.click(self.widget.run_button)
        self.wait(lambda: self.widget.controller.state.done > 2)

    def layer(self, kind: str) -> Any:
        """Return the result layer of the chosen image."""
        return self.widget.controller.result_layer(self.widget.source.image.layer, kind)
