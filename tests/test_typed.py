"""Numbers and axes are parsed alike on the command line and in docks, with decimal points and commas."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from napari_fcn.cli import build_parser
from napari_fcn.cli.flags import add_options, collect
from napari_fcn.settings import PredictSettings, TeachSettings, TrainSettings
from napari_fcn.typed import is_ambiguous, read_axes, read_number, read_numbers


@pytest.mark.parametrize(("text", "value"), [("2.5", 2.5), ("2,5", 2.5), ("1e2", 100.0), ("1,5e-3", 0.0015)])
def test_a_comma_in_a_single_number_is_a_decimal_comma(text: str, value: float) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize("text", ["", "much", "1,234.5", "1.234,5", "1,2,3", "nan", "inf", "-inf"])
def test_a_text_that_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        read_number(text)


@pytest.mark.parametrize("text", ["1,5", "1.5", "", "x"])
def test_a_whole_number_has_no_decimals(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        read_number(text, int)


@pytest.mark.parametrize(
    "text",
    ["0.5,0.2,0.2", "0,5;0,2;0,2", "0.5;0.2;0.2", "0,5; 0,2; 0,2", "0.5, 0.2, 0.2", "0,5 0,2 0,2", "0.5×0.2×.2"],
)
def test_lists_can_be_separated_in_many_ways(text: str) -> None:
    assert read_numbers(text) == (0.5, 0.2, 0.2)


@pytest.mark.parametrize(("text", "value"), [("64", (64,)), ("64,32", (64, 32)), ("64 × 32", (64, 32)), ("", ())])
def test_lists_of_whole_numbers(text: str, value: tuple[int, ...]) -> None:
    assert read_numbers(text, int) == value


def test_commas_that_could_be_decimal_commas_are_ambiguous() -> None:
    assert [is_ambiguous(text) for text in ("0,5", "1,5,2", "0.5,2", "0,5;2", "0,5 2", "3")] == [
        True,
        True,
        *[False] * 4,
    ]


@pytest.mark.parametrize("text", ["tyx", "t,y,x", "t y x", "t, y, x", "t;y;x"])
def test_axes_are_letters_with_or_without_separators(text: str) -> None:
    assert read_axes(text) == ("t", "y", "x")


def test_axes_may_be_words() -> None:
    assert read_axes("time,y,x") == ("time", "y", "x")
    assert read_axes("Time") == ("Time",)
    assert read_axes("") == ()


@pytest.mark.parametrize(
    ("settings", "words", "name", "value"),
    [
        (PredictSettings, ["--memory", "2,5"], "memory", 2.5),
        (PredictSettings, ["--memory", "auto"], "memory", None),
        (PredictSettings, ["--tile", "64;32"], "tile", (64, 32)),
        (PredictSettings, ["--tile", "64 × 32"], "tile", (64, 32)),
        (PredictSettings, ["--tile", ""], "tile", ()),
        (TrainSettings, ["--spacing", "0,5;0,25"], "spacing", (0.5, 0.25)),
        (TrainSettings, ["--rate", "0,002"], "rate", 0.002),
        (TeachSettings, ["--keep", "0,5"], "keep", 0.5),
    ],
)
def test_flags_are_read_as_text_in_a_form(settings: type, words: list[str], name: str, value: object) -> None:
    parser = ArgumentParser()
    add_options(parser, settings)
    assert getattr(collect(settings, parser.parse_args(words)), name) == value


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["finetune", "a", "b", "--model", "m", "--out", "o", "--minutes", "1,5"], "minutes", 1.5),
        (["finetune", "a", "b", "--model", "m", "--out", "o", "--steps", "20"], "steps", 20),
        (["field", "--model", "m", "--object-size", "12,5"], "object_size", 12.5),
    ],
)
def test_other_numbers_of_commands_are_read_in_the_same_way(words: list[str], name: str, value: float) -> None:
    assert getattr(build_parser().parse_args(words, Namespace()), name) == value


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory", "much"], "“much” is not a number."),
        (["--memory", "nan"], "“nan” is not a number."),
        (["--memory", "0,01"], "0.01 is too small; the minimum is 0.1."),
        (["--tile", "big"], "“big” is not a whole number, or several with commas between."),
    ],
)
def test_a_wrong_flag_is_explained(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(["predict", "a", "--model", "m", "--out", str(Path("o")), *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
