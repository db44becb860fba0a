"""Tiles are written in order in the background, and errors are raised."""

import threading

import pytest

from napari_fcn.inference.background_writer import BackgroundWriter


def test_everything_is_written_in_order_on_another_thread() -> None:
    seen: list[tuple[int, bool]] = []
    behind = BackgroundWriter(
        lambda number: seen.append((number, threading.current_thread() is threading.main_thread()))
    )
    for number in range(5):
        behind.put(number)
    behind.wait()
    assert seen == [(number, False) for number in range(5)]
    behind.close()


def test_to_put_something_does_not_wait_for_its_own_end() -> None:
    go, began = threading.Event(), threading.Event()

    def write() -> None:
        began.set()
        assert go.wait(60)

    behind = BackgroundWriter(write)
    behind.put()
    assert began.wait(60)
    go.set()
    behind.close()


def test_an_error_is_raised_once_by_the_next_call() -> None:
    behind = BackgroundWriter(lambda: 1 / 0)
    behind.put()
    with pytest.raises(ZeroDivisionError):
        behind.put()
    behind.put()
    with pytest.raises(ZeroDivisionError):
        behind.wait()
    behind.wait()
    behind.close()


def test_to_close_lets_the_last_write_end() -> None:
    seen: list[int] = []
    behind = BackgroundWriter(seen.append)
    behind.put(1)
    behind.close()
    assert seen == [1]
