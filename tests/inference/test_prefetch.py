"""Prefetching changes only the time."""

import threading
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.inference.prefetch import prefetch


@given(st.lists(st.integers()), st.integers(0, 5))
def test_items_come_in_order_with_their_results(items: list[int], ahead: int) -> None:
    assert list(prefetch(lambda n: 2 * n, items, ahead)) == [(n, 2 * n) for n in items]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_at_most_so_many_items_are_read_ahead(ahead: int) -> None:
    asked: list[int] = []

    def items() -> object:
        for n in range(20):
            asked.append(n)
            yield n

    for n, _ in prefetch(str, items(), ahead):  # type: ignore[arg-type, var-annotated]
        assert len(asked) <= n + 1 + ahead


def test_reading_happens_in_another_thread() -> None:
    threads = {thread for _, thread in prefetch(lambda _: threading.get_ident(), range(5))}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_error_of_reading_arrives_at_its_item() -> None:
    def read(n: int) -> int:
        if n == 2:
            raise OSError("bad sector")
        return n

    stream = prefetch(read, range(5))
    assert [next(stream), next(stream)] == [(0, 0), (1, 1)]
    with pytest.raises(OSError, match="bad sector"):
        next(stream)


def test_an_error_of_the_items_is_passed_on() -> None:
    def items() -> object:
        yield 1
        raise ValueError("no more tiles")

    with pytest.raises(ValueError, match="no more tiles"):
        list(prefetch(str, items()))  # type: ignore[arg-type]


def test_closing_early_cancels_waiting_items_and_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    cancelled: list[bool] = []
    may_go_on = threading.Event()
    before = threading.active_count()
    cancel = Future.cancel

    def watched(future: Future[int]) -> bool:
        cancelled.append(cancel(future))
        if len(cancelled) == 5:
            may_go_on.set()
        return cancelled[-1]

    def slow(n: int) -> int:
        if n > 0:
            may_go_on.wait(60)
        read.append(n)
        return n

    monkeypatch.setattr(Future, "cancel", watched)
    stream = prefetch(slow, range(1000), ahead=5)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert read in ([0], [0, 1])  # the second may have been under way
    assert threading.active_count() == before
