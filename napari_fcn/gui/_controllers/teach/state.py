"""The state that the Teach dock shows, as frozen values, and the reducer that applies the worker's messages to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_fcn.errors import in_dock
from napari_fcn.events import CandidateEvaluated, HeadFitted, HistoryChanged, RegionSuggested, StepDone, StrokesScored
from napari_fcn.gui._controllers.teach.messages import (
    CommandFailed,
    ComparisonReady,
    ModelSaved,
    PaintedClass,
    PinsChanged,
    SessionOpened,
    StateRestored,
)
from napari_fcn.gui._controllers.teach.progress import TeachProgress
from napari_fcn.gui._layers import ColourTile
from napari_fcn.settings import TeachSettings

if TYPE_CHECKING:
    from napari_fcn.events import Commit
    from napari_fcn.gui._controllers.teach.messages import SessionMessage

SHOWN_STEPS = 500  # losses in the plot, at most
IN_3D = "The 3-D view is read-only: switch to the 2-D view (Ctrl+Y) to paint."
ALL_REACHED = "There are strokes near every visible place. Move the view."


@dataclass(frozen=True, slots=True)
class CandidateState:
    """A candidate that was evaluated.

    Attributes
    ----------
    ready : CandidateEvaluated
        The evaluation.
    status : str
        ``"pending"`` (the user may decide), ``"accepted"``, ``"rejected"``, or ``"discarded"`` (not better).
    """

    ready: CandidateEvaluated
    status: str


@dataclass(frozen=True, slots=True)
class CompareState:
    """Two commits that are compared, and the visible one: ``"first"``, ``"second"`` or ``"split"``."""

    first: int
    second: int
    shown: str = "first"


@dataclass(frozen=True, slots=True)
class TeachState:
    """The state of the controller that the dock shows.

    Attributes
    ----------
    phase : str
        ``"idle"``, ``"opening"`` or ``"open"``.
    image, model, device : str
        Names of the image, of the model and of the device.
    is_live : bool
        Whether the model learns from each stroke at once.
    settings : TeachSettings
        Settings of learning.
    is_working : bool
        Whether the worker runs.
    message, error, warning : str
        The last result, the last error, and a problem that persists.
    notes : tuple of str
        Sentences about the strokes: what is missing or out of balance.
    strokes, learnt, predicted : int
        Number of the last stroke that was painted, of the last that the model has learnt from, and of the last whose
        prediction is complete on its layer. The only counts of strokes in the dock; they count on from the project's.
    project : str
        The project folder; empty if nothing is saved.
    saved_at : float
        Time at which the latest stroke was written, `time.monotonic`; 0 if there is none.
    is_saving : bool
        Whether something has not been written yet.
    classes : tuple of PaintedClass
        Classes of the model.
    label : int
        The value of the brush: 0 erases, ``k + 1`` paints class ``k``.
    turn : int
        Rounds of learning so far.
    latency : float or None
        Seconds from the end of the latest stroke to the frame that showed its prediction.
    scores : tuple of (int, float)
        Round and score of the current model on new strokes.
    candidate_scores : tuple of (int, float)
        The same of candidates.
    losses : tuple of float
        Losses of the latest steps of the latest candidate.
    step, steps : int
        Steps of the candidate that is being fine-tuned; 0 if none is.
    update : CandidateState or None
        The candidate that was evaluated last.
    commits : tuple of Commit
        All commits, by number.
    present : int
        Number of the commit in use.
    pins : tuple of str
        Names of the protected areas.
    are_changes_shown, is_uncertainty_shown : bool
        Which of the auxiliary layers are shown.
    comparison : CompareState or None
        The commits that are compared.
    is_3d : bool
        Whether the 3-D view is shown, in which napari cannot paint.
    """

    phase: str = "idle"
    image: str = ""
    model: str = ""
    device: str = ""
    is_live: bool = True
    settings: TeachSettings = field(default_factory=TeachSettings)
    is_working: bool = False
    message: str = ""
    error: str = ""
    warning: str = ""
    notes: tuple[str, ...] = ()
    strokes: int = 0
    learnt: int = 0
    predicted: int = 0
    project: str = ""
    saved_at: float = 0.0
    is_saving: bool = False
    classes: tuple[PaintedClass, ...] = ()
    label: int = 0
    turn: int = 0
    latency: float | None = None
    scores: tuple[tuple[int, float], ...] = ()
    candidate_scores: tuple[tuple[int, float], ...] = ()
    losses: tuple[float, ...] = ()
    step: int = 0
    steps: int = 0
    update: CandidateState | None = None
    commits: tuple[Commit, ...] = ()
    present: int = 0
    pins: tuple[str, ...] = ()
    are_changes_shown: bool = False
    is_uncertainty_shown: bool = False
    comparison: CompareState | None = field(default=None)
    is_3d: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a session is open."""
        return self.phase == "open"

    @property
    def progress(self) -> TeachProgress:
        """The part that the project stores in addition to strokes and commits."""
        return TeachProgress(self.model, self.scores, self.candidate_scores, self.losses, self.notes)

    @property
    def waiting(self) -> int:
        """How many strokes wait for "Learn now" while live is off."""
        return 0 if self.is_live else self.strokes - self.learnt

    @property
    def is_predicted(self) -> bool:
        """Whether the prediction after the last stroke is complete on its layer."""
        return self.predicted >= self.strokes

    @property
    def obstacle(self) -> str:
        """Why painting is impossible now; empty if it is possible."""
        return IN_3D if self.is_open and self.is_3d else ""

    @property
    def can_decide(self) -> bool:
        """Whether the user may accept or reject a candidate."""
        is_manual = self.settings.network == "ask"
        return is_manual and self.update is not None and self.update.status == "pending"

    @property
    def can_undo(self) -> bool:
        """Whether there is a commit before the current one."""
        return any(commit.number == self.present and commit.parent is not None for commit in self.commits)

    @property
    def can_redo(self) -> bool:
        """Whether there is a commit after the current one."""
        return any(commit.parent == self.present for commit in self.commits)


def apply(state: TeachState, message: SessionMessage) -> TeachState:
    """Return the state after a message of the worker."""
    for payload in message.payloads:
        match payload:
            case SessionOpened():
                state = replace(_opened(state, payload), strokes=message.strokes, learnt=message.strokes)
            case HeadFitted():
                state = replace(_fitted(state, payload), learnt=message.strokes)
            case ColourTile():
                state = replace(state, predicted=state.learnt) if payload.done == payload.total else state
            case StrokesScored():
                state = _scored(state, payload)
            case StepDone():
                losses = () if payload.step == 1 else state.losses  # not those of the previous candidate
                losses = (*losses, payload.loss)[-SHOWN_STEPS:]
                state = replace(state, step=payload.step, steps=payload.steps, losses=losses)
            case CandidateEvaluated():
                update = CandidateState(payload, "pending" if payload.is_better else "discarded")
                scores = (*state.candidate_scores, (state.turn, payload.candidate))
                state = replace(state, update=update, candidate_scores=scores, step=0)
            case HistoryChanged():
                state = _committed(state, payload)
            case StateRestored():
                label = min(state.label, len(payload.classes))
                state = replace(state, classes=payload.classes, label=label, step=0, learnt=message.strokes)
            case PinsChanged():
                state = replace(state, pins=payload.names)
            case ComparisonReady():
                shown = state.comparison.shown if state.comparison else "first"
                state = replace(state, comparison=CompareState(*payload.numbers, shown))
            case RegionSuggested():
                hint = f"Uncertainty here: {payload.uncertainty:.0%}. Paint the correct class."
                state = replace(state, message=ALL_REACHED if payload.region.is_empty else hint)
            case ModelSaved():
                state = replace(state, message=f"Saved {payload.path}")
            case CommandFailed():
                state = replace(state, error=str(payload.error))
    return state


def _opened(state: TeachState, opened: SessionOpened) -> TeachState:
    notes, progress = " ".join(map(in_dock, opened.notes)), opened.progress
    return replace(
        state,
        phase="open",
        classes=opened.classes,
        settings=opened.settings,
        project=opened.project,
        device=opened.device,
        warning="" if opened.project else notes,
        message=notes if opened.project else "",
        turn=opened.turn,
        model=progress.model or state.model,
        scores=progress.scores,
        candidate_scores=progress.candidate_scores,
        losses=progress.losses,
        notes=progress.notes,
        saved_at=_monotonic(progress.saved_at),
    )


def _monotonic(seconds: float) -> float:
    """Return a time since 1970 as a time of `time.monotonic`, to the second; 0 stays 0."""
    return time.monotonic() - max(0.0, time.time() - seconds) if seconds else 0.0


def _scored(state: TeachState, scored: StrokesScored) -> TeachState:
    scores = tuple(point for point in state.scores if point[0] != scored.turn)  # a round that a crash has interrupted
    state = replace(state, turn=scored.turn, scores=(*scores, (scored.turn, scored.accepted)))
    if scored.candidate is None:
        return state
    return replace(state, candidate_scores=(*state.candidate_scores, (scored.turn, scored.candidate)))


def _fitted(state: TeachState, fitted: HeadFitted) -> TeachState:
    classes = tuple(replace(entry, painted=n) for entry, n in zip(state.classes, fitted.painted, strict=False))
    return replace(
        state, turn=fitted.turn, notes=tuple(map(in_dock, fitted.notes)), classes=classes, step=0, message=""
    )


def _committed(state: TeachState, changed: HistoryChanged) -> TeachState:
    update, numbers = state.update, {commit.number for commit in state.commits}
    kinds = {commit.kind for commit in changed.commits if commit.number not in numbers}
    if update is not None and update.status == "pending":
        if "network" in kinds:
            update = replace(update, status="accepted")
        elif changed.is_restored or "classes" in kinds:
            update = replace(update, status="rejected")
    return replace(state, commits=changed.commits, present=changed.present, update=update)
