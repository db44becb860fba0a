"""The journeys of the docks: what happens when a button is pressed, without a widget in sight."""

from napari_fcn.gui._controller.batch import BatchController
from napari_fcn.gui._controller.batch_state import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    WAITING,
    BatchRequest,
    BatchSettings,
    BatchState,
    Row,
    Summary,
)
from napari_fcn.gui._controller.beginning import FILTERS, NEW, NEW_NETWORKS, Wish
from napari_fcn.gui._controller.catalogue import ModelEntry
from napari_fcn.gui._controller.classes import LEAST, MOST, added, recoloured, removed, renamed
from napari_fcn.gui._controller.commands import (
    Accept,
    Compare,
    GoTo,
    Pin,
    Redo,
    Reject,
    Rename,
    Save,
    Suggest,
    Undo,
    Unpin,
)
from napari_fcn.gui._controller.controller import Controller
from napari_fcn.gui._controller.desk import Desk
from napari_fcn.gui._controller.news import TaughtClass
from napari_fcn.gui._controller.opening import Tools
from napari_fcn.gui._controller.saving import SaveSettings
from napari_fcn.gui._controller.seeing import SeeingController
from napari_fcn.gui._controller.seeing_state import (
    CHECKS,
    Finding,
    Growth,
    LayerRow,
    Length,
    Radius,
    SeeingState,
    Sight,
)
from napari_fcn.gui._controller.state import ClassShare, ImageFacts, Request, RunResult, ViewState
from napari_fcn.gui._controller.stretch import Stretch
from napari_fcn.gui._controller.teach_state import TeachState
from napari_fcn.gui._controller.teaching import TeachController

__all__ = [
    "CANCELLED",
    "CHECKS",
    "DONE",
    "FAILED",
    "FILTERS",
    "LEAST",
    "MOST",
    "NEW",
    "NEW_NETWORKS",
    "RUNNING",
    "WAITING",
    "Accept",
    "BatchController",
    "BatchRequest",
    "BatchSettings",
    "BatchState",
    "ClassShare",
    "Compare",
    "Controller",
    "Desk",
    "Finding",
    "GoTo",
    "Growth",
    "ImageFacts",
    "LayerRow",
    "Length",
    "ModelEntry",
    "Pin",
    "Radius",
    "Redo",
    "Reject",
    "Rename",
    "Request",
    "Row",
    "RunResult",
    "Save",
    "SaveSettings",
    "SeeingController",
    "SeeingState",
    "Sight",
    "Stretch",
    "Suggest",
    "Summary",
    "TaughtClass",
    "TeachController",
    "TeachState",
    "Tools",
    "Undo",
    "Unpin",
    "ViewState",
    "Wish",
    "added",
    "recoloured",
    "removed",
    "renamed",
]
