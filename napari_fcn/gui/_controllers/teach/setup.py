"""From what the user chose to the layers and the lesson of a course."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError
from napari_fcn.gui._controllers import image_info, model_catalog
from napari_fcn.gui._controllers.teach.layers import Course
from napari_fcn.gui._controllers.teach.messages import TaughtClass
from napari_fcn.gui._controllers.teach.open_session import Opening
from napari_fcn.gui._controllers.teach.worker import Lesson
from napari_fcn.gui._layers import read
from napari_fcn.nets.validation import FAMILIES, NETWORKS
from napari_fcn.project.links import check_links
from napari_fcn.project.manifest import read_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_fcn.gui._controllers.model_catalog import Loaded
    from napari_fcn.gui._controllers.teach.open_session import Tools
    from napari_fcn.gui._controllers.teach.project_writer import Journal
    from napari_fcn.settings import TeachSettings

FILTERS = "filters only"
NEW = "new "
NEW_NETWORKS = {f"{NEW}{family}": FAMILIES[family] for family in NETWORKS}
TWO_CLASSES = (TaughtClass("background", "#1f3a5f"), TaughtClass("object", "#e69f00"))  # until the engine says more
START = "start.safetensors"  # the model of a project


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
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

    def classes(self) -> tuple[TaughtClass, ...]:
        """Return what the model tells apart; raise ModelError if its file cannot be read."""
        if self.model is None:
            return TWO_CLASSES
        return tuple(TaughtClass(label.name, label.colour) for label in model_catalog.entry(self.model).info.classes)


def own_wish(wish: Wish) -> Wish:
    """Return what a wish to go on with a project comes to: its model, and its axes; other wishes stay as they are."""
    if wish.folder is None:
        return wish
    names, model = wish.names, None
    with suppress(FcnError):  # whoever opens it says what is wrong
        check_links(wish.folder)
        model = model_of(wish.folder)
        names = read_image(wish.folder).axes.names
    return replace(wish, model=model, new="", names=names)


def is_same_model(one: Wish, other: Wish) -> bool:
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


def begin(viewer: ViewerModel, wish: Wish, journal: Journal, loaded: Loaded, tools: Tools) -> Course:
    """Return the layers and the lesson of a course; its corrections are held back until the engine is there.

    Raises
    ------
    FcnError
        If image and model do not fit each other.
    """
    image = read(wish.layer)
    network = image_info.looks(image, wish.new) if wish.model is None else model_catalog.entry(wish.model).info.spec
    bound = image.bind(network, wish.names)
    axes = bound.axes
    course = Course(viewer, wish.layer, axes, axes.image_shape(image.shape), wish.classes())
    course.lesson = Lesson(
        Opening(
            image=image,
            axes=axes,
            model=wish.model,
            settings=wish.settings,
            canvas=course.canvas,
            calibration=bound.calibration,
            journal=journal,
            loaded=loaded,
            folder=wish.folder,
            new=wish.new,
            tools=tools,
        )
    )
    course.corrections.connect()
    course.corrections.hold()
    return course
