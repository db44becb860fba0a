"""What the Teach dock shows, as frozen values, and how it follows from what the worker tells."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import in_dock
from napari_fcn.events import CandidateEvaluated, HeadFitted, HistoryChanged, StepDone, StrokesScored
from napari_fcn.gui._controllers.teach.messages import (
    CommandFailed,
    ModelSaved,
    PaintedClass,
    PinsChanged,
    SessionOpened,
    StateRestored,
)
from napari_fcn.gui._controllers.teach.progress import TeachProgress
from napari_fcn.settings import TeachSettings

if TYPE_CHECKING:
    from napari_fcn.events import Commit

SHOWN_STEPS = 500  # losses in the plot
IN_3D = "In the 3-D view nothing can be painted: switch to the 2-D view (Ctrl+Y) to paint."


@dataclass(frozen=True, slots=True)
class CandidateState:
    """A candidate that was judged.

    Attributes
    ----------
    ready : UpdateReady
        The judgement.
    standing : str
        ``"waits"`` for the user's word, or what became of it: ``"taken"``, ``"dropped"``, ``"worse"``.
    """

    ready: CandidateEvaluated
    standing: str


@dataclass(frozen=True, slots=True)
class CompareState:
    """Two commits side by side, and which of them is seen: ``"first"``, ``"second"`` or ``"split"``."""

    first: int
    second: int
    shown: str = "first"


@dataclass(frozen=True, slots=True)
class TeachState:
    """All that the dock shows of the controller.

    Attributes
    ----------
    phase : str
        ``"idle"``, ``"opening"`` or ``"open"``.
    image, model, device : str
        What is taught on what, and where.
    is_live : bool
        Whether each stroke is learnt from at once.
    settings : TeachSettings
        How it learns.
    is_working : bool
        Whether something runs.
    message, error, warning : str
        What happened, what went wrong, and what goes wrong for now.
    notes : tuple of str
        Sentences about the strokes: what is missing or out of balance.
    waiting : int
        Strokes that were painted and not learnt from, as live is off.
    project : str
        The project folder; empty if nothing is saved.
    saved_at : float
        When the latest stroke was on the disk, `time.monotonic`; 0 if there was none.
    is_saving : bool
        Whether something has not been written yet.
    classes : tuple of TaughtClass
        What the model tells apart.
    label : int
        What is painted: 0 nothing, ``k + 1`` class ``k``.
    turn : int
        How often the strokes have changed.
    latency : float or None
        Seconds from the end of the latest stroke to the frame that showed the answer.
    exams : tuple of (int, float)
        Turn and examination score of the accepted weights.
    trials : tuple of (int, float)
        The same of candidates.
    losses : tuple of float
        Of the latest steps of the latest candidate.
    step, steps : int
        Of the candidate that learns; 0 if none does.
    update : Update or None
        The candidate that was judged last.
    commits : tuple of Commit
        All states to which one can go, by number.
    present : int
        The one in use.
    pins : tuple of str
        Names of what must stay as it is.
    are_changes_shown, is_unsure_shown : bool
        Which of the extra layers are shown.
    comparison : Comparison or None
        What is compared.
    is_3d : bool
        Whether the 3-D view is shown, in which nothing can be painted.
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
    waiting: int = 0
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
        """Whether there is something to teach."""
        return self.phase == "open"

    @property
    def progress(self) -> TeachProgress:
        """What of it the project must keep, as nothing else there says it."""
        return TeachProgress(self.model, self.scores, self.candidate_scores, self.losses, self.notes)

    @property
    def obstacle(self) -> str:
        """Why nothing can be painted now; empty if it can."""
        return IN_3D if self.is_open and self.is_3d else ""

    @property
    def can_decide(self) -> bool:
        """Whether a candidate waits for the user's word."""
        is_asking = self.settings.network == "ask"
        return is_asking and self.update is not None and self.update.standing == "waits"

    @property
    def can_undo(self) -> bool:
        """Whether there is a commit before the present one."""
        return any(commit.number == self.present and commit.parent is not None for commit in self.commits)

    @property
    def can_redo(self) -> bool:
        """Whether there is a commit after the present one."""
        return any(commit.parent == self.present for commit in self.commits)


@singledispatch
def apply(told: Any, state: TeachState) -> TeachState:
    """Return the state after what the worker told; what it does not know changes nothing."""
    return state


@apply.register
def _(told: SessionOpened, state: TeachState) -> TeachState:
    warning = "" if told.project else " ".join(map(in_dock, told.notes))
    message = " ".join(map(in_dock, told.notes)) if told.project else ""
    return replace(
        state,
        phase="open",
        classes=told.classes,
        settings=told.settings,
        project=told.project,
        device=told.device,
        warning=warning,
        message=message,
        turn=told.turn,
        model=told.progress.model or state.model,
        scores=told.progress.scores,
        candidate_scores=told.progress.candidate_scores,
        losses=told.progress.losses,
        notes=told.progress.notes,
        saved_at=_ago(told.progress.saved_at),
    )


def _ago(seconds: float) -> float:
    """Return a time since 1970 as `time.monotonic` has it, to the second; 0 stays 0."""
    return time.monotonic() - max(0.0, time.time() - seconds) if seconds else 0.0


@apply.register
def _(told: StrokesScored, state: TeachState) -> TeachState:
    trials = (
        state.candidate_scores if told.candidate is None else (*state.candidate_scores, (told.turn, told.candidate))
    )
    exams = tuple(point for point in state.scores if point[0] != told.turn)  # whose answer an earlier session lost
    return replace(state, turn=told.turn, scores=(*exams, (told.turn, told.accepted)), candidate_scores=trials)


@apply.register
def _(told: HeadFitted, state: TeachState) -> TeachState:
    classes = tuple(replace(known, painted=n) for known, n in zip(state.classes, told.painted, strict=False))
    return replace(
        state, turn=told.turn, notes=tuple(map(in_dock, told.notes)), classes=classes, step=0, waiting=0, message=""
    )


@apply.register
def _(told: StepDone, state: TeachState) -> TeachState:
    earlier = () if told.step == 1 else state.losses  # of another candidate
    losses = (*earlier, told.loss)[-SHOWN_STEPS:]
    return replace(state, step=told.step, steps=told.steps, losses=losses)


@apply.register
def _(told: CandidateEvaluated, state: TeachState) -> TeachState:
    standing = "waits" if told.is_better else "worse"
    trials = (*state.candidate_scores, (state.turn, told.candidate))
    return replace(state, update=CandidateState(told, standing), candidate_scores=trials, step=0)


@apply.register
def _(told: HistoryChanged, state: TeachState) -> TeachState:
    update, known = state.update, {commit.number for commit in state.commits}
    kinds = {commit.kind for commit in told.commits if commit.number not in known}
    if update is not None and update.standing == "waits":
        if "network" in kinds:
            update = replace(update, standing="taken")
        elif told.is_restored or "classes" in kinds:
            update = replace(update, standing="dropped")
    return replace(state, commits=told.commits, present=told.present, update=update)


@apply.register
def _(told: StateRestored, state: TeachState) -> TeachState:
    return replace(state, classes=told.classes, label=min(state.label, len(told.classes)), step=0)


@apply.register
def _(told: PinsChanged, state: TeachState) -> TeachState:
    return replace(state, pins=told.names)


@apply.register
def _(told: ModelSaved, state: TeachState) -> TeachState:
    return replace(state, message=f"Saved {told.path}")


@apply.register
def _(told: CommandFailed, state: TeachState) -> TeachState:
    return replace(state, error=str(told.error))
