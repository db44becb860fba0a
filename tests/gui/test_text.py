"""Foreign text in the docks: names of layers, models, classes and projects are shown as plain text."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gui.clocks import turn
from napari.viewer import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QApplication, QComboBox, QLabel, QLineEdit, QScrollArea, QToolTip, QWidget

from napari_fcn.events import CandidateEvaluated, Change, PinScore
from napari_fcn.geometry import Region
from napari_fcn.gui import field, segment, teach
from napari_fcn.gui._batch_panels.table import detail
from napari_fcn.gui._controllers import CheckResult, ClassShare, PaintedClass, Row, RunResult, TeachState, model_catalog
from napari_fcn.gui._controllers.teach.state import CandidateState
from napari_fcn.gui._field_panels.text import check_text
from napari_fcn.gui._teach_panels.candidate import CandidateCard
from napari_fcn.gui._teach_panels.classes import ClassList
from napari_fcn.gui._teach_panels.learning import latency_text
from napari_fcn.gui._teach_panels.pins import PinList
from napari_fcn.gui._widgets.dock import WIDTH, Dock
from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.gui._widgets.model_cards import card, card_line, swatch
from napari_fcn.gui._widgets.run_result import legend, result_line
from napari_fcn.gui._widgets.text import css, escaped, hint, one_line
from napari_fcn.gui.batch import BatchWidget
from napari_fcn.gui.field import FieldWidget
from napari_fcn.gui.segment import SegmentWidget
from napari_fcn.gui.teach import TeachWidget
from napari_fcn.models.card import ClassLabel, ModelCard
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec

EVIL = '<img src="x.png"><h1>&amp;L</h1>'
TURNED = "a\u202eb\nc\td\u2066e"


@pytest.fixture
def evil_model(tmp_path: Path) -> Path:
    """Return a model file whose card contains only markup."""
    spec = NetSpec(ndim=2, channels=1, classes=3, width=4, depth=1)
    info = plain_recipe("evil", spec, "made for a test")
    classes = tuple(ClassLabel(f"{EVIL} {k}", label.colour) for k, label in enumerate(info.classes))
    about = ModelCard(EVIL, EVIL, EVIL, EVIL, ({"name": EVIL, "licence": EVIL},), {EVIL: 0.5}, EVIL)
    path = tmp_path / "evil.safetensors"
    Checkpoint.of(spec.build(torch.Generator().manual_seed(0)), replace(info, classes=classes, card=about)).save(path)
    return path


def tooltips_in(whole: QWidget) -> Iterator[str]:
    for widget in (whole, *whole.findChildren(QWidget)):
        yield widget.toolTip()
        if isinstance(widget, QComboBox):
            yield from (str(widget.itemData(k, Qt.ToolTipRole) or "") for k in range(widget.count()))
        if isinstance(widget, QAbstractItemView) and widget.model() is not None:
            model = widget.model()
            for row in range(model.rowCount()):
                for column in range(widget.columnCount() if hasattr(widget, "columnCount") else 1):
                    yield str(model.index(row, column).data(Qt.ToolTipRole) or "")


def drawn_as_markup(whole: QWidget) -> list[str]:
    """Return the labels and tooltips of a dock in which a foreign tag would be drawn."""
    found = []
    for label in whole.findChildren(QLabel):
        text, form = QLabel.text(label), label.textFormat()
        is_markup = form == Qt.RichText or (form == Qt.AutoText and Qt.mightBeRichText(text))
        if is_markup and ("<img" in text or "<h1" in text):
            found.append(text)
    found += [tip for tip in tooltips_in(whole) if Qt.mightBeRichText(tip) and ("<img" in tip or "<h1" in tip)]
    return found


@pytest.fixture(params=[SegmentWidget, BatchWidget, TeachWidget, FieldWidget], ids=lambda dock: dock.__name__)
def whole(
    request: pytest.FixtureRequest,
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    evil_model: Path,
) -> Iterator[Dock]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for module in (segment, teach, field):
        monkeypatch.setattr(module, "WARM_UP_AFTER", 10**8)
    viewer = make_napari_viewer()
    viewer.add_labels(np.ones((40, 48), np.uint8), name=EVIL)
    viewer.add_image(np.zeros((40, 48), np.uint8), name=EVIL)
    widget = request.param(viewer)
    qtbot.addWidget(widget)
    widget.source.model.open_file(evil_model)
    yield widget
    qtbot.waitUntil(lambda: not widget.controller.is_busy, timeout=30_000)


def run(whole: Any) -> None:
    if isinstance(whole, TeachWidget):
        whole.start()
    elif isinstance(whole, FieldWidget):
        whole._on_check("border")
    else:
        if isinstance(whole, BatchWidget):
            whole.save.fields["save"].set_value(())
            whole.controller.add_layers(whole.controller.images())
        whole.run()


def test_foreign_tags_are_drawn_as_text_in_every_dock(whole: Any, qtbot: QtBot) -> None:
    seen: list[str] = []
    whole.controller.changed.connect(lambda _: seen.extend(drawn_as_markup(whole)))
    turn(qtbot)
    seen += drawn_as_markup(whole)
    run(whole)
    is_over = {
        TeachWidget: lambda: whole.controller.state.is_open and not whole.controller.is_busy,
        FieldWidget: lambda: bool(whole.controller.state.check_results),
        BatchWidget: lambda: whole.controller.state.summary is not None,
        SegmentWidget: lambda: whole.controller.state.result is not None,
    }[type(whole)]
    qtbot.waitUntil(is_over, timeout=60_000)
    if isinstance(whole, BatchWidget):
        whole.table.selectRow(0)
    if isinstance(whole, TeachWidget):
        whole.controller.stop()
    turn(qtbot)
    assert not [label.text() for label in whole.findChildren(QLabel) if label.textFormat() == Qt.AutoText]
    assert not [*seen, *drawn_as_markup(whole)]
    texts = " ".join(label.text() for label in whole.findChildren(WrappingLabel))
    assert "img" in texts, "the name is not shown at all"


def test_foreign_text_is_escaped_in_markup(evil_model: Path) -> None:
    entry = model_catalog.read_entry(evil_model)
    result = RunResult(EVIL, EVIL, EVIL, (ClassShare(EVIL, EVIL, 0.5),) * 2, (EVIL,), (f"/tmp/{EVIL}",))
    row = Row(0, EVIL, f"/data/{EVIL}", "failed", result_line=EVIL, lines=(EVIL,), files=(f"/x/{EVIL}",))
    for markup in (card(entry), card_line(entry), result_line(result), legend(result.classes), detail(row)):
        assert "<img" not in markup
        assert "<h1" not in markup
        assert "&lt;img" in markup


def test_an_invalid_colour_is_grey() -> None:
    assert css("#E69f00") == "#E69f00"
    for colour in ('red"></span><img src="x.png">', "#12345", "red", "", "#1234567", "#12345g"):
        assert "img" not in swatch("a", colour)
        assert css(colour) == "#b4b4b4"


@pytest.mark.parametrize("make", [one_line, escaped, hint])
def test_names_lose_line_breaks_and_direction_marks(make: Callable[[str], str]) -> None:
    text = make(TURNED)
    assert "ab c de" in text
    assert text.isprintable()


def test_a_message_with_any_name_is_one_paragraph(qtbot: QtBot) -> None:
    label = WrappingLabel("Message")
    qtbot.addWidget(label)
    label.setText("Segmenting " + "x\n" * 200 + "…")
    assert "\n" not in QLabel.text(label)
    label.set_lines("first", "second")
    assert QLabel.text(label) == "first\nsecond"


def test_set_text_after_markup_is_plain(qtbot: QtBot) -> None:
    label = WrappingLabel("Message")
    qtbot.addWidget(label)
    label.set_markup("<b>ours</b>")
    label.setText(EVIL)
    assert label.textFormat() == Qt.PlainText


def test_names_of_classes_and_pins_are_plain_text(qtbot: QtBot) -> None:
    classes, pins = ClassList(), PinList()
    for widget in (classes, pins):
        qtbot.addWidget(widget)
    classes.show_classes([PaintedClass(EVIL, "#123456"), PaintedClass(TURNED, "#e69f00")], 1)
    assert not [tip for tip in tooltips_in(classes) if "<img" in tip]
    assert classes.rows[1].name.text() == "ab c de"
    pins.show_pins((TURNED, EVIL))
    pins.list.setCurrentRow(0)
    with qtbot.waitSignal(pins.unpinned) as signal:
        pins.unpin.click()
    assert signal.args == [TURNED]  # the name in the engine


def test_a_tooltip_set_later_is_plain_text(qtbot: QtBot) -> None:
    from qtpy.QtCore import QEvent, QPoint
    from qtpy.QtGui import QHelpEvent

    from napari_fcn.gui._widgets.guard import DockGuard

    whole = QWidget()
    qtbot.addWidget(whole)
    edit = QLineEdit(whole)
    edit.setToolTip(EVIL)
    guard = DockGuard(whole)
    whole.show()
    QApplication.sendEvent(edit, QHelpEvent(QEvent.ToolTip, QPoint(1, 1), edit.mapToGlobal(QPoint(1, 1))))
    assert QToolTip.text() == hint(EVIL)
    QToolTip.hideText()
    assert guard.parent() is whole


def test_check_results_and_updates_show_names_as_plain_text(qtbot: QtBot) -> None:
    assert "<img" not in check_text(CheckResult("border", EVIL, EVIL, EVIL, 1.0))
    region = Region((0, 0), (4, 4))
    change, pin = Change(region, 16, 0, 1), PinScore(EVIL, 1.0, 1.0)
    ready = CandidateEvaluated(0.8, 0.9, (pin,), True, EVIL, (change,), region, np.ones((4, 4), np.uint8))
    updates = CandidateCard(("K", "Shift+K", "H"))
    qtbot.addWidget(updates)
    classes = (PaintedClass(EVIL, "#000000"), PaintedClass(EVIL, "#56b4e9"))
    updates.show_update(TeachState(phase="open", classes=classes, update=CandidateState(ready, "pending")), ("y", "x"))
    assert not drawn_as_markup(updates)


def test_long_latencies_are_shown_in_seconds() -> None:
    texts = [latency_text(seconds) for seconds in (None, 0.082, 0.9994, 2.228, 75.0)]
    assert texts == ["", "Updated in 82 ms", "Updated in 999 ms", "Updated in 2.2 s", "Updated in 75 s"]


def test_fields_of_an_open_section_fit_beside_a_scroll_bar(
    make_napari_viewer: Callable[..., Viewer], qtbot: QtBot
) -> None:
    for make in (segment.SegmentWidget, teach.TeachWidget):
        viewer = make_napari_viewer(show=True)
        dock = make(viewer)
        viewer.window.add_dock_widget(dock)
        viewer.window._qt_window.resize(1280, 800)
        dock.advanced.set_open(True)
        turn(qtbot)
        area = dock.findChild(QScrollArea)
        assert area.widget().minimumSizeHint().width() <= WIDTH - area.verticalScrollBar().sizeHint().width()
