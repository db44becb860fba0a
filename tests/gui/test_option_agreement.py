"""Python, form and command line accept the same values of every option, and reject others with the same message."""

from argparse import ArgumentError, ArgumentParser
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit

from napari_fcn.cli.flags import add_options, collect
from napari_fcn.errors import FcnError
from napari_fcn.gui._widgets.form import Field
from napari_fcn.settings import Option, OutputSettings, PredictSettings, TeachSettings, TrainSettings, options

Data: TypeAlias = st.DataObject
CLASSES = (PredictSettings, TrainSettings, TeachSettings, OutputSettings)
EVERY = [(kind, option) for kind in CLASSES for option in options(kind)]
NAMES = [f"{kind.__name__}-{option.name}" for kind, option in EVERY]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" "), max_size=12)
NUMBER_TEXT = st.text("0123456789.,; -e×auto", max_size=8)
ITEMS = {
    int: st.one_of(st.integers(), st.integers(-2, 40)),
    float: st.one_of(st.floats(), st.floats(-1, 2), st.integers(-2, 40)),
    str: TEXT,
    bool: st.booleans(),
}


def values_of(option: Option) -> st.SearchStrategy[Any]:
    """Return values of the type of an option, in its range or not, and the empty value."""
    item = ITEMS[option.item_kind]
    if option.choices:
        item = st.one_of(st.sampled_from(option.choices), st.sampled_from(["cuda:1", "cuda:x", "qq"]), item)
    if option.is_list:  # whose text is split at commas
        item = item.filter(lambda value: value != "" and "," not in str(value))
        return st.one_of(st.none(), st.lists(item, max_size=3).map(tuple))
    return st.one_of(st.none(), item)


def in_python(kind: Any, option: Option, value: Any) -> Any:
    """Return the value in a settings class, or the error."""
    try:
        return getattr(kind(**{option.name: value}), option.name)
    except FcnError as error:
        return "refused", str(error).removeprefix(f"{option.name}: ")


def after_a_flag(kind: type, option: Option, text: str) -> Any:
    """Return the value of a flag, or the error."""
    parser = ArgumentParser(exit_on_error=False)
    add_options(parser, kind)
    flag = f"--{option.name.replace('_', '-')}"
    words = f"{flag}={text}"
    if option.kind is bool:
        words = flag if text == "True" else flag.replace("--", "--no-", 1)
    try:
        return getattr(collect(kind, parser.parse_args([words])), option.name)
    except ArgumentError as error:
        return "refused", error.message


def in_a_form(option: Option, text: str) -> Any:
    """Return the value of a form, or the error that it shows."""
    field = Field(option)
    editor = field.editor
    if isinstance(editor, QCheckBox):
        editor.setChecked(text == "True")
    elif isinstance(editor, QComboBox):
        editor.setCurrentText(text)
    else:
        assert isinstance(editor, QLineEdit)
        editor.setText(text)
    found = field.value() if field.check() else ("refused", field.error_label.text())
    field.deleteLater()
    return found


def can_be_typed(option: Option, text: str) -> bool:
    """Whether a form lets the user enter a text: some editors only offer choices."""
    return not option.choices or bool(option.numbered) or (text in option.choices and not option.is_list)


@pytest.mark.parametrize(("kind", "option"), EVERY, ids=NAMES)
@given(data=st.data())
@settings(max_examples=40)
def test_python_form_and_command_line_agree_on_every_value(
    qapp: object, kind: type, option: Option, data: Data
) -> None:
    value = data.draw(values_of(option))
    text = option.format(option.default if value is None else value)
    expected = in_python(kind, option, value)
    assert after_a_flag(kind, option, text) == expected
    if can_be_typed(option, text):
        assert in_a_form(option, text) == expected


@pytest.mark.parametrize(("kind", "option"), EVERY, ids=NAMES)
@given(data=st.data())
@settings(max_examples=40)
def test_python_accepts_all_values_of_form_and_command_line(
    qapp: object, kind: type, option: Option, data: Data
) -> None:
    text = data.draw(TEXT if option.item_kind is str else NUMBER_TEXT)
    if option.kind is bool or text == "--" or not can_be_typed(option, text):  # argparse drops a lone --
        return
    found = in_a_form(option, text)
    assert after_a_flag(kind, option, text) == found
    if not (isinstance(found, tuple) and found[:1] == ("refused",)):
        assert in_python(kind, option, found) == found
