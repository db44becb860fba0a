"""How the model learns: at once or when asked, and how much of what it knew it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.settings import TeachSettings, options

if TYPE_CHECKING:
    from napari_fcn.gui._controllers import TeachState

STEPS = 100  # of the slider
WORDS = {"automatic": "automatic", "ask": "ask me", "off": "off"}


class LearnPanel(QWidget):
    """The controls that stand open while a model is taught.

    Attributes
    ----------
    live_toggled : Signal(bool)
        Whether each stroke is to be learnt from at once.
    learn_asked : Signal()
        Learn from all strokes now.
    edited : Signal()
        The user changed how it learns.
    """

    live_toggled = Signal(bool)
    learn_asked = Signal()
    edited = Signal()

    def __init__(self, keys: tuple[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seen: object = None
        known = {option.name: option for option in options(TeachSettings)}
        self.live, self.learn = QPushButton("Live"), QPushButton("Learn now")
        self.live.setCheckable(True)
        self.live.setToolTip(f"Learn from each stroke as soon as the mouse is released ({keys[0]})")
        self.learn.setToolTip(f"Learn from all strokes once ({keys[1]})")
        self.keep = QSlider(Qt.Horizontal)
        self.keep.setRange(0, STEPS)
        self.keep.setValue(round(STEPS * known["keep"].default))
        self.keep.setAccessibleName("Fit my image, or keep what it knew")
        self.keep.setToolTip(
            "<qt>To the left the model fits this image, whatever it forgets elsewhere. To the right it keeps what it "
            "knew and hardly moves.</qt>"
        )
        self.network = QComboBox()
        for value in known["network"].choices:
            self.network.addItem(WORDS[value], value)
        self.network.setAccessibleName(known["network"].label)
        self.network.setToolTip(f"<qt>{known['network'].help}</qt>")
        self.latency, self.progress = WrappingLabel("Latency"), QProgressBar()
        self.latency.setToolTip("From the release of the mouse to the frame that showed the answer")
        self.progress.setAccessibleName("Whole network")
        self.notes = WrappingLabel("About the strokes")
        self._lay_out()
        self.live.clicked.connect(self.live_toggled)
        self.learn.clicked.connect(self.learn_asked)
        self.keep.valueChanged.connect(self._on_edited)
        self.network.currentIndexChanged.connect(self._on_edited)

    def _lay_out(self) -> None:
        buttons, slider, network = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.live)
        buttons.addWidget(self.learn)
        slider.addWidget(QLabel("Fit my image"))
        slider.addWidget(self.keep, 1)
        slider.addWidget(QLabel("Keep"))
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
        """Return how much to keep, 0..1, and what becomes of the whole network."""
        return self.keep.value() / STEPS, str(self.network.currentData())

    def set_value(self, settings: TeachSettings) -> None:
        """Show settings."""
        self.keep.setValue(round(STEPS * settings.keep))
        self.network.setCurrentIndex(self.network.findData(settings.network))

    def show_state(self, state: TeachState) -> None:
        """Show what happens."""
        seen = (state.is_live, state.waiting, state.notes, state.latency, state.is_working, state.step, state.steps)
        if seen == self._seen:
            return
        self._seen = seen
        self.live.setChecked(state.is_live)
        self.live.setText("● Live" if state.is_live else "○ Live is off")
        self.learn.setEnabled(not state.is_live)
        waiting = f" ({state.waiting} strokes wait)" if state.waiting > 1 else " (1 stroke waits)"
        self.learn.setText(f"Learn now{waiting if state.waiting and not state.is_live else ''}")
        self.notes.setText(" ".join(state.notes))
        self.notes.setVisible(bool(state.notes))
        answered = "" if state.latency is None else f"Answer in {1000 * state.latency:.0f} ms"
        self.latency.setText(answered or "Paint a stroke where the answer is wrong.")
        self.progress.setVisible(state.is_working and state.step > 0)
        self.progress.setRange(0, max(1, state.steps))
        self.progress.setValue(state.step)
        self.progress.setFormat(f"Whole network: step {state.step} of {state.steps}")

    def _on_edited(self, _: int) -> None:
        self.edited.emit()
