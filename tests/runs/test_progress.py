"""The progress of a run from its events, with times as numbers."""

from dataclasses import replace

import numpy as np
import pytest

from napari_fcn.events import FallbackTaken, HeadRefined, ObjectsStep, ResultsDone, RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.runs.progress import RunProgress, advance, duration

REGION = Region((0, 0), (4, 4))
PLAN = RunPlanned(4, (4, 4), ((0, 0), (0, 0)), "cpu", "float32", 0, ("A note.", "A note."))
END = RunDone(2_000_000, 4.0, "cpu", "float32", ("A note.", "A late note."))


def tile(done: int, total: int = 4) -> TileDone:
    return TileDone(REGION, np.ones((1, 4, 4), np.float32), done, total)


def after(*events: object, seconds: float = 1.0) -> RunProgress:
    """Return the progress after events at equal intervals."""
    progress = RunProgress()
    for number, event in enumerate(events):
        progress = advance(progress, event, 100 + number * seconds)
    return progress


def test_a_run_starts_with_its_plan() -> None:
    progress = after(PLAN)
    assert (progress.done, progress.total, progress.fraction, progress.seconds_left) == (0, 4, 0.0, None)
    assert progress.plan is PLAN
    assert RunProgress().fraction == 0


@pytest.mark.parametrize("event", [tile(1), ResultsDone(REGION, {}, 1, 4)])
def test_every_kind_of_finished_tile_gives_progress_and_an_estimate(event: object) -> None:
    progress = after(PLAN, event, seconds=2)
    assert (progress.done, progress.fraction, progress.seconds_left) == (1, 0.25, 6.0)


def test_the_estimate_follows_the_work_where_tiles_differ() -> None:
    progress = after(PLAN, replace(tile(1), work=0.5), seconds=6)
    assert (progress.done, progress.fraction, progress.seconds_left) == (1, 0.5, 6.0)
    resumed = RunPlanned(10, (4, 4), ((0, 0), (0, 0)), "cpu", "float32", 0, done=8)
    progress = after(resumed, replace(tile(9, 10), work=0.75), seconds=3)
    assert (progress.fraction, progress.seconds_left) == (0.95, 1.0)


def test_between_two_events_progress_is_extrapolated_but_never_to_the_end() -> None:
    progress = after(PLAN, replace(tile(1), work=0.5), seconds=6)  # at 106
    later = progress.at(109)
    assert (later.done, later.fraction, later.seconds_left) == (1, 0.75, 3.0)
    late = progress.at(200)
    assert 0.9 < late.fraction < 1
    assert late.seconds_left is not None
    assert late.seconds_left > 0
    assert progress.at(100) == progress
    assert after(PLAN, tile(1)).at(200) == after(PLAN, tile(1))


def test_the_estimate_ignores_resumed_tiles() -> None:
    resumed = RunPlanned(10, (4, 4), ((0, 0), (0, 0)), "cpu", "float32", 0, done=8)
    progress = after(resumed, tile(9, 10), seconds=3)
    assert (progress.fraction, progress.seconds_left) == (0.9, 3.0)
    assert progress.notes == ("8 of 10 tiles were already done.",)


def test_a_fallback_changes_the_total_and_the_estimate() -> None:
    fallback = FallbackTaken("Smaller tiles.", (2, 2), "cpu", "float32", 13)
    progress = after(PLAN, tile(1), fallback)
    assert (progress.done, progress.total, progress.seconds_left) == (1, 13, 24.0)
    assert progress.notes == ("A note.", "Smaller tiles.")


def test_objects_are_a_separate_task() -> None:
    first = after(PLAN, tile(4), ObjectsStep(1, 3))
    assert (first.task, first.done, first.total, first.seconds_left) == ("objects", 1, 3, None)
    second = advance(first, ObjectsStep(2, 3), first.started + 5)
    assert (second.task, second.done, second.seconds_left) == ("objects", 2, 5.0)


def test_each_note_is_listed_once_in_the_order_of_the_events() -> None:
    assert after(PLAN, tile(4), END).notes == ("A note.", "A late note.")
    assert advance(RunProgress(notes=("Before.",)), PLAN, 0).notes == ("Before.", "A note.")


def test_the_result_line_has_time_device_precision_and_speed() -> None:
    progress = after(PLAN, tile(4), END)
    assert progress.result_line == "4 s on cpu in float32, 0.5 Mpx/s"
    assert progress.seconds_left == 0
    assert after(PLAN, tile(4)).result_line == ""


def test_class_fractions_come_from_events_that_count_pixels() -> None:
    class Counted:
        region, done, total, counts = REGION, 1, 4, np.array([3, 1])

    assert after(PLAN, Counted(), Counted()).class_fractions == (0.75, 0.25)
    assert after(PLAN, tile(1)).class_fractions == ()


def test_events_without_progress_change_nothing() -> None:
    progress = after(PLAN, tile(1))
    assert advance(progress, HeadRefined(1, 1.0), 500) is progress


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.416, "0.42 s"), (12.3, "12 s"), (185, "3:05 min"), (3725, "1:02 h"), (3599, "59:59 min")]
)
def test_durations_have_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
