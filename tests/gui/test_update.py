import numpy as np
from gui.clocks import turn
from pytestqt.qtbot import QtBot

from napari_fcn.events import CandidateEvaluated, Change
from napari_fcn.geometry import Region
from napari_fcn.gui._controllers import TeachState
from napari_fcn.gui._controllers.teach.messages import PaintedClass
from napari_fcn.gui._controllers.teach.state import CandidateState
from napari_fcn.gui._teach_panels.candidate import CandidateCard


def test_long_changes_are_readable_in_a_narrow_dock(qtbot: QtBot) -> None:
    region = Region((100, 200), (140, 260))
    change = Change(region, 12_345, 0, 1)
    changed = np.ones(region.shape, np.uint8)
    ready = CandidateEvaluated(0.8, 0.9, (), True, "It is better.", (change, change), region, changed)
    classes = (
        PaintedClass("endoplasmic reticulum with ribosomes", "#000000"),
        PaintedClass("mitochondria and what touches them", "#56b4e9"),
    )
    card = CandidateCard(("K", "Shift+K", "H"))
    qtbot.addWidget(card)
    card.resize(260, 300)
    card.show()
    card.show_update(TeachState(phase="open", classes=classes, update=CandidateState(ready, "pending")), ("y", "x"))
    turn(qtbot)
    changes = card.change_list
    width = changes.viewport().width()
    for row in range(changes.count()):
        box = changes.visualItemRect(changes.item(row))
        assert box.width() <= width
        assert box.height() >= 2 * changes.fontMetrics().height()
    assert "mitochondria" in changes.item(0).toolTip()
