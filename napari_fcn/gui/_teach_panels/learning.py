"""Controls for learning: live or on demand, how close to the original model, and whole-network updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_fcn.gui._controllers import duration
from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.settings import TeachSettings, options

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import TeachState

STEPS = 100  # of the slider
WORDS = {"automatic": "automatic", "ask": "ask me", "off": "off"}


def latency_text(seconds: float | None) -> str:
    """Return the time from stroke to prediction as text, ``Updated in 82 ms`` or ``2.2 s``; empty if unknown."""
    if seconds is None:
        return ""
    return f"Updated in {duration(seconds) if seconds >= 1 else f'{1000 * seconds:.0f} ms'}"


class LearnPanel(QWidget):
    """Controls for learning, always visible during a session.

    Attributes
    ----------
    live_toggled : Signal(bool)
        Whether to learn from each stroke at once.
    learn_requested : Signal()
        Learn from all strokes now.
    edited : Signal()
        The user changed a setting.
    """

    live_toggled = Signal(bool)
    learn_requested = Signal()
    edited = Signal()

    def __init__(self, keys: tuple[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None
        declared = {option.name: option for option in options(TeachSettings)}
        self.live, self.learn = QPushButton("Live"), QPushButton("Learn now")
        self.live.setCheckable(True)
        self.live.setToolTip(f"Learn from each stroke as soon as the mouse is released ({keys[0]})")
        self.learn.setToolTip(f"Learn from all strokes once ({keys[1]})")
        self.keep = QSlider(Qt.Horizontal)
        self.keep.setRange(0, STEPS)
        self.keep.setValue(round(STEPS * declared["keep"].default))
        self.keep.setAccessibleName("Fit this image, or keep the original model")
        self.keep.setToolTip(
            "<qt>Left: fit this image, even if the model then fails on others. Right: keep the original model.</qt>"
        )
        self.network = QComboBox()
        for value in declared["network"].choices:
            self.network.addItem(WORDS[value], value)
        self.network.setAccessibleName(declared["network"].label)
        self.network.setToolTip(f"<qt>{declared['network'].help}</qt>")
        self.latency, self.progress = WrappingLabel("Latency"), QProgressBar()
        self.latency.setToolTip("Time from mouse release to updated overlay")
        self.progress.setAccessibleName("Fine-tuning")
        self.notes = WrappingLabel("About the strokes")
        self._lay_out()
        self.live.clicked.connect(self.live_toggled)
        self.learn.clicked.connect(self.learn_requested)
        self.keep.valueChanged.connect(self._on_edited)
        self.network.currentIndexChanged.connect(self._on_edited)

    def _lay_out(self) -> None:
        buttons, slider, network = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.live)
        buttons.addWidget(self.learn)
        slider.addWidget(QLabel("Fit this image"))
        slider.addWidget(self.keep, 1)
        slider.addWidget(QLabel("Keep model"))
        label = QLabel("Whole network")
        label.setToolTip(self.network.toolTip())
        label.setBuddy(self.network)
        network.addWidget(label)
        network.addWidget(self.network, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.notes)
        for row in (buttons, slider, network):
            layout.addLayout(row)
        layout.addWidget(self.latency)
        layout.addWidget(self.progress)

    def value(self) -> tuple[float, str]:
        """Return how much of the original model to keep, 0..1, and how whole-network updates are handled."""
        return self.keep.value() / STEPS, str(self.network.currentData())

    def set_value(self, settings: TeachSettings) -> None:
        """Show settings."""
        self.keep.setValue(round(STEPS * settings.keep))
        self.network.setCurrentIndex(self.network.findData(settings.network))

    def show_state(self, state: TeachState) -> None:
        """Show the state of learning."""
        shown = (state.is_live, state.waiting, state.notes, state.latency, state.is_working, state.step, state.steps)
        if shown == self._shown:
            return
        self._shown = shown
        self.live.setChecked(state.is_live)
        self.live.setText("● Live" if state.is_live else "○ Live off")
        self.learn.setEnabled(not state.is_live)
        waiting = f" ({state.waiting} new strokes)" if state.waiting > 1 else " (1 new stroke)"
        self.learn.setText(f"Learn now{waiting if state.waiting and not state.is_live else ''}")
        self.notes.setText(" ".join(state.notes))
        self.notes.setVisible(bool(state.notes))
        self.latency.setText(latency_text(state.latency) or "Paint a stroke where the prediction is wrong.")
        self.progress.setVisible(state.is_working and state.step > 0)
        self.progress.setRange(0, max(1, state.steps))
        self.progress.setValue(state.step)
        self.progress.setFormat(f"Fine-tuning: step {state.step} of {state.steps}")

    def _on_edited(self, _: int) -> None:
        self.edited.emit()
