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
    MAX_CLASSES,
    MIN_CLASSES,
    NEW,
    Accept,
    AddPin,
    Compare,
    GoTo,
    ImageInfo,
    Redo,
    Reject,
    RemovePin,
    RenameCommit,
    Request,
    Save,
    Suggest,
    TeachController,
    TeachRequest,
    TeachState,
    Undo,
    add_class,
    recolour_class,
    remove_class,
    rename_class,
)
from napari_fcn.gui._teach_panels.candidate import CandidateCard
from napari_fcn.gui._teach_panels.classes import ClassList
from napari_fcn.gui._teach_panels.compare import CompareBar
from napari_fcn.gui._teach_panels.curves import Curves
from napari_fcn.gui._teach_panels.history import CommitList
from napari_fcn.gui._teach_panels.learning import LearnPanel
from napari_fcn.gui._teach_panels.pins import PinList
from napari_fcn.gui._teach_panels.setup import SetupPanel
from napari_fcn.gui._widgets.dock import Dock
from napari_fcn.gui._widgets.form import Collapsible, Form, WrappingLabel
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
        self._facts = ImageInfo()
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
        self.setup = SetupPanel(self._viewer, self.controller)
        self.classes = ClassList()
        self.learning = LearnPanel((LIVE, shown(LEARN)))
        self.candidate_card = CandidateCard((ACCEPT, shown(REJECT), CHANGES))
        self.next_button, self.uncertainty_button = QPushButton("Next place"), QPushButton("Uncertainty")
        self.next_button.setToolTip(f"Go to the most uncertain place in view that no stroke reaches ({NEXT})")
        self.uncertainty_button.setToolTip(f"Show how unsure the model is, bright where it is ({UNSURE})")
        self.uncertainty_button.setCheckable(True)
        self.curves = Curves()
        self.history = CommitList((UNDO, shown(REDO)))
        self.compare_bar = CompareBar(FLIP)
        self.pins = PinList()
        self.settings = Form(TeachSettings, without=("keep", "network"))
        self.settings.fields["channel"].set_choices([("auto", None)])
        self.settings.fields["device"].set_choices([(name, name) for name in DEVICES], free=True)
        self._keys = Keys(self._all_keys())
        self.keys = WrappingLabel("Shortcuts")
        self.keys.set_markup(self._keys.text())

    def _all_keys(self) -> list[Key]:
        do = self.controller.do
        digits = [Key(str(k), "", partial(self.controller.choose, k)) for k in range(1, MAX_CLASSES + 1)]
        digits[0] = replace(digits[0], what="paint that class", shown=f"1 … {MAX_CLASSES}")
        return [
            *digits,
            Key("0", "erase", partial(self.controller.choose, 0), "0, E"),
            Key("E", "", partial(self.controller.choose, 0)),
            Key(LIVE, "live on, off", self._on_live_key),
            Key(LEARN, "learn now", self.controller.learn_now),
            Key(UNDO, "one state back", partial(do, Undo())),
            Key(REDO, "one state forward", partial(do, Redo())),
            Key(NEXT, "next place", self._on_next),
            Key(UNSURE, "uncertainty on, off", self.uncertainty_button.click),
            Key(ACCEPT, "accept the new network", self._on_accept),
            Key(REJECT, "reject it", self._on_reject),
            Key(CHANGES, "its changes on, off", self.candidate_card.shower.click),
            Key(FLIP, "the other of two states", self._on_flip),
            Key(HIDE, "answer on, off", self.controller.toggle_answer),
        ]

    def _lay_out(self) -> None:
        looks = QWidget()
        row = QHBoxLayout(looks)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.next_button)
        row.addWidget(self.uncertainty_button)
        self.settings.rows.insertRow(0, "Axes", self.setup.axes)
        self.advanced = Collapsible("Advanced", self.settings)
        folds = {
            "curves": Collapsible("Learning curve", self.curves),
            "history": Collapsible("History", self.history),
            "pins": Collapsible("Pins", self.pins),
            "keys": Collapsible("Shortcuts", self.keys),
        }
        self.folds = folds
        folds["history"].set_open(True)
        self._taught = (
            self.classes, self.learning, looks, self.candidate_card, self.compare_bar, folds["history"],
            folds["curves"], folds["pins"],
        )  # fmt: skip
        self._fill(self.setup, *self._taught, self.advanced, folds["keys"])

    def _wire(self) -> None:
        controller, do = self.controller, self.controller.do
        self._clock.timeout.connect(self._on_clock)
        controller.changed.connect(self._on_changed)
        self.setup.started.connect(self.start)
        self.setup.stopped.connect(controller.stop_teaching)
        self.setup.project_asked.connect(self._on_open_project)
        self.setup.image.edited.connect(self._on_edited)
        for edited in (self.setup.axes.textChanged, self.setup.model.edited, self.settings.edited):
            edited.connect(self._on_user_edited)
        self.learning.edited.connect(self._on_user_edited)
        self.learning.live_toggled.connect(controller.set_live)
        self.learning.learn_asked.connect(controller.learn_now)
        self.classes.chosen.connect(controller.choose)
        self.classes.added.connect(self._on_class_added)
        self.classes.removed.connect(self._on_class_removed)
        self.classes.named.connect(self._on_class_named)
        self.classes.coloured.connect(self._on_class_coloured)
        self.candidate_card.accepted.connect(self._on_accept)
        self.candidate_card.rejected.connect(self._on_reject)
        self.candidate_card.changes_shown.connect(controller.show_changes)
        self.candidate_card.looked.connect(controller.look_at)
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
        self.uncertainty_button.toggled.connect(controller.show_uncertainty)
        self.folds["curves"].heading.toggled.connect(self._on_curves)

    def _connect(self) -> None:
        self.controller.connect()
        self.setup.image.connect()
        self._keys.bind(self._viewer)
        self._clock.start()

    def _disconnect(self) -> None:
        self._clock.stop()
        self._keys.bind()
        self.setup.image.disconnect_layers()
        self.controller.shutdown()

    # Begin

    def start(self) -> None:
        """Begin to teach the chosen model on the chosen image."""
        settings = self._settings()
        if self.setup.image.layer is not None and settings is not None and not self._reason():
            wish = TeachRequest(
                self.setup.image.layer, self.setup.path, settings, self.setup.names(), new=self.setup.new
            )
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
        if self.setup.image.layer is None:
            return NO_IMAGE
        if not self.setup.has_model:
            return NO_MODEL
        try:
            self.settings.value()
        except ValueError as error:
            return str(error)
        return self._facts.problem

    def _on_open_project(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a project (NAME.fcn)")
        settings = self._settings()
        if folder and self.setup.image.layer is not None and settings is not None:
            wish = TeachRequest(self.setup.image.layer, self.setup.path, settings, self.setup.names(), Path(folder))
            self.controller.open_project(wish)

    def _on_user_edited(self, _: object = None) -> None:
        self.controller.clear_error()
        settings = self._settings()
        if settings is not None:
            self.controller.configure(settings)
        self._on_edited()

    def _on_edited(self) -> None:
        layer, settings, known = self.setup.image.layer, self._settings() or TeachSettings(), self._facts.channels
        reading = PredictSettings(channel=settings.channel, colour=settings.colour)
        request = Request(self.setup.path or Path(), reading, self.setup.names(), new=self.setup.new)
        model = self.setup.model.model
        self._facts = ImageInfo() if layer is None else self.controller.describe_image(layer, request, model)
        if self._facts.channels != known:
            choices = [("auto", None), *((name, index) for index, name in enumerate(self._facts.channels))]
            self.settings.fields["channel"].set_choices(choices)
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
        taught = self.controller.session_source
        if taught is None:
            self.setup.show_taught(None, None, "")
            return
        model = None if taught.model is None else self.controller.open_model(taught.model)
        other = f"{NEW}{taught.new}" if taught.new else FILTERS
        names = "".join(taught.names[: taught.layer.ndim])
        if names and not self.setup.axes.text() and names != self._facts.axes:
            with QSignalBlocker(self.setup.axes):  # nobody has typed: how it learns stays as it is
                self.setup.axes.setText(names)
        self.setup.show_taught(taught.layer, model and replace(model, name=state.model), "" if model else other)

    def _show_settings(self, settings: TeachSettings) -> None:
        """Show how a project learns that is gone on with."""
        with QSignalBlocker(self.learning), QSignalBlocker(self.settings):  # it is how the model learns already
            self.learning.set_value(settings)
            self.settings.set_value(settings)

    def _sync(self) -> None:
        """Show the state of everything."""
        state = self.controller.state
        more = [f"{self._facts.pixel_size_warning} It may need more strokes."] if self._facts.pixel_size_warning else []
        self.setup.image.line.set_lines(self._facts.summary, *more)
        self.setup.image.line.setVisible(bool(self._facts.summary) and state.phase == "idle")
        self.setup.axes.setPlaceholderText(self._facts.axes)
        self.setup.show_state(state, self._reason())
        for part in self._taught:
            part.setVisible(state.phase != "idle")
        for name in FIXED:
            self.settings.fields[name].setEnabled(state.phase == "idle")
        self.settings.fields["channel"].setEnabled(state.phase == "idle" and bool(self._facts.channels))
        self.settings.fields["colour"].setEnabled(state.phase == "idle" and self._facts.rgb)
        self.setup.axes.setEnabled(state.phase == "idle")
        if state.phase == "idle":
            self._keys.bind(*([self._viewer] if self._is_connected else []))
            return
        self._keys.bind(self._viewer, *self.controller.keyed_layers())
        self._sync_taught(state)

    def _sync_taught(self, state: TeachState) -> None:
        self.classes.show_classes(state.classes, state.label)
        self.learning.show_state(state)
        self.candidate_card.show_update(state, self.controller.axis_names())
        self.uncertainty_button.setChecked(state.is_uncertainty_shown)
        self.compare_bar.show_comparison(state)
        self.history.show_history(state)
        self.curves.show_scores(state.scores, state.candidate_scores, state.losses)
        self.pins.show_pins(state.pins)

    def _on_clock(self) -> None:
        if self.isVisible() and not self.controller.is_answering:
            self.setup.show_saved(self.controller.state)

    def _on_curves(self, _: bool) -> None:
        state = self.controller.state
        self.curves.show_scores(state.scores, state.candidate_scores, state.losses)

    def _warm_up(self) -> None:
        if self._is_connected and self.setup.has_model:
            self.controller.warm_up(self.setup.path)

    # What the user asks for

    def _on_live_key(self) -> None:
        self.controller.set_live(not self.controller.state.is_live)

    def _on_class_added(self) -> None:
        self.controller.do(add_class(self.controller.state.classes))

    def _on_class_removed(self, index: int) -> None:
        if len(self.controller.state.classes) > MIN_CLASSES:
            self._change_class(remove_class, index)

    def _on_class_named(self, index: int, name: str) -> None:
        self._change_class(rename_class, index, name)

    def _on_class_coloured(self, index: int, colour: str) -> None:
        self._change_class(recolour_class, index, colour)

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
        self.controller.do(RenameCommit(number, name))

    def _on_compare(self, first: int, second: int) -> None:
        if self.controller.layers is not None:
            self.controller.do(Compare(first, second, self.controller.layers.view()))

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
        if self.controller.layers is not None:
            self.controller.do(AddPin(self.controller.layers.view(), name))

    def _on_unpin(self, name: str) -> None:
        self.controller.do(RemovePin(name))

    def _on_next(self) -> None:
        if self.controller.layers is not None:
            self.controller.do(Suggest(self.controller.layers.view()))


def shown(key: str) -> str:
    """Return a key as people read it."""
    return key.replace("-", "+")
