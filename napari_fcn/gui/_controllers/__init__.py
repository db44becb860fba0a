"""The controllers of the docks: the actions behind the buttons, without widgets."""

from napari_fcn.gui._controllers.base import DockController
from napari_fcn.gui._controllers.batch.controller import BatchController
from napari_fcn.gui._controllers.batch.state import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    WAITING,
    BatchRequest,
    BatchState,
    Row,
    Summary,
)
from napari_fcn.gui._controllers.field.controller import FieldController
from napari_fcn.gui._controllers.field.state import (
    CHECKS,
    AxisExtent,
    CheckResult,
    FieldState,
    LayerGrowth,
    LayerRow,
    PixelField,
    Radius,
)
from napari_fcn.gui._controllers.model_catalog import ModelEntry
from napari_fcn.gui._controllers.request import ImageInfo, Request
from napari_fcn.gui._controllers.segment.controller import SegmentController
from napari_fcn.gui._controllers.segment.slider_extent import SliderExtent
from napari_fcn.gui._controllers.segment.state import ClassShare, RunResult, ViewState
from napari_fcn.gui._controllers.teach.commands import (
    MAX_CLASSES,
    MIN_CLASSES,
    Accept,
    AddPin,
    Compare,
    GoTo,
    Redo,
    Reject,
    RemovePin,
    RenameCommit,
    Save,
    Suggest,
    Undo,
    add_class,
    recolour_class,
    remove_class,
    rename_class,
)
from napari_fcn.gui._controllers.teach.controller import TeachController
from napari_fcn.gui._controllers.teach.messages import PaintedClass
from napari_fcn.gui._controllers.teach.open_session import Factories
from napari_fcn.gui._controllers.teach.setup import FILTERS, NEW, NEW_NETWORKS, START_MODEL, TeachRequest
from napari_fcn.gui._controllers.teach.state import TeachState
from napari_fcn.runs.progress import duration

__all__ = [
    "CANCELLED",
    "CHECKS",
    "DONE",
    "FAILED",
    "FILTERS",
    "MAX_CLASSES",
    "MIN_CLASSES",
    "NEW",
    "NEW_NETWORKS",
    "RUNNING",
    "START_MODEL",
    "WAITING",
    "Accept",
    "AddPin",
    "AxisExtent",
    "BatchController",
    "BatchRequest",
    "BatchState",
    "CheckResult",
    "ClassShare",
    "Compare",
    "DockController",
    "Factories",
    "FieldController",
    "FieldState",
    "GoTo",
    "ImageInfo",
    "LayerGrowth",
    "LayerRow",
    "ModelEntry",
    "PaintedClass",
    "PixelField",
    "Radius",
    "Redo",
    "Reject",
    "RemovePin",
    "RenameCommit",
    "Request",
    "Row",
    "RunResult",
    "Save",
    "SegmentController",
    "SliderExtent",
    "Suggest",
    "Summary",
    "TeachController",
    "TeachRequest",
    "TeachState",
    "Undo",
    "ViewState",
    "add_class",
    "duration",
    "recolour_class",
    "remove_class",
    "rename_class",
]
