"""Events: frozen values that long work yields, each complete in itself."""

from __future__ import annotations

import warnings
from typing import Any

from napari_fcn.events.receptive_field import (
    BorderTrustDone,
    Certified,
    CheckStep,
    EquivarianceDone,
    FieldDone,
    ReachDone,
)
from napari_fcn.events.run import (
    FallbackTaken,
    ObjectsStep,
    PreviewDone,
    ResultsDone,
    RunDone,
    RunPlanned,
    TileDone,
)
from napari_fcn.events.teaching import (
    CandidateEvaluated,
    Change,
    Commit,
    ComparisonTile,
    HeadFitted,
    HeadRefined,
    Heartbeat,
    HistoryChanged,
    PinScore,
    RegionSuggested,
    StepDone,
    StrokesScored,
    UncertaintyDone,
)
from napari_fcn.events.training import (
    AugmentationChosen,
    EpochDone,
    LabelsFound,
    PatchChosen,
    SplitChosen,
    TasksEpochDone,
)

OLD_NAMES = {  # names of version 0.1.0
    "Answered": "HeadFitted",
    "Compared": "ComparisonTile",
    "Examined": "StrokesScored",
    "Settled": "HeadRefined",
    "SteppedDown": "FallbackTaken",
    "Suggested": "RegionSuggested",
    "UpdateReady": "CandidateEvaluated",
    "Working": "Heartbeat",
}

__all__ = [
    "AugmentationChosen",
    "BorderTrustDone",
    "CandidateEvaluated",
    "Certified",
    "Change",
    "CheckStep",
    "Commit",
    "ComparisonTile",
    "EpochDone",
    "EquivarianceDone",
    "FallbackTaken",
    "FieldDone",
    "HeadFitted",
    "HeadRefined",
    "Heartbeat",
    "HistoryChanged",
    "LabelsFound",
    "ObjectsStep",
    "PatchChosen",
    "PinScore",
    "PreviewDone",
    "ReachDone",
    "RegionSuggested",
    "ResultsDone",
    "RunDone",
    "RunPlanned",
    "SplitChosen",
    "StepDone",
    "StrokesScored",
    "TasksEpochDone",
    "TileDone",
    "UncertaintyDone",
]


def __getattr__(name: str) -> Any:
    """Return an event by its name of version 0.1.0, with a DeprecationWarning."""
    if name not in OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = f"napari_fcn.events.{name} is now called {OLD_NAMES[name]}."
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return globals()[OLD_NAMES[name]]
