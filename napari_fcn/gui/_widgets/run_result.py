"""The result of a run: a summary, the legend, and the choice of the result layer to show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QRadioButton, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.form import WARNING, WrappingLabel
from napari_fcn.gui._widgets.model_cards import swatch
from napari_fcn.gui._widgets.text import escaped, hint

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import ClassShare, RunResult

MAX_NAME = 32  # characters of a file name in a dock of 320 px
LINK = "#4aa3df"  # readable on light and dark
KINDS = (("probabilities", "Probabilities"), ("classes", "Classes"))


def result_line(result: RunResult) -> str:
    """Return the summary of a run as rich text: model, time, device, speed, notes, files."""
    rows = [f"<b>{escaped(result.model)}</b> on {escaped(result.image)}", escaped(result.line)]
    rows += [escaped(note) for note in result.notes]
    rows += [f"Saved {link(Path(file))}" for file in result.files]
    return "<br>".join(rows)


def link(file: Path) -> str:
    """Return a link to the folder of a file, named like the file and short enough for a narrow dock."""
    name = file.name if len(file.name) <= MAX_NAME else f"{file.name[: MAX_NAME // 2]}…{file.name[-MAX_NAME // 2 :]}"
    return f"<a href='{file.absolute().parent.as_uri()}' style='color: {LINK}'>{escaped(name)}</a>"


def legend(classes: tuple[ClassShare, ...]) -> str:
    """Return a table of colours, names and shares as rich text."""
    rows = []
    for index, entry in enumerate(classes):
        name = swatch(entry.name, entry.colour) if index else escaped(entry.name)
        rows.append(f"<tr><td>{name}</td><td align='right'>&nbsp;&nbsp;{100 * entry.share:.1f} %</td></tr>")
    return f"<table>{''.join(rows)}</table>"


class RunResultPanel(QWidget):
    """Shows a finished run.

    Attributes
    ----------
    kind_chosen : Signal(str)
        The user shows ``"probabilities"`` or ``"classes"``.
    """

    kind_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line, self.legend = WrappingLabel("Result"), WrappingLabel("Classes")
        self.warning = WrappingLabel("Warning")
        self.warning.setStyleSheet(WARNING)
        self.line.setTextInteractionFlags(Qt.TextBrowserInteraction)
        self.line.setOpenExternalLinks(True)
        self.choices = QWidget()
        row = QHBoxLayout(self.choices)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Show"))
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QRadioButton] = {}
        for kind, text in KINDS:
            button = self.buttons[kind] = QRadioButton(text)
            button.setToolTip(f"Show the layer of {kind} and hide the other")
            self._group.addButton(button)
            row.addWidget(button)
        row.addStretch()
        self._group.buttonClicked.connect(self._on_clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.warning, self.choices, self.legend, self.line):
            layout.addWidget(part)

    def show_result(self, result: RunResult | None, visible: dict[str, bool]) -> None:
        """Show a result, or nothing; ``visible`` maps each result layer to whether it is visible."""
        self.choices.setVisible(bool(visible))
        if visible:
            visible_kinds = [kind for kind, is_visible in visible.items() if is_visible]
            self._group.setExclusive(len(visible_kinds) == 1)
            for kind, button in self.buttons.items():
                button.setChecked(visible_kinds == [kind])
            self._group.setExclusive(True)
        warning = "" if result is None else result.warning
        self.warning.setText(warning)
        self.warning.setVisible(bool(warning))
        self.line.set_markup("" if result is None else result_line(result))
        self.line.setToolTip("" if result is None else hint(*result.files))
        self.legend.set_markup("" if result is None else legend(result.classes))
        self.line.setVisible(result is not None)
        self.legend.setVisible(result is not None)

    def _on_clicked(self, button: QRadioButton) -> None:
        self.kind_chosen.emit(next(kind for kind, choice in self.buttons.items() if choice is button))
