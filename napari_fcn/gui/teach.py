"""The dock in which a model learns from brush strokes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_fcn.gui._controllers import (
    FILTERS,
    LEAST,
    MOST,
    NEW,
    Accept,
    Compare,
    GoTo,
    ImageFacts,
    Pin,
    Redo,
    Reject,
    Rename,
    Request,
    Save,
    Suggest,
    TeachController,
    TeachState,
    Undo,
    Unpin,
    Wish,
    added,
    recoloured,
    removed,
    renamed,
)
from napari_fcn.gui._teach_panels.candidate import UpdateCard
from napari_fcn.gui._teach_panels.classes import ClassList
from napari_fcn.gui._teach_panels.compare import CompareBar
from napari_fcn.gui._teach_panels.curves import Curves
from napari_fcn.gui._teach_panels.history import CommitList
from napari_fcn.gui._teach_panels.learning import LearnPanel
from napari_fcn.gui._teach_panels.pins import PinList
from napari_fcn.gui._teach_panels.setup import BeginPanel
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import Fold, Form, Prose
from napari_fcn.gui._widgets.keys import Key, Keys
from napari_fcn.settings import DEVICES, PredictSettings, TeachSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_fcn.gui._controllers.teach.commands import SetClasses

WARM_UP_AFTER = 200  # milliseconds after the dock is there
NO_IMAGE = "Open or select an image to teach on."
NO_MODEL = "Choose a model: open a model file."
FIXED = ("device", "precision", "channel", "colour", "memory")  # settings that hold until the next start
LIVE, LEARN, UNDO, REDO = "G", "Shift-G", "U", "Shift-U"
ACCEPT, REJECT, CHANGES, NEXT, UNSURE, FLIP, HIDE = "K", "Shift-K", "H", "N", "Q", "J", "W"  # all free in napari


class TeachWidget(Dock):
    """Teach a model on an image layer by brush strokes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the images are and the answers go.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari looks for this very annotation
        super().__init__()
        self._facts = ImageFacts()
        self._was_open = False
        self._shown: tuple[str, str] = ("idle", "")
        self.controller = TeachController(viewer, parent=self)
        self._viewer = self.controller.viewer
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._build()
        self._lay_out()
        self._wire()
        self._join()
        QTimer.singleShot(WARM_UP_AFTER, self._warm_up)

    def _build(self) -> None:
        self.begin = BeginPanel(self._viewer, self.controller)
        self.classes = ClassList()
        self.learning = LearnPanel((LIVE, shown(LEARN)))
        self.update_card = UpdateCard((ACCEPT, shown(REJECT), CHANGES))
        self.next_button, self.unsure_button = QPushButton("Next place"), QPushButton("Uncertainty")
        self.next_button.setToolTip(f"Go to the most uncertain place in view that no stroke reaches ({NEXT})")
        self.unsure_button.setToolTip(f"Show how unsure the model is, bright where it is ({UNSURE})")
        self.unsure_button.setCheckable(True)
        self.curves = Curves()
        self.history = CommitList((UNDO, shown(REDO)))
        self.compare_bar = CompareBar(FLIP)
        self.pins = PinList()
        self.settings = Form(TeachSettings, without=("keep", "network"))
        self.settings.fields["channel"].offer([("auto", None)])
        self.settings.fields["device"].offer([(name, name) for name in DEVICES], free=True)
        self._keys = Keys(self._all_keys())
        self.keys = Prose("Shortcuts")
        self.keys.set_markup(self._keys.text())

    def _all_keys(self) -> list[Key]:
        do = self.controller.do
        digits = [Key(str(k), "", partial(self.controller.choose, k)) for k in range(1, MOST + 1)]
        digits[0] = replace(digits[0], what="paint that class", shown=f"1 … {MOST}")
        return [
            *digits,
            Key("0", "erase", partial(self.controller.choose, 0), "0, E"),
            Key("E", "", partial(self.controller.choose, 0)),
            Key(LIVE, "live on, off", self._on_live_key),
            Key(LEARN, "learn now", self.controller.learn_now),
            Key(UNDO, "one state back", partial(do, Undo())),
            Key(REDO, "one state forward", partial(do, Redo())),
            Key(NEXT, "next place", self._on_next),
            Key(UNSURE, "uncertainty on, off", self.unsure_button.click),
            Key(ACCEPT, "accept the new network", self._on_accept),
            Key(REJECT, "reject it", self._on_reject),
            Key(CHANGES, "its changes on, off", self.update_card.shower.click),
            Key(FLIP, "the other of two states", self._on_flip),
            Key(HIDE, "answer on, off", self.controller.toggle_answer),
        ]

    def _lay_out(self) -> None:
        looks = QWidget()
        row = QHBoxLayout(looks)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.next_button)
        row.addWidget(self.unsure_button)
        self.settings.rows.insertRow(0, "Axes", self.begin.axes)
        self.advanced = Fold("Advanced", self.settings)
        folds = {
            "curves": Fold("Learning curve", self.curves),
            "history": Fold("History", self.history),
            "pins": Fold("Pins", self.pins),
            "keys": Fold("Shortcuts", self.keys),
        }
        self.folds = folds
        folds["history"].set_open(True)
        self._taught = (
            self.classes, self.learning, looks, self.update_card, self.compare_bar, folds["history"], folds["curves"],
            folds["pins"],
        )  # fmt: skip
        self._fill(self.begin, *self._taught, self.advanced, folds["keys"])

    def _wire(self) -> None:
        controller, do = self.controller, self.controller.do
        self._clock.timeout.connect(self._on_clock)
        controller.changed.connect(self._on_changed)
        self.begin.started.connect(self.start)
        self.begin.stopped.connect(controller.stop_teaching)
        self.begin.project_asked.connect(self._on_open_project)
        self.begin.image.edited.connect(self._on_edited)
        for edited in (self.begin.axes.textChanged, self.begin.model.edited, self.settings.edited):
            edited.connect(self._on_user_edited)
        self.learning.edited.connect(self._on_user_edited)
        self.learning.live_toggled.connect(controller.set_live)
        self.learning.learn_asked.connect(controller.learn_now)
        self.classes.chosen.connect(controller.choose)
        self.classes.added.connect(self._on_class_added)
        self.classes.removed.connect(self._on_class_removed)
        self.classes.named.connect(self._on_class_named)
        self.classes.coloured.connect(self._on_class_coloured)
        self.update_card.accepted.connect(self._on_accept)
        self.update_card.rejected.connect(self._on_reject)
        self.update_card.changes_shown.connect(controller.show_changes)
        self.update_card.looked.connect(controller.look_at)
        self.history.undone.connect(partial(do, Undo()))
        self.history.redone.connect(partial(do, Redo()))
        self.history.gone.connect(self._on_go)
        self.history.named.connect(self._on_named)
        self.history.compared.connect(self._on_compare)
        self.history.saved.connect(self._on_save)
        self.compare_bar.wanted.connect(controller.show_compared)
        self.compare_bar.ended.connect(controller.end_comparison)
        self.pins.pinned.connect(self._on_pin)
        self.pins.unpinned.connect(self._on_unpin)
        self.next_button.clicked.connect(self._on_next)
        self.unsure_button.toggled.connect(controller.show_unsure)
        self.folds["curves"].heading.toggled.connect(self._on_curves)

    def _connect(self) -> None:
        self.controller.connect()
        self.begin.image.connect()
        self._keys.bind(self._viewer)
        self._clock.start()

    def _disconnect(self) -> None:
        self._clock.stop()
        self._keys.bind()
        self.begin.image.disconnect_layers()
        self.controller.shutdown()

    # Begin

    def start(self) -> None:
        """Begin to teach the chosen model on the chosen image."""
        settings = self._settings()
        if self.begin.image.layer is not None and settings is not None and not self._reason():
            wish = Wish(self.begin.image.layer, self.begin.path, settings, self.begin.names(), new=self.begin.new)
            self.controller.start(wish)

    def _settings(self) -> TeachSettings | None:
        """Return how the user wants the model to learn; None if something is mistyped."""
        keep, network = self.learning.value()
        try:
            return replace(self.settings.value(), keep=keep, network=network)
        except ValueError:
            return None

    def _reason(self) -> str:
        """Return why Start is not possible; empty if it is."""
        if self.begin.image.layer is None:
            return NO_IMAGE
        if not self.begin.has_model:
            return NO_MODEL
        try:
            self.settings.value()
        except ValueError as error:
            return str(error)
        return self._facts.problem

    def _on_open_project(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a project (NAME.fcn)")
        settings = self._settings()
        if folder and self.begin.image.layer is not None and settings is not None:
            wish = Wish(self.begin.image.layer, self.begin.path, settings, self.begin.names(), Path(folder))
            self.controller.open_project(wish)

    def _on_user_edited(self, _: object = None) -> None:
        self.controller.forget_error()
        settings = self._settings()
        if settings is not None:
            self.controller.configure(settings)
        self._on_edited()

    def _on_edited(self) -> None:
        layer, settings, known = self.begin.image.layer, self._settings() or TeachSettings(), self._facts.channels
        reading = PredictSettings(channel=settings.channel, colour=settings.colour)
        request = Request(self.begin.path or Path(), reading, self.begin.names(), new=self.begin.new)
        model = self.begin.model.model
        self._facts = ImageFacts() if layer is None else self.controller.facts(layer, request, model)
        if self._facts.channels != known:
            choices = [("auto", None), *((name, index) for index, name in enumerate(self._facts.channels))]
            self.settings.fields["channel"].offer(choices)
        self._sync()

    # Show

    def _on_changed(self, state: TeachState) -> None:
        if (state.phase, state.model) != self._shown:
            self._shown = (state.phase, state.model)
            self._show_taught(state)
        if state.is_open and not self._was_open:
            self._show_settings(state.settings)
        self._was_open = state.is_open
        self._sync()

    def _show_taught(self, state: TeachState) -> None:
        """Have image, model and axes on top be those that are taught, also of a project that began elsewhere."""
        taught = self.controller.taught
        if taught is None:
            self.begin.show_taught(None, None, "")
            return
        model = None if taught.model is None else self.controller.open_model(taught.model)
        other = f"{NEW}{taught.new}" if taught.new else FILTERS
        names = "".join(taught.names[:-1] if self._facts.rgb and len(taught.names) > 2 else taught.names)
        if names and not self.begin.axes.text() and names != self._facts.axes:
            with QSignalBlocker(self.begin.axes):  # nobody has typed: how it learns stays as it is
                self.begin.axes.setText(names)
        self.begin.show_taught(taught.layer, model and replace(model, name=state.model), "" if model else other)

    def _show_settings(self, settings: TeachSettings) -> None:
        """Show how a project learns that is gone on with."""
        with QSignalBlocker(self.learning), QSignalBlocker(self.settings):  # it is how the model learns already
            self.learning.set_value(settings)
            self.settings.set_value(settings)

    def _sync(self) -> None:
        """Show the state of everything."""
        state = self.controller.state
        more = [f"{self._facts.apart} It may need more strokes."] if self._facts.apart else []
        self.begin.image.line.set_lines(self._facts.summary, *more)
        self.begin.image.line.setVisible(bool(self._facts.summary) and state.phase == "idle")
        self.begin.axes.setPlaceholderText(self._facts.axes)
        self.begin.show_state(state, self._reason())
        for part in self._taught:
            part.setVisible(state.phase != "idle")
        for name in FIXED:
            self.settings.fields[name].setEnabled(state.phase == "idle")
        self.settings.fields["channel"].setEnabled(state.phase == "idle" and bool(self._facts.channels))
        self.settings.fields["colour"].setEnabled(state.phase == "idle" and self._facts.rgb)
        self.begin.axes.setEnabled(state.phase == "idle")
        if state.phase == "idle":
            self._keys.bind(*([self._viewer] if self._is_connected else []))
            return
        self._keys.bind(self._viewer, *self.controller.keyed_layers())
        self._sync_taught(state)

    def _sync_taught(self, state: TeachState) -> None:
        self.classes.show_classes(state.classes, state.label)
        self.learning.show_state(state)
        self.update_card.show_update(state, self.controller.axis_names())
        self.unsure_button.setChecked(state.is_unsure_shown)
        self.compare_bar.show_comparison(state)
        self.history.show_history(state)
        self.curves.show_scores(state.exams, state.trials, state.losses)
        self.pins.show_pins(state.pins)

    def _on_clock(self) -> None:
        if self.isVisible() and not self.controller.is_answering:
            self.begin.show_saved(self.controller.state)

    def _on_curves(self, _: bool) -> None:
        state = self.controller.state
        self.curves.show_scores(state.exams, state.trials, state.losses)

    def _warm_up(self) -> None:
        if self._is_connected and self.begin.has_model:
            self.controller.warm_up(self.begin.path)

    # What the user asks for

    def _on_live_key(self) -> None:
        self.controller.set_live(not self.controller.state.is_live)

    def _on_class_added(self) -> None:
        self.controller.do(added(self.controller.state.classes))

    def _on_class_removed(self, index: int) -> None:
        if len(self.controller.state.classes) > LEAST:
            self._change_class(removed, index)

    def _on_class_named(self, index: int, name: str) -> None:
        self._change_class(renamed, index, name)

    def _on_class_coloured(self, index: int, colour: str) -> None:
        self._change_class(recoloured, index, colour)

    def _change_class(self, change: Callable[..., SetClasses], index: int, *more: str) -> None:
        """Change a class, unless it has gone while the dock still showed it."""
        classes = self.controller.state.classes
        if index < len(classes):
            self.controller.do(change(classes, index, *more))

    def _on_accept(self) -> None:
        if self.controller.state.can_decide:
            self.controller.do(Accept())

    def _on_reject(self) -> None:
        if self.controller.state.can_decide:
            self.controller.do(Reject())

    def _on_go(self, number: int) -> None:
        if number != self.controller.state.present:
            self.controller.do(GoTo(number))

    def _on_named(self, number: int, name: str) -> None:
        self.controller.do(Rename(number, name))

    def _on_compare(self, first: int, second: int) -> None:
        if self.controller.course is not None:
            self.controller.do(Compare(first, second, self.controller.course.view()))

    def _on_flip(self) -> None:
        compared = self.controller.state.comparison
        if compared is not None:
            self.controller.show_compared("second" if compared.shown == "first" else "first")

    def _on_save(self, number: int) -> None:
        name = f"{self.controller.state.image} taught.safetensors"
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", name, "Models (*.safetensors)")
        if path:
            file = Path(path)
            self.controller.do(Save(file if file.suffix else file.with_suffix(".safetensors"), number))

    def _on_pin(self, name: str) -> None:
        if self.controller.course is not None:
            self.controller.do(Pin(self.controller.course.view(), name))

    def _on_unpin(self, name: str) -> None:
        self.controller.do(Unpin(name))

    def _on_next(self) -> None:
        if self.controller.course is not None:
            self.controller.do(Suggest(self.controller.course.view()))


def shown(key: str) -> str:
    """Return a key as people read it."""
    return key.replace("-", "+")
