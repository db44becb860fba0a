"""Pickers for the image and the model, each with a line of facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QVBoxLayout, QWidget

from napari_fcn.gui._widgets.form import WrappingLabel
from napari_fcn.gui._widgets.model_cards import card, card_line
from napari_fcn.gui._widgets.text import escaped, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_fcn.gui._controllers import DockController, ModelEntry

DESCRIBING = ("name", "data", "scale", "units", "axis_labels")  # events that change the description of a layer
OPEN = "Open model file …"


class Picker(QWidget):
    """A list to choose from and a line of facts under it."""

    edited = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.combo = QComboBox()
        self.combo.setAccessibleName(name)
        self.combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(8)
        self.line = WrappingLabel(f"About the {name.lower()}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.combo)
        layout.addWidget(self.line)
        self.setFocusProxy(self.combo)
        self.combo.activated.connect(self._on_activated)

    def _on_activated(self, index: int) -> None:
        raise NotImplementedError


class ImagePicker(Picker):
    """The image layers; follows the selected layer until the user chooses another here.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    controller : DockController
        Lists the layers that can be segmented.
    purpose : str
        Purpose of the image, as in "to segment".
    """

    def __init__(self, viewer: ViewerModel, controller: DockController, purpose: str = "") -> None:
        super().__init__("Image")
        self.combo.setToolTip(f"The image layer {purpose}. Follows the selected layer until you choose another here.")
        self.line.setToolTip("<qt>Axes and channel can be corrected under Advanced.</qt>")
        self._viewer, self._controller = viewer, controller
        self._chosen: Image | None = None
        self._held: Image | None = None
        self.layer: Image | None = None

    def connect(self) -> None:
        """Watch the layers of the viewer."""
        layers = self._viewer.layers
        for emitter in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            emitter.connect(self._on_layers)
        layers.selection.events.active.connect(self._on_layers)
        self._on_layers()

    def hold(self, layer: Image | None) -> None:
        """Show this layer independent of the selection; None: follow the selected layer again."""
        if self._held is not layer:
            self._held = layer
            self._on_layers()

    def disconnect_layers(self) -> None:
        """Stop watching the layers of the viewer."""
        layers = self._viewer.layers
        for emitter in (layers.events.inserted, layers.events.removed, layers.events.reordered):
            emitter.disconnect(self._on_layers)
        layers.selection.events.active.disconnect(self._on_layers)
        for layer in layers:
            self._ignore(layer)
        self.layer = self._chosen = self._held = None

    def _on_layers(self, _: object = None) -> None:
        images = self._controller.images()
        if self._chosen not in images:
            self._chosen = None
        active = self._viewer.layers.selection.active
        candidates = [self._held, self._chosen, active, self.layer, *images]
        self.layer = next((layer for layer in candidates if layer in images), None)
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for layer in images:
                self.combo.addItem(one_line(layer.name))
                self._ignore(layer)
                for name in DESCRIBING:
                    getattr(layer.events, name).connect(self._on_layers)
            self.combo.setCurrentIndex(images.index(self.layer) if self.layer else -1)
        self.edited.emit()

    def _ignore(self, layer: Layer) -> None:
        for name in DESCRIBING:
            getattr(layer.events, name).disconnect(self._on_layers)

    def _on_activated(self, index: int) -> None:
        self._chosen = self._controller.images()[index]
        self._on_layers()


class ModelPicker(Picker):
    """The shipped models, opened model files, and choices other than a model file.

    Parameters
    ----------
    controller : DockController
        Lists and opens models.
    others : mapping of str to str
        Name and description of each choice other than a model file.
    first : str
        Name of the shipped model that is chosen at first; the default one, if it is empty or there is none.

    Attributes
    ----------
    model : ModelEntry or None
        The chosen model; None if there is none, or another choice.
    other : str
        Name of the chosen one of ``others``; empty if a model is chosen.
    """

    def __init__(self, controller: DockController, others: Mapping[str, str] | None = None, first: str = "") -> None:
        super().__init__("Model")
        self._controller = controller
        self._others = dict(others or {})
        self.models: list[ModelEntry] = list(controller.models())
        self.model: ModelEntry | None = None
        self.other = ""
        self._fill()
        if self.models or not self._others:
            start = [entry for entry in self.models if entry.path.stem == first] or self.models
            self.choose(start[0] if start else None)
        else:
            self.choose_other(next(iter(self._others)))

    def choose(self, model: ModelEntry | None) -> None:
        """Choose a model, which is added to the list if new."""
        if model is None:
            self._show(None, "", "", "")
            return
        line, hint = card_line(model), card(model)  # first: a model with an invalid card must not be listed
        if model.path not in [entry.path for entry in self.models]:
            self.models.append(model)
            self._fill()
        elif model not in self.models:  # its file or name has changed
            self.models[[entry.path for entry in self.models].index(model.path)] = model
            self._fill()
        self._show(model, "", line, hint)

    def choose_other(self, name: str) -> None:
        """Choose something other than a model file."""
        self._show(None, name, escaped(self._others[name]), "")

    def open_file(self, path: str | Path) -> None:
        """Choose the model in a file; if it cannot be read, the choice stays."""
        model = self._controller.open_model(path)
        if model is not None:
            self.choose(model)
        else:
            self.combo.setCurrentIndex(self._index())

    def _show(self, model: ModelEntry | None, other: str, line: str, hint: str) -> None:
        self.model, self.other = model, other
        self.combo.setCurrentIndex(self._index())
        self.combo.setToolTip(hint)
        self.line.set_markup(line)
        self.line.setToolTip(hint)
        self.edited.emit()

    def _index(self) -> int:
        """Return the position of the choice in the list."""
        if self.model is not None:
            return self.models.index(self.model)
        return len(self.models) + list(self._others).index(self.other) if self.other else -1

    def _fill(self) -> None:
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for index, model in enumerate(self.models):
                self.combo.addItem(one_line(model.name))
                self.combo.setItemData(index, card(model), Qt.ToolTipRole)
            self.combo.addItems(self._others)
            if self.combo.count():
                self.combo.insertSeparator(self.combo.count())
            self.combo.addItem(OPEN)

    def _on_activated(self, index: int) -> None:
        if index < len(self.models):
            self.choose(self.models[index])
        elif index < len(self.models) + len(self._others):
            self.choose_other(list(self._others)[index - len(self.models)])
        else:
            path, _ = QFileDialog.getOpenFileName(self, "Open a model", "", "Models (*.safetensors)")
            if path:
                self.open_file(path)
            else:
                self.combo.setCurrentIndex(self._index())
