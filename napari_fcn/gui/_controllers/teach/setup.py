"""From what the user chose to the layers and the lesson of a course."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError
from napari_fcn.gui._controllers import image_info, model_catalog
from napari_fcn.gui._controllers.teach.layers import TeachLayers
from napari_fcn.gui._controllers.teach.messages import PaintedClass
from napari_fcn.gui._controllers.teach.open_session import SessionFactory
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

FILTERS = "filters only"
NEW = "new "
NEW_NETWORKS = {f"{NEW}{family}": FAMILIES[family] for family in NETWORKS}
TWO_CLASSES = (PaintedClass("background", "#1f3a5f"), PaintedClass("object", "#e69f00"))  # until the engine says more
START = "start.safetensors"  # the model of a project


@dataclass(frozen=True, slots=True, eq=False)
class TeachRequest:
    """What the user wants to teach on what.

    Attributes
    ----------
    layer : Image
        The image.
    model : Path or None
        The model file; None for filters only, or a new network.
    settings : TeachSettings
        How to learn.
    names : tuple of str
        What the user calls the axes of the image; empty: as the layer does, else guessed.
    folder : Path or None
        The project to go on with; None for a new one.
    new : str
        Family of the new network to begin with; empty: none.
    """

    layer: Image
    model: Path | None
    settings: TeachSettings
    names: tuple[str, ...] = ()
    folder: Path | None = None
    new: str = ""

    @property
    def key(self) -> tuple[str, Path | None, str]:
        """What makes another wish the same lesson."""
        return self.layer.unique_id, self.model, self.new

    def model_name(self) -> str:
        """Return what the model is called; raise ModelError if its file cannot be read."""
        if self.model is None:
            return f"{NEW}{self.new}" if self.new else FILTERS
        return model_catalog.entry(self.model).name

    def classes(self) -> tuple[PaintedClass, ...]:
        """Return what the model tells apart; raise ModelError if its file cannot be read."""
        if self.model is None:
            return TWO_CLASSES
        return tuple(PaintedClass(label.name, label.colour) for label in model_catalog.entry(self.model).info.classes)


def own_request(request: TeachRequest) -> TeachRequest:
    """Return what a wish to go on with a project comes to: its model, and its axes; other wishes stay as they are."""
    if request.folder is None:
        return request
    names, model = request.names, None
    with suppress(FcnError):  # whoever opens it says what is wrong
        check_links(request.folder)
        model = model_of(request.folder)
        names = read_image(request.folder).axes.names
    return replace(request, model=model, new="", names=names)


def is_same_model(one: TeachRequest, other: TeachRequest) -> bool:
    """Whether both begin with the same model, wherever its file lies."""
    if one.model is None or other.model is None:
        return one.model is other.model and one.new == other.new
    try:
        return model_catalog.entry(one.model).info == model_catalog.entry(other.model).info
    except FcnError:
        return False


def model_of(folder: Path) -> Path | None:
    """Return the model with which a project began; None if it began with filters only."""
    return folder / START if (folder / START).exists() else None


def create_session(
    viewer: ViewerModel, request: TeachRequest, writer: ProjectWriter, loaded: ModelCache, factories: Factories
) -> TeachLayers:
    """Return the layers and the lesson of a course; its corrections are held back until the engine is there.

    Raises
    ------
    FcnError
        If image and model do not fit each other.
    """
    image = read_layer(request.layer)
    network = (
        image_info.default_ndim(image, request.new)
        if request.model is None
        else model_catalog.entry(request.model).info.spec
    )
    bound = image.bind(network, request.names)
    axes = bound.axes
    course = TeachLayers(viewer, request.layer, axes, axes.image_shape(image.shape), request.classes())
    course.worker = TeachWorker(
        SessionFactory(
            image=image,
            binding=bound,
            model=request.model,
            settings=request.settings,
            canvas=course.canvas,
            journal=writer,
            loaded=loaded,
            folder=request.folder,
            new=request.new,
            factories=factories,
        )
    )
    course.corrections.connect()
    course.corrections.hold()
    return course
