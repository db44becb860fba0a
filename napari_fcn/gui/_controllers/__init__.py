"""The journeys of the docks: what happens when a button is pressed, without a widget in sight."""

from napari_fcn.gui._controllers.base import Desk
from napari_fcn.gui._controllers.batch.controller import BatchController
from napari_fcn.gui._controllers.batch.state import (
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
from napari_fcn.gui._controllers.field.controller import SeeingController
from napari_fcn.gui._controllers.field.state import (
    CHECKS,
    Finding,
    Growth,
    LayerRow,
    Length,
    Radius,
    SeeingState,
    Sight,
)
from napari_fcn.gui._controllers.model_catalog import ModelEntry
from napari_fcn.gui._controllers.request import ImageFacts, Request
from napari_fcn.gui._controllers.segment.controller import Controller
from napari_fcn.gui._controllers.segment.output_settings import SaveSettings
from napari_fcn.gui._controllers.segment.slider_extent import Stretch
from napari_fcn.gui._controllers.segment.state import ClassShare, RunResult, ViewState
from napari_fcn.gui._controllers.teach.commands import (
    LEAST,
    MOST,
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
    added,
    recoloured,
    removed,
    renamed,
)
from napari_fcn.gui._controllers.teach.controller import TeachController
from napari_fcn.gui._controllers.teach.messages import TaughtClass
from napari_fcn.gui._controllers.teach.open_session import Tools
from napari_fcn.gui._controllers.teach.setup import FILTERS, NEW, NEW_NETWORKS, Wish
from napari_fcn.gui._controllers.teach.state import TeachState

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
