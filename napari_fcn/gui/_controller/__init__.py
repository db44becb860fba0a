"""The journeys of the docks: what happens when a button is pressed, without a widget in sight."""

from napari_fcn.gui._controller.catalogue import ModelEntry
from napari_fcn.gui._controller.controller import Controller
from napari_fcn.gui._controller.saving import SaveSettings
from napari_fcn.gui._controller.state import ClassShare, ImageFacts, Request, RunResult, ViewState

__all__ = [
    "ClassShare",
    "Controller",
    "ImageFacts",
    "ModelEntry",
    "Request",
    "RunResult",
    "SaveSettings",
    "ViewState",
]
