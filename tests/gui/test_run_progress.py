"""One recorded run gives the same notes, progress and result line on the command line, in Segment and in Batch."""

import json
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gui.clocks import LONG, ManualTimer
from gui.docks import MakeModel
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_fcn.cli import main
from napari_fcn.cli.progress import ProgressBar
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import BatchController, BatchRequest, Request, SegmentController
from napari_fcn.gui._controllers.segment import controller
from napari_fcn.gui._layers import colorize_tile
from napari_fcn.gui._timers import Clock
from napari_fcn.runs import progress as runs

COLOURS = ("#000000", "#56b4e9", "#e69f00")
NOTES = ["A note.", "1 of 4 tiles were already done.", "Memory ran out: smaller tiles.", "A late note."]
FRACTIONS = [1 / 4, 2 / 4, 2 / 8, 5 / 8, 1.0]
SECONDS_LEFT = [None, 2.0, 2 * 6.0, 3 / 4 * 3, 0.0]
LINE = "0.5 s on cpu in float32, 0.00013 Mpx/s"


def tile(done: int, total: int) -> TileDone:
    probabilities = np.zeros((3, 8, 8), np.float32)
    probabilities[1] = 1
    return TileDone(Region((0, 0), (8, 8)), probabilities, done, total)


RECORDED = (
    RunPlanned(4, (4, 4), ((0, 0), (0, 0)), "cpu", "float32", 0, ("A note.", "A note."), 1),
    tile(2, 4),
    FallbackTaken("Memory ran out: smaller tiles.", (2, 2), "cpu", "float32", 8),
    tile(5, 8),
    tile(8, 8),
    RunDone(64, 0.5, "cpu", "float32", ("A note.", "A late note.")),
)


def recorded(*_: object) -> Iterator[Any]:
    yield from RECORDED


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that advances by one second each time it is read."""
    seconds = count()
    clock = Clock(lambda: float(next(seconds)), ManualTimer)
    for module in ("napari_fcn.cli.predict", "napari_fcn.gui._controllers.batch.jobs"):
        monkeypatch.setattr(import_module(module), "monotonic", clock.now)
    return clock


def distinct(values: list[Any]) -> list[Any]:
    """Return values without consecutive repetitions."""
    return [value for value, before in zip(values, [object(), *values], strict=False) if value != before]


def test_the_command_line_shows_the_recorded_run(
    model: MakeModel,
    ticking: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown: list[runs.RunProgress] = []
    monkeypatch.setattr("napari_fcn.runs.job.run_job", recorded)
    monkeypatch.setattr(ProgressBar, "show", lambda self, progress: shown.append(progress))
    tifffile.imwrite(tmp_path / "cells.tif", np.arange(64, dtype=np.uint8).reshape(8, 8))
    command = ["predict", tmp_path / "cells.tif", "--model", model(), "--out", tmp_path / "out.npy", "--json"]
    assert main([str(part) for part in command]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["notes"] == NOTES
    assert f"{LINE} -> " in said.err
    assert distinct([progress.fraction for progress in shown]) == FRACTIONS
    assert distinct([progress.seconds_left for progress in shown]) == SECONDS_LEFT


def test_the_segment_dock_shows_the_recorded_run(
    model: MakeModel, ticking: Clock, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    def coloured(*_: object) -> Iterator[Any]:
        for event in RECORDED:
            yield colorize_tile(event, COLOURS) if isinstance(event, TileDone) else event

    viewer, steps = ViewerModel(), []
    layer = viewer.add_image(np.arange(64, dtype=np.uint8).reshape(8, 8), name="cells")
    dock = SegmentController(viewer, clock=ticking)
    monkeypatch.setattr(controller, "run_segmentation", coloured)
    monkeypatch.setattr(controller, "advance", lambda *given: steps.append(runs.advance(*given)) or steps[-1])
    dock.predict(layer, Request(model()))
    qtbot.waitUntil(lambda: not dock.state.is_running, timeout=LONG)
    result = dock.state.result
    dock.shutdown()
    qtbot.waitUntil(lambda: not dock.is_busy, timeout=LONG)
    assert (list(result.notes), result.line) == (NOTES, LINE)
    assert [entry.share for entry in result.classes] == [0.0, 1.0, 0.0]
    assert distinct([progress.fraction for progress in steps]) == FRACTIONS
    assert distinct([progress.seconds_left for progress in steps]) == SECONDS_LEFT


def test_the_batch_dock_shows_the_recorded_run(
    model: MakeModel, ticking: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr("napari_fcn.runs.job.run_job", recorded)
    tifffile.imwrite(tmp_path / "cells.tif", np.arange(64, dtype=np.uint8).reshape(8, 8))
    shown: list[runs.RunProgress] = []
    dock = BatchController(ViewerModel())
    dock._runner.yielded.connect(
        lambda events: shown.extend(event for event in events if isinstance(event, runs.RunProgress))
    )
    dock.add_files([tmp_path / "cells.tif"])
    dock.run(BatchRequest(model()))
    qtbot.waitUntil(lambda: not dock.state.is_running, timeout=LONG)
    row = dock.state.rows[0]
    qtbot.waitUntil(lambda: not dock.is_busy, timeout=LONG)
    assert (list(row.lines), row.result_line, row.seconds) == (NOTES, LINE, 0.5)
    assert distinct([progress.fraction for progress in shown]) == FRACTIONS
    assert distinct([progress.seconds_left for progress in shown]) == SECONDS_LEFT
