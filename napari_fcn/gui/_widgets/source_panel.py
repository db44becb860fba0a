"""The choices at the top of a dock: the image, the model, and the axes of the image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget

from napari_fcn.gui._controllers import NEW, ImageInfo, Request
from napari_fcn.gui._widgets.pickers import ImagePicker, ModelPicker
from napari_fcn.settings import PredictSettings
from napari_fcn.typed import read_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controllers import DockController, ModelEntry
    from napari_fcn.gui._widgets.form import Form

NO_MODEL = "Choose a model: open a model file."
AXES_HELP = (
    "<qt>One letter for each axis of the image, such as tzyx or cyx: t time, c channels, z y x space. "
    "Empty: from the layer or file, else guessed (shown in grey).</qt>"
)


@dataclass(frozen=True, slots=True)
class Source:
    """The image, the model and the axes that are chosen in a dock.

    Attributes
    ----------
    layer : Image or None
        The image; None if there is none.
    model : ModelEntry or None
        The model file; None if there is none, or another choice.
    other : str
        Name of a choice other than a model file; empty if a model is chosen.
    axes : tuple of str
        Names of the image axes, as typed; empty: from the layer, else guessed.
    settings : object or None
        Value of the dock's settings form; None if an entry is not valid.
    info : ImageInfo
        Description of the image.
    problem : str
        Reason why the dock cannot run; empty if it can.
    """

    layer: Image | None = None
    model: ModelEntry | None = None
    other: str = ""
    axes: tuple[str, ...] = ()
    settings: Any = None
    info: ImageInfo = field(default_factory=ImageInfo)
    problem: str = ""

    @property
    def path(self) -> Path | None:
        """The model file; None if there is none."""
        return None if self.model is None else self.model.path

    @property
    def new(self) -> str:
        """Family of the chosen new network; empty for other choices."""
        return self.other.removeprefix(NEW) if self.other.startswith(NEW) else ""

    @property
    def request(self) -> Request | None:
        """The request, in docks with PredictSettings; None without a model or with an invalid entry."""
        if self.model is None or self.settings is None:
            return None
        return Request(self.model.path, self.settings, self.axes)


class SourcePanel(QWidget):
    """Chooses the image and the model, and describes both.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the images.
    controller : DockController
        Reads images and models.
    settings : Form
        Settings of the dock, including channel and colours; the axes become its first row.
    purpose : str
        Purpose of the image, as in "to segment"; empty: the dock has its own list of images.
    others : mapping of str to str, optional
        Name and description of each choice other than a model file.
    first : str
        Name of the shipped model that is chosen at first; empty: the default one.
    advice : str
        Advice if the pixel sizes of image and model differ; empty: the panel shows no warning.

    Attributes
    ----------
    changed : Signal(Source)
        The user changed a choice, or a layer was added, removed, selected or changed.
    value : Source
        The choices.
    """

    changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        controller: DockController,
        settings: Form[Any],
        *,
        purpose: str = "",
        others: Mapping[str, str] | None = None,
        first: str = "",
        advice: str = "",
    ) -> None:
        super().__init__()
        self._controller, self._settings = controller, settings
        self._purpose, self._advice = purpose, advice
        self._is_locked = False
        self.image, self.model = ImagePicker(viewer, controller, purpose), ModelPicker(controller, others, first)
        self.axes = QLineEdit()
        self.axes.setAccessibleName("Axes")
        self.axes.setToolTip(AXES_HELP)
        self._lay_out()
        self.value = self._read()
        self._sync()
        self.image.edited.connect(self.refresh)
        for edited in (self.axes.textChanged, self.model.edited, settings.edited):
            edited.connect(self._on_edited)

    def _lay_out(self) -> None:
        rows = QFormLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        self._settings.rows.insertRow(0, "Axes", self.axes)
        if self._purpose:
            rows.addRow("Image", self.image)
            self._settings.fields["channel"].set_choices([("auto", None)])
        else:
            self.image.setParent(self)
            self.image.hide()
        rows.addRow("Model", self.model)

    def connect_viewer(self) -> None:
        """Follow the layers of the viewer."""
        self.image.connect()

    def disconnect_viewer(self) -> None:
        """Stop following the layers of the viewer."""
        self.image.disconnect_layers()

    def hold(
        self, layer: Image | None, model: ModelEntry | None = None, other: str = "", axes: Sequence[str] = ()
    ) -> None:
        """Show the image and model of a session; without a layer, follow the selected layer again.

        Axes are filled in if none are typed and the image would be read differently.
        """
        self.image.hold(layer)
        if layer is None:
            return
        with QSignalBlocker(self.model), QSignalBlocker(self.axes):  # not edits of the user
            if model is not None:
                self.model.choose(model)
            else:
                self.model.choose_other(other)
            names = "".join(axes)
            if names and not self.axes.text() and names != self._read().info.axes:
                self.axes.setText(names)
        self.refresh()

    def set_locked(self, is_locked: bool) -> None:
        """Disable all choices and hide the descriptions while a session uses the image."""
        if is_locked != self._is_locked:
            self._is_locked = is_locked
            self._sync()

    def refresh(self) -> None:
        """Read the choices again, after code has changed the settings form."""
        channels = self.value.info.channels
        self.value = self._read()
        if self.value.info.channels != channels:
            choices = [("auto", None), *((name, index) for index, name in enumerate(self.value.info.channels))]
            self._settings.fields["channel"].set_choices(choices)
            self.value = self._read()  # the earlier channel may no longer exist
        self._sync()
        self.changed.emit(self.value)

    def _on_edited(self, _: object = None) -> None:
        self._controller.clear_error()
        self.refresh()

    def _read(self) -> Source:
        axes = read_axes(self.axes.text().lower())
        source = Source(self.image.layer, self.model.model, self.model.other, axes)
        invalid = ""
        try:
            source = replace(source, settings=self._settings.value())
        except ValueError as error:
            invalid = str(error)
        source = replace(source, info=self._describe(source))
        return replace(source, problem=self._problem(source) or invalid or source.info.problem)

    def _describe(self, source: Source) -> ImageInfo:
        if source.layer is None:
            return ImageInfo()
        settings = PredictSettings()
        if source.settings is not None:
            settings = PredictSettings(channel=source.settings.channel, colour=source.settings.colour)
        request = Request(source.path or Path(), settings, source.axes, new=source.new)
        return self._controller.describe_image(source.layer, request, source.model)

    def _problem(self, source: Source) -> str:
        if self._purpose and source.layer is None:
            return f"Open or select an image {self._purpose}."
        return NO_MODEL if source.model is None and not source.other else ""

    def _sync(self) -> None:
        info, is_enabled = self.value.info, not self._is_locked
        advice = f"{info.pixel_size_warning} {self._advice}" if info.pixel_size_warning and self._advice else ""
        self.image.line.set_lines(*filter(None, [info.summary, advice]))
        self.image.line.setVisible(is_enabled and bool(info.summary))
        self.model.line.setVisible(is_enabled and bool(self.model.line.text()))
        for part in (self.image, self.model, self.axes):
            part.setEnabled(is_enabled)
        self.axes.setPlaceholderText(info.axes)
        if self._purpose:  # else the channels of the files are unknown
            self._settings.fields["channel"].setEnabled(is_enabled and bool(info.channels))
            self._settings.fields["colour"].setEnabled(is_enabled and info.rgb)
