"""Response times of the window: reported without limits, because they depend on the machine."""

import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from gui.docks import Dock
from qtpy.QtCore import QTimer

BEAT = 5  # milliseconds between two ticks


@pytest.fixture
def report(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    def tell(name: str, value: float) -> None:
        record_property(name, round(float(value), 1))
        with capsys.disabled():
            sys.stdout.write(f"\n  {name}: {value:.1f} ")

    return tell


def test_the_window_stays_responsive_during_a_run(dock: Dock, report: Callable[..., None]) -> None:
    dock.viewer.add_image(np.random.default_rng(0).integers(0, 255, (4096, 4096), np.uint8), name="large")
    assert dock.widget.source.model.model is not None
    dock.widget.controller.warm_up(dock.widget.source.model.model.path)  # what the dock does when it opens
    dock.wait_for_rest()
    dock.viewer.screenshot(flash=False)  # the image itself is drawn
    ticks: list[float] = []
    starts: list[float] = []
    timer = QTimer()
    timer.setInterval(BEAT)
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    dock.widget.controller.changed.connect(
        lambda state: starts.append(time.monotonic()) if state.done and not starts else None
    )
    timer.start()
    begin = time.monotonic()
    dock.run()
    timer.stop()
    gaps = np.diff([begin, *ticks])
    filling = np.diff([tick for tick in ticks if tick > starts[0] + 0.5] or [0, 0])  # once the layers are there
    report("first tile (ms)", 1e3 * (starts[0] - begin))
    report("worst gap of the GUI thread (ms)", 1e3 * gaps.max())
    report("worst gap while tiles arrive (ms)", 1e3 * filling.max(initial=0))
    report("gap that 99 % are below (ms)", 1e3 * float(np.quantile(gaps, 0.99)))
    assert len(ticks) > 3  # the event loop went round between tiles


def test_the_dock_opens_fast(dock: Dock, report: Callable[..., None]) -> None:
    dock.viewer.window.remove_dock_widget(dock.widget)
    begin = time.monotonic()
    widget = type(dock.widget)(dock.viewer)
    dock.viewer.window.add_dock_widget(widget)
    report("opening the dock (ms)", 1e3 * (time.monotonic() - begin))
    dock.wait(lambda: not widget.controller.is_busy)
