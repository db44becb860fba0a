"""Forms for settings classes: one row for each option, with validation and help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.text import hint, one_line
from napari_fcn.settings import Option, options

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

S = TypeVar("S")

ALARM = "color: white; background: #9c2a00; border-radius: 3px; padding: 4px;"  # readable on light and dark
WARNING = "color: black; background: #e6b800; border-radius: 3px; padding: 4px;"  # readable on light and dark
LONG_WORD = 24  # characters that fit next to the label of a row
BREAK = "\u200b"  # zero-width space: a line may be broken here
NO_BREAK = "\u2060"  # word joiner: a line may not be broken here
UNIT_SPACE = re.compile(r"(?<=\d) (?=(?:px|Mpx|[nµm]?m|m?s|min|h|GiB|%)(?!\w))")


class Field(QWidget):
    """One option: its editor and, below it, the error in the entry.

    Attributes
    ----------
    edited : Signal()
        The user changed the value.
    """

    edited = Signal()

    def __init__(self, option: Option, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.option = option
        self.editor = self._editor()
        self.editor.setToolTip(hint(option.help))
        self.editor.setAccessibleName(option.label)
        self.editor.setAccessibleDescription(option.help)
        self.error_label = WrappingLabel(f"{option.label}: error")
        self.error_label.setStyleSheet(ALARM)
        self.error_label.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.editor)
        layout.addWidget(self.error_label)
        self.setFocusProxy(self.editor)
        self.set_value(option.default)

    def value(self) -> Any:
        """Return the value.

        Raises
        ------
        ValueError
            If the text is not a value of the option; the message is a sentence for the user.
        """
        if isinstance(self.editor, QCheckBox):
            return self.option.check(self.editor.isChecked())
        if not isinstance(self.editor, QComboBox):
            return self.option.parse(self.editor.text())
        if self.editor.isEditable():
            return self.option.parse(self.editor.currentText())
        return self.option.check(self.editor.currentData())

    def set_value(self, value: Any) -> None:
        """Show a value."""
        if isinstance(self.editor, QCheckBox):
            self.editor.setChecked(bool(value))
        elif isinstance(self.editor, QComboBox):
            index = next((n for n in range(self.editor.count()) if self.editor.itemData(n) == value), 0)
            if self.editor.isEditable():
                self.editor.setCurrentText(self.option.format(value))
            else:
                self.editor.setCurrentIndex(index)
        else:
            self.editor.setText(self.option.format(value))
        self.check()

    def set_choices(self, choices: Sequence[tuple[str, Any]]) -> None:
        """Offer these (text, value) pairs to choose from."""
        value = self._value_or_default()
        old = self.editor
        self.editor = _combo(choices)
        self.editor.setToolTip(old.toolTip())
        self.editor.setAccessibleName(old.accessibleName())
        self.editor.setAccessibleDescription(old.accessibleDescription())
        self.layout().replaceWidget(old, self.editor)
        self.setTabOrder(old, self.editor)
        self.setFocusProxy(self.editor)
        old.hide()
        old.deleteLater()
        self.set_value(value)
        self._connect(self.editor)

    def check(self) -> bool:
        """Show the error in the entry, and return whether there is none."""
        try:
            self.value()
        except ValueError as error:
            self.error_label.setText(str(error))
            self.error_label.show()
            return False
        self.error_label.hide()
        return True

    def _value_or_default(self) -> Any:
        return self.value() if self.check() else self.option.default

    def _editor(self) -> Any:
        if self.option.kind is bool:
            editor: Any = QCheckBox()
        elif self.option.is_list and self.option.choices:
            editor = _combo([(", ".join(kinds) or "nothing", kinds) for kinds in self.option.combinations])
        elif self.option.choices:
            editor = _combo([(choice, choice) for choice in self.option.choices], bool(self.option.numbered))
        elif self.option.word:
            editor = _combo([("", None), (self.option.word, self.option.word)], is_editable=True)
            editor.lineEdit().setPlaceholderText(self.option.empty)
        else:
            editor = QLineEdit()
            editor.setPlaceholderText(self.option.empty if self.option.default in (None, ()) else "")
        self._connect(editor)
        return editor

    def _connect(self, editor: Any) -> None:
        if isinstance(editor, QCheckBox):
            editor.toggled.connect(self._on_edited)
        elif isinstance(editor, QComboBox):
            editor.currentTextChanged.connect(self._on_edited)
        else:
            editor.textChanged.connect(self._on_edited)

    def _on_edited(self, _: object = None) -> None:
        self.check()
        self.edited.emit()


class Collapsible(QWidget):
    """Content under a heading that opens and closes it; the labels of its forms have one width."""

    def __init__(self, title: str, *content: QWidget) -> None:
        super().__init__()
        self._title = title
        self._forms = [part for part in content if isinstance(part, Form)]
        self.heading = QPushButton()
        self.heading.setCheckable(True)
        self.heading.setStyleSheet("text-align: left;")
        self.heading.setAccessibleName(title)
        self.inside = QWidget()
        inner = QVBoxLayout(self.inside)
        inner.setContentsMargins(0, 0, 0, 0)
        for part in content:
            inner.addWidget(part)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.heading)
        outer.addWidget(self.inside)
        self.heading.toggled.connect(self.set_open)
        self.set_open(False)

    def set_open(self, is_open: bool) -> None:
        """Show the content, or hide it."""
        self.heading.setChecked(is_open)
        self.heading.setText(f"{'▾' if is_open else '▸'} {self._title}")
        if is_open:
            align_labels(self._forms)
        self.inside.setVisible(is_open)


class Form(QWidget, Generic[S]):
    """All options of a settings class, one row each.

    Parameters
    ----------
    settings : type
        The settings class.
    parent : QWidget, optional
        Qt parent.
    without : collection of str
        Options to leave out.

    Attributes
    ----------
    edited : Signal()
        The user changed a value.
    """

    edited = Signal()

    def __init__(self, settings: type[S], parent: QWidget | None = None, without: Collection[str] = ()) -> None:
        super().__init__(parent)
        self._settings = settings
        self.fields = {option.name: Field(option, self) for option in options(settings) if option.name not in without}
        self.rows = QFormLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        for field in self.fields.values():
            label = QLabel(field.option.label)
            label.setToolTip(hint(field.option.help))
            label.setBuddy(field)
            self.rows.addRow(label, field)
            field.edited.connect(self.edited)

    def value(self) -> S:
        """Return the settings; raise ValueError, with a message for the user, if an entry is not valid."""
        values = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.value()
            except ValueError as error:
                raise ValueError(f"{field.option.label}: {error}") from error
        return self._settings(**values)

    def set_value(self, settings: S) -> None:
        """Show settings."""
        for name, field in self.fields.items():
            field.set_value(getattr(settings, name))


def align_labels(forms: Sequence[Form[Any]]) -> None:
    """Give the labels of stacked forms one width, so that their fields form one column."""
    rows = [form.rows for form in forms]
    items = [row.itemAt(index, QFormLayout.LabelRole) for row in rows for index in range(row.rowCount())]
    labels = [item.widget() for item in items if item is not None]
    width = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setMinimumWidth(width)


class WrappingLabel(QLabel):
    """Text that wraps, within a word only if that is long, and can be copied; screen readers call it ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._source_text = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self.setAccessibleName(name)

    def setText(self, text: str) -> None:
        """Show plain text as one paragraph."""
        self.set_lines(text)

    def set_lines(self, *lines: str) -> None:
        """Show plain texts, one line each."""
        self._source_text = "\n".join(lines)
        self.setTextFormat(Qt.PlainText)
        super().setText(breakable("\n".join(map(one_line, lines))))

    def set_markup(self, markup: str) -> None:
        """Show rich text; foreign text in it must be `escaped`."""
        self._source_text = markup
        self.setTextFormat(Qt.RichText)
        super().setText(breakable(markup))

    def text(self) -> str:
        """Return the shown text, without added break points."""
        return self._source_text


def breakable(text: str) -> str:
    """Return a text with break points in long words, such as paths, and none in ``0.25 µm/px`` and other short ones.

    A label cannot be narrower than its longest word, and would push a dock out of the window. Tags of rich text stay
    as they are.
    """
    parts = re.split(r"(<[^>]*>|\s+)", UNIT_SPACE.sub("\u00a0", text))
    return "".join(part if part[:1] == "<" else _with_break_points(part) for part in parts)


def _with_break_points(word: str) -> str:
    if len(word) < LONG_WORD:
        return re.sub(r"(?<=\S)[/-](?=\S)", f"\\g<0>{NO_BREAK}", word)
    word = re.sub(r"([/\\_.-])", f"\\1{BREAK}", word)
    return re.sub(rf"([^{BREAK}&;]{{{LONG_WORD}}})(?=[^{BREAK}&;])", f"\\1{BREAK}", word)


def _combo(choices: Sequence[tuple[str, Any]], is_editable: bool = False) -> QComboBox:
    combo = QComboBox()
    combo.setEditable(is_editable)
    combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(5)  # at least: a dock with a scroll bar is narrow
    for text, value in choices:
        combo.addItem(one_line(text), value)
    return combo
