"""The request of the user, and the layers and the worker of the session that it starts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError
from napari_fcn.gui._controllers import image_info, model_catalog
from napari_fcn.gui._controllers.teach.layers import TeachLayers
from napari_fcn.gui._controllers.teach.messages import PaintedClass
from napari_fcn.gui._controllers.teach.open_session import SessionFactory
from napari_fcn.gui._controllers.teach.state import TeachState
from napari_fcn.gui._controllers.teach.worker import TeachWorker
from napari_fcn.gui._layers import read_layer
from napari_fcn.nets.validation import FAMILIES, NETWORKS
from napari_fcn.project.links import check_links
from napari_fcn.project.manifest import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.gui._controllers.teach.open_session import Factories
    from napari_fcn.gui._controllers.teach.project_writer import ProjectWriter
    from napari_fcn.settings import TeachSettings

START_MODEL = "general"  # the shipped model from which teaching starts, unless another one is chosen
FILTERS = "filters only"
NEW = "new "
NEW_NETWORKS = {f"{NEW}{family}": FAMILIES[family] for family in NETWORKS}
TWO_CLASSES = (PaintedClass("background", "#1f3a5f"), PaintedClass("object", "#e69f00"))  # without a model
START = "start.safetensors"  # the first model of a project


@dataclass(frozen=True, slots=True, eq=False)
class TeachRequest:
    """The image, the model and the settings that the user has chosen.

    Attributes
    ----------
    layer : Image
        The image.
    model : Path or None
        The model file; None for filters only, or a new network.
    settings : TeachSettings
        Settings of learning.
    names : tuple of str
        Names of the image axes as typed by the user; empty: those of the layer, else guessed.
    folder : Path or None
        The project to resume; None for a new one.
    new : str
        Family of a new network to start from; empty: none.
    """

    layer: Image
    model: Path | None
    settings: TeachSettings
    names: tuple[str, ...] = ()
    folder: Path | None = None
    new: str = ""

    @property
    def key(self) -> tuple[str, Path | None, str]:
        """Requests of one key share a project."""
        return self.layer.unique_id, self.model, self.new

    def model_name(self) -> str:
        """Return the name of the model; raise ModelError if its file cannot be read."""
        if self.model is None:
            return f"{NEW}{self.new}" if self.new else FILTERS
        return model_catalog.read_entry(self.model).name

    def classes(self) -> tuple[PaintedClass, ...]:
        """Return the classes of the model; raise ModelError if its file cannot be read."""
        if self.model is None:
            return TWO_CLASSES
        return tuple(
            PaintedClass(label.name, label.colour) for label in model_catalog.read_entry(self.model).info.classes
        )


def own_request(request: TeachRequest) -> TeachRequest:
    """Return a request to resume a project with the model and the axes of the project; others unchanged."""
    if request.folder is None:
        return request
    names, model = request.names, None
    with suppress(FcnError):  # opening the project raises it again
        check_links(request.folder)
        model = model_of(request.folder)
        names = read_image(request.folder).axes.names
    return replace(request, model=model, new="", names=names)


def choice_for(request: TeachRequest) -> TeachRequest:
    """Return the choice that a project stands for: the model file of the user if the project started from the same."""
    own = own_request(request)
    return replace(own, model=request.model, new=request.new) if _is_same_model(request, own) else own


def _is_same_model(first: TeachRequest, second: TeachRequest) -> bool:
    """Whether both start from the same model, wherever its file is."""
    if first.model is None or second.model is None:
        return first.model is second.model and first.new == second.new
    try:
        return model_catalog.read_entry(first.model).info == model_catalog.read_entry(second.model).info
    except FcnError:
        return False


def model_of(folder: Path) -> Path | None:
    """Return the first model of a project; None if it started with filters only."""
    return folder / START if (folder / START).exists() else None


def opening_state(request: TeachRequest, is_live: bool, is_3d: bool) -> TeachState:
    """Return the state of the dock while a session is being opened.

    Raises
    ------
    ModelError
        If the model file cannot be read.
    """
    return TeachState(
        phase="opening",
        image=request.layer.name,
        model=request.model_name(),
        is_live=is_live,
        settings=request.settings,
        classes=request.classes(),
        message=f"Preparing to teach on {request.layer.name} …",
        is_3d=is_3d,
    )


def create_session(
    viewer: ViewerModel, request: TeachRequest, writer: ProjectWriter, models: ModelCache, factories: Factories
) -> TeachLayers:
    """Return the layers and the worker of a session; strokes are held back until the engine is ready.

    Raises
    ------
    FcnError
        If the model cannot run on the image.
    """
    image = read_layer(request.layer)
    network = (
        image_info.default_ndim(image, request.new)
        if request.model is None
        else model_catalog.read_entry(request.model).info.spec
    )
    bound = image.bind(network, request.names)
    axes = bound.axes
    layers = TeachLayers(viewer, request.layer, axes, axes.image_shape(image.shape), request.classes())
    layers.worker = TeachWorker(
        SessionFactory(
            image=image,
            binding=bound,
            model=request.model,
            settings=request.settings,
            canvas=layers.canvas,
            writer=writer,
            models=models,
            folder=request.folder,
            new=request.new,
            factories=factories,
        )
    )
    layers.corrections.connect()
    layers.corrections.hold()
    return layers
