"""The Teach dock: a model learns from brush strokes."""

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
    NEW_NETWORKS,
    START_MODEL,
    Accept,
    AddPin,
    Compare,
    GoTo,
    Redo,
    Reject,
    RemovePin,
    RenameCommit,
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
from napari_fcn.gui._widgets.source_panel import SourcePanel
from napari_fcn.settings import TeachSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_fcn.gui._controllers.teach.commands import SetClasses

WARM_UP_AFTER = 200  # milliseconds after the dock opens
FILTERS_HELP = "No network: filters of several sizes learn textures from your strokes alone."
FIXED = (
    "device",
    "precision",
    "memory",
)  # settings that cannot change during a session, in addition to those of the source
LIVE, LEARN, UNDO, REDO = "G", "Shift-G", "U", "Shift-U"
ACCEPT, REJECT, CHANGES, NEXT, UNCERTAINTY, FLIP, HIDE = "K", "Shift-K", "H", "N", "Q", "J", "W"  # all free in napari


class TeachWidget(Dock):
    """Teach a model on an image layer by brush strokes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer with the images; predictions become layers of it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:  # napari needs this annotation
        super().__init__()
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
        self.settings = Form(TeachSettings, without=("keep", "network"))
        self.source = SourcePanel(
            self._viewer,
            self.controller,
            self.settings,
            purpose="to teach on",
            others={FILTERS: FILTERS_HELP, **NEW_NETWORKS},
            first=START_MODEL,
            advice="It may need more strokes.",
        )
        self.setup = SetupPanel()
        self.classes = ClassList()
        self.learning = LearnPanel((LIVE, key_name(LEARN)))
        self.candidate_card = CandidateCard((ACCEPT, key_name(REJECT), CHANGES))
        self.next_button, self.uncertainty_button = QPushButton("Next place"), QPushButton("Uncertainty")
        self.next_button.setToolTip(f"Go to the most uncertain place in view without strokes nearby ({NEXT})")
        self.uncertainty_button.setToolTip(f"Show where the model is uncertain: bright is uncertain ({UNCERTAINTY})")
        self.uncertainty_button.setCheckable(True)
        self.curves = Curves()
        self.history = CommitList((UNDO, key_name(REDO)))
        self.compare_bar = CompareBar(FLIP)
        self.pins = PinList()
        self._keys = Keys(self._all_keys())
        self.keys = WrappingLabel("Shortcuts")
        self.keys.set_markup(self._keys.text())

    def _all_keys(self) -> list[Key]:
        do = self.controller.do
        digits = [Key(str(k), "", partial(self.controller.choose, k)) for k in range(1, MAX_CLASSES + 1)]
        digits[0] = replace(digits[0], description="paint this class", shown=f"1 … {MAX_CLASSES}")
        return [
            *digits,
            Key("0", "erase", partial(self.controller.choose, 0), "0, E"),
            Key("E", "", partial(self.controller.choose, 0)),
            Key(LIVE, "live on/off", self._on_live_key),
            Key(LEARN, "learn now", self.controller.learn_now),
            Key(UNDO, "undo", partial(do, Undo())),
            Key(REDO, "redo", partial(do, Redo())),
            Key(NEXT, "next place", self._on_next),
            Key(UNCERTAINTY, "uncertainty on/off", self.uncertainty_button.click),
            Key(ACCEPT, "accept the update", self._on_accept),
            Key(REJECT, "reject the update", self._on_reject),
            Key(CHANGES, "changes on/off", self.candidate_card.changes_button.click),
            Key(FLIP, "switch compared states", self._on_flip),
            Key(HIDE, "overlay on/off", self.controller.toggle_overlay),
        ]

    def _lay_out(self) -> None:
        guidance = QWidget()
        row = QHBoxLayout(guidance)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.next_button)
        row.addWidget(self.uncertainty_button)
        self.advanced = Collapsible("Advanced", self.settings)
        folds = {
            "curves": Collapsible("Learning curve", self.curves),
            "history": Collapsible("History", self.history),
            "pins": Collapsible("Pins", self.pins),
            "keys": Collapsible("Shortcuts", self.keys),
        }
        self.folds = folds
        folds["history"].set_open(True)
        self._session_parts = (
            self.classes, self.learning, guidance, self.candidate_card, self.compare_bar, folds["history"],
            folds["curves"], folds["pins"],
        )  # fmt: skip
        self._fill(self.source, self.setup, *self._session_parts, self.advanced, folds["keys"])

    def _wire(self) -> None:
        controller, do = self.controller, self.controller.do
        self._clock.timeout.connect(self._on_clock)
        controller.changed.connect(self._on_changed)
        self.setup.started.connect(self.start)
        self.setup.stopped.connect(controller.stop)
        self.setup.project_requested.connect(self._on_open_project)
        self.source.changed.connect(self._sync)
        for edited in (self.settings.edited, self.learning.edited):
            edited.connect(self._on_settings)
        self.learning.live_toggled.connect(controller.set_live)
        self.learning.learn_requested.connect(controller.learn_now)
        self.classes.chosen.connect(controller.choose)
        self.classes.added.connect(self._on_class_added)
        self.classes.removed.connect(self._on_class_removed)
        self.classes.named.connect(self._on_class_named)
        self.classes.coloured.connect(self._on_class_coloured)
        self.candidate_card.accepted.connect(self._on_accept)
        self.candidate_card.rejected.connect(self._on_reject)
        self.candidate_card.changes_shown.connect(controller.show_changes)
        self.candidate_card.change_chosen.connect(controller.go_to_change)
        self.history.undone.connect(partial(do, Undo()))
        self.history.redone.connect(partial(do, Redo()))
        self.history.state_chosen.connect(self._on_go)
        self.history.renamed.connect(self._on_named)
        self.history.compared.connect(self._on_compare)
        self.history.saved.connect(self._on_save)
        self.compare_bar.mode_chosen.connect(controller.show_compared)
        self.compare_bar.ended.connect(controller.end_comparison)
        self.pins.pinned.connect(self._on_pin)
        self.pins.unpinned.connect(self._on_unpin)
        self.next_button.clicked.connect(self._on_next)
        self.uncertainty_button.toggled.connect(controller.show_uncertainty)
        self.folds["curves"].heading.toggled.connect(self._on_curves)

    def _connect(self) -> None:
        self.controller.connect()
        self.source.connect_viewer()
        self._keys.bind(self._viewer)
        self._clock.start()

    def _disconnect(self) -> None:
        self._clock.stop()
        self._keys.bind()
        self.source.disconnect_viewer()
        self.controller.shutdown()

    # Start

    def start(self) -> None:
        """Start teaching the chosen model on the chosen image."""
        request = self._request()
        if request is not None and not self.source.value.problem:
            self.controller.start(request)

    def _request(self, folder: Path | None = None) -> TeachRequest | None:
        """Return the session to start, or to resume from a project folder; None without an image or valid settings."""
        source, settings = self.source.value, self._settings()
        if source.layer is None or settings is None:
            return None
        return TeachRequest(source.layer, source.path, settings, source.axes, folder, "" if folder else source.new)

    def _settings(self) -> TeachSettings | None:
        """Return the settings of learning; None if an entry is not valid."""
        settings = self.source.value.settings
        if settings is None:
            return None
        keep, network = self.learning.value()
        return replace(settings, keep=keep, network=network)

    def _on_open_project(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a project (NAME.fcn)")
        request = self._request(Path(folder)) if folder else None
        if request is not None:
            self.controller.open_project(request)

    def _on_settings(self) -> None:
        self.controller.clear_error()
        settings = self._settings()
        if settings is not None:
            self.controller.configure(settings)

    # Show

    def _on_changed(self, state: TeachState) -> None:
        if (state.phase, state.model) != self._shown:
            self._shown = (state.phase, state.model)
            self._show_session(state)
        if state.is_open and not self._was_open:
            self._show_settings(state.settings)
        self._was_open = state.is_open
        self._sync()

    def _show_session(self, state: TeachState) -> None:
        """Show image, model and axes of the session, also if it resumes a project."""
        session = self.controller.session_source
        if session is None:
            self.source.hold(None)
            return
        other = f"{NEW}{session.new}" if session.new else FILTERS
        model = None if session.model is None else self.controller.open_model(session.model)
        model = model and replace(model, name=state.model)
        self.source.hold(session.layer, model, other, session.names[: session.layer.ndim])

    def _show_settings(self, settings: TeachSettings) -> None:
        """Show the settings of a project that is resumed."""
        with QSignalBlocker(self.learning), QSignalBlocker(self.settings):  # not edits of the user
            self.learning.set_value(settings)
            self.settings.set_value(settings)
        self.source.refresh()

    def _sync(self, _: object = None) -> None:
        """Show the state and the source."""
        state = self.controller.state
        is_idle = state.phase == "idle"
        self.source.set_locked(not is_idle)
        self.setup.show_state(state, self.source.value)
        for part in self._session_parts:
            part.setVisible(not is_idle)
        for name in FIXED:
            self.settings.fields[name].setEnabled(is_idle)
        if is_idle:
            self._keys.bind(*([self._viewer] if self._is_connected else []))
            return
        self._keys.bind(self._viewer, *self.controller.keyed_layers())
        self._sync_session(state)

    def _sync_session(self, state: TeachState) -> None:
        self.classes.show_classes(state.classes, state.label)
        self.learning.show_state(state)
        self.candidate_card.show_update(state, self.controller.axis_names())
        self.uncertainty_button.setChecked(state.is_uncertainty_shown)
        self.compare_bar.show_comparison(state)
        self.history.show_history(state)
        self.curves.show_scores(state.scores, state.candidate_scores, state.losses)
        self.pins.show_pins(state.pins)

    def _on_clock(self) -> None:
        if self.isVisible() and not self.controller.is_predicting:
            self.setup.show_saved(self.controller.state)

    def _on_curves(self, _: bool) -> None:
        state = self.controller.state
        self.curves.show_scores(state.scores, state.candidate_scores, state.losses)

    def _warm_up(self) -> None:
        source = self.source.value
        if self._is_connected and (source.model is not None or source.other):
            self.controller.warm_up(source.path)

    # Commands

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
        """Change a class, unless it was removed while the dock still showed it."""
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


def key_name(key: str) -> str:
    """Return the display name of a key, as in ``Shift+U``."""
    return key.replace("-", "+")
