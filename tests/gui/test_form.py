from dataclasses import dataclass

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit

from napari_fcn.gui._widgets.form import BREAK, Collapsible, Form, WrappingLabel, breakable
from napari_fcn.settings import OutputSettings, PredictSettings, Settings, TrainSettings, option, options


@dataclass(frozen=True, slots=True)
class Bounded(Settings):
    """Settings with a range."""

    part: float = option(0.5, "Part", "A part of the whole.", minimum=0.0, maximum=1.0)


@pytest.fixture
def form(qtbot: QtBot) -> Form[PredictSettings]:
    form = Form(PredictSettings)
    qtbot.addWidget(form)
    form.show()
    return form


@pytest.mark.parametrize("settings", [PredictSettings, TrainSettings, Bounded])
def test_an_untouched_form_gives_the_defaults(qtbot: QtBot, settings: type) -> None:
    form = Form(settings)
    qtbot.addWidget(form)
    assert form.value() == settings()


def test_settings_set_in_the_form_are_returned(form: Form[PredictSettings]) -> None:
    settings = PredictSettings("cuda:1", "float32", tile=(256, 128), channel=2, memory=1.5)
    form.set_value(settings)
    assert form.value() == settings


def test_each_option_has_its_kind_of_editor_and_its_help(qtbot: QtBot) -> None:
    form = Form(TrainSettings)
    qtbot.addWidget(form)
    kinds = {"target": QComboBox, "invert": QCheckBox, "epochs": QLineEdit}
    assert {name: type(form.fields[name].editor) for name in kinds} == kinds
    for declared in options(TrainSettings):
        editor = form.fields[declared.name].editor
        assert declared.help in editor.toolTip()
        assert editor.accessibleName() == declared.label


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("tile", "256", (256,)),
        ("tile", "256, 128", (256, 128)),
        ("tile", "64×32", (64, 32)),
        ("tile", "", ()),
        ("memory", "2.5", 2.5),
        ("memory", "auto", None),
        ("channel", " 1 ", 1),
    ],
)
def test_typed_entries_are_parsed(
    form: Form[PredictSettings], qtbot: QtBot, name: str, typed: str, value: object
) -> None:
    qtbot.keyClicks(form.fields[name].editor, typed)
    assert getattr(form.value(), name) == value
    assert not form.fields[name].error_label.isVisible()


@pytest.mark.parametrize(
    ("name", "typed", "complaint"),
    [
        ("tile", "big", "“big” is not a whole number, or several with commas between."),
        ("tile", "0", "0 is too small; the minimum is 1."),
        ("memory", "much", "“much” is not a number."),
        ("memory", "0.01", "0.01 is too small; the minimum is 0.1."),
    ],
)
def test_an_invalid_entry_shows_an_error_next_to_it(
    form: Form[PredictSettings], qtbot: QtBot, name: str, typed: str, complaint: str
) -> None:
    field = form.fields[name]
    qtbot.keyClicks(field.editor, typed)
    assert field.error_label.isVisible()
    assert field.error_label.text() == complaint
    with pytest.raises(ValueError, match=f"{field.option.label}: "):
        form.value()
    field.editor.clear()
    assert not field.error_label.isVisible()


def test_a_value_that_is_too_large_is_reported(qtbot: QtBot) -> None:
    form = Form(Bounded)
    qtbot.addWidget(form)
    form.fields["part"].editor.setText("2")
    with pytest.raises(ValueError, match=r"2 is too large; the maximum is 1.0."):
        form.value()


def test_choices_can_be_set_later(form: Form[PredictSettings], qtbot: QtBot) -> None:
    field = form.fields["channel"]
    field.set_choices([("auto", None), ("red", 0), ("green", 1)])
    with qtbot.waitSignal(form.edited):
        qtbot.keyClicks(field.editor, "g")
    assert form.value().channel == 1
    field.set_choices([("auto", None)])
    assert form.value().channel is None


def test_a_numbered_choice_can_be_typed(form: Form[PredictSettings], qtbot: QtBot) -> None:
    field = form.fields["device"]
    assert form.value().device == "auto"
    field.editor.lineEdit().selectAll()
    qtbot.keyClicks(field.editor, "cuda:1")
    assert form.value().device == "cuda:1"
    qtbot.keyClicks(field.editor, "x")
    assert field.error_label.text() == "“cuda:1x” is not one of auto, cpu, cuda, mps or cuda:N."


def test_a_collapsible_opens_by_mouse_and_keyboard(qtbot: QtBot) -> None:
    form = Form(Bounded)
    fold = Collapsible("Advanced", form)
    qtbot.addWidget(fold)
    fold.show()
    assert not form.isVisible()
    qtbot.mouseClick(fold.heading, Qt.LeftButton)
    assert form.isVisible()
    qtbot.keyClick(fold.heading, Qt.Key_Space)
    assert not form.isVisible()


def test_long_words_wrap_and_text_returns_them_unchanged(qtbot: QtBot) -> None:
    path = "/data/" + "a_long_name" * 12 + "x" * 200 + "/image.tif"
    label = WrappingLabel("Error")
    qtbot.addWidget(label)
    label.setText(f"There is no <b>{path}</b> &amp; that is it.")
    assert label.text() == f"There is no <b>{path}</b> &amp; that is it."
    assert label.minimumSizeHint().width() < 300
    assert breakable(path).replace(BREAK, "") == path
    assert "&amp;" in breakable("a" * 100 + "&amp;" + "b" * 100)
    assert breakable("<a href='file:///a/very/long/link/indeed/it/is'>x</a>") == (
        "<a href='file:///a/very/long/link/indeed/it/is'>x</a>"
    )


@pytest.mark.parametrize("text", ["256 × 256 px · uint16 · 0.25 µm/px", "2-D · 1 channel · dice 0.89 · BSD-3-Clause"])
def test_short_words_and_units_are_not_broken(qtbot: QtBot, text: str) -> None:
    label = WrappingLabel("Facts")
    qtbot.addWidget(label)
    label.setText(text)
    parts = [part.strip() for part in text.split("·")]
    widest = max(label.fontMetrics().horizontalAdvance(part.split(" × ")[-1]) for part in parts)
    assert label.text() == text
    assert label.minimumSizeHint().width() >= widest


def test_fields_of_stacked_forms_form_one_column(qtbot: QtBot) -> None:
    settings, save = Form(PredictSettings), Form(OutputSettings)
    fold = Collapsible("Advanced", settings, save)
    qtbot.addWidget(fold)
    fold.show()
    qtbot.mouseClick(fold.heading, Qt.LeftButton)
    QApplication.processEvents()
    assert len({field.x() for form in (settings, save) for field in form.fields.values()}) == 1


def test_an_object_size_is_typed_or_auto_is_chosen(form: Form[PredictSettings]) -> None:
    field = form.fields["object_size"]
    assert field.editor.lineEdit().placeholderText() == "not resampled"
    assert form.value().object_size is None
    field.editor.setCurrentIndex(1)
    assert form.value().object_size == "auto"
    field.editor.setCurrentText("42,5")
    assert form.value().object_size == 42.5
    form.set_value(PredictSettings(object_size=30))
    assert field.editor.currentText() == "30"
    form.set_value(PredictSettings())
    assert form.value() == PredictSettings()
    field.editor.setCurrentText("large")
    assert "not a number or auto" in field.error_label.text()
