"""The list of classes, if classes are removed while the user types a name or chooses a colour."""

from collections.abc import Sequence
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog

from napari_fcn.gui._controllers import PaintedClass
from napari_fcn.gui._teach_panels.classes import ClassList

CLASSES = tuple(PaintedClass(name, colour) for name, colour in (("a", "#111111"), ("b", "#222222"), ("c", "#333333")))


@pytest.fixture
def classes(qtbot: QtBot) -> ClassList:
    shown = ClassList()
    qtbot.addWidget(shown)
    shown.show()
    shown.show_classes(CLASSES, 1)
    return shown


@pytest.fixture
def signals(classes: ClassList) -> list[Any]:
    signals: list[Any] = []
    for signal in (classes.named, classes.coloured):
        signal.connect(lambda *what: signals.append(what))
    return signals


def type_name(qtbot: QtBot, classes: ClassList, index: int) -> None:
    field = classes.rows[index].name
    field.setFocus()
    qtbot.keyClicks(field, "typed")


@pytest.mark.parametrize("left", [CLASSES[:1] + CLASSES[2:], CLASSES[:1]])
def test_a_typed_name_is_discarded_with_its_removed_class(
    classes: ClassList, signals: list[Any], qtbot: QtBot, left: Sequence[PaintedClass]
) -> None:
    type_name(qtbot, classes, 1)
    classes.show_classes(left, 1)
    qtbot.keyClick(classes.rows[1].name, Qt.Key_Return)
    assert not signals
    assert [row.name.text() for row in classes.rows[: len(left)]] == [entry.name for entry in left]


def test_a_name_being_typed_survives_updates_of_its_class(classes: ClassList, signals: list[Any], qtbot: QtBot) -> None:
    type_name(qtbot, classes, 2)
    classes.show_classes((*CLASSES[:2], PaintedClass("c", "#333333", 17)), 1)
    qtbot.keyClick(classes.rows[2].name, Qt.Key_Return)
    assert [index for index, _ in signals] == [2]


@pytest.mark.parametrize(("left", "count"), [(CLASSES, 1), (CLASSES[:1] + CLASSES[2:], 0), (CLASSES[:1], 0)])
def test_a_chosen_colour_applies_only_to_its_class(
    classes: ClassList,
    signals: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    left: Sequence[PaintedClass],
    count: int,
) -> None:
    def choose(*_: object) -> QColor:
        classes.show_classes(left, 1)
        return QColor("#cc79a7")

    monkeypatch.setattr(QColorDialog, "getColor", choose)
    classes.rows[1].swatch.click()
    assert signals == [(1, "#cc79a7")] * count
