"""A curve of one line."""

import io
from math import nan

import pytest

from napari_fcn.cli.sparkline import BARS, can_show_bars, sparkline


def test_each_value_has_a_bar_from_the_smallest_to_the_largest() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BARS
    assert sparkline([0.2, 0.9, 0.2]) == "▁█▁"
    assert sparkline([0.5]) == sparkline([0.5, 0.5])[0] == "▁"
    assert sparkline([]) == ""


def test_many_values_are_joined_to_the_width() -> None:
    assert sparkline(list(range(800)), width=8) == BARS
    assert len(sparkline(list(range(100)))) == 24


def test_values_that_are_not_finite_are_spaces() -> None:
    assert sparkline([0, nan, 1]) == "▁ █"


class Terminal(io.StringIO):
    def __init__(self, encoding: str, is_terminal: bool) -> None:
        super().__init__()
        self.name_of_encoding, self.is_terminal = encoding, is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.name_of_encoding

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("encoding", "is_terminal", "shown"),
    [("utf-8", True, True), ("utf-8", False, False), ("ascii", True, False), ("cp1252", True, False)],
)
def test_bars_are_for_terminals_that_have_them(
    encoding: str, is_terminal: bool, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal(encoding, is_terminal))
    assert can_show_bars() is shown


def test_a_process_without_standard_error_shows_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    assert not can_show_bars()
