"""Events of teaching: learning from strokes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_fcn.events.run import TileDone
    from napari_fcn.geometry import Region


@dataclass(frozen=True, slots=True)
class HeadFitted:
    """The head was fitted to all strokes; the tiles that follow are its predictions.

    Attributes
    ----------
    turn : int
        Round of learning: the number of changes of the strokes so far.
    painted : tuple of int
        Painted pixels of each class.
    seconds : float
        Duration of the fit.
    notes : tuple of str
        Sentences for the user: missing or unbalanced classes.
    """

    turn: int
    painted: tuple[int, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Work is in progress without a result yet; the caller can stop here.

    Attributes
    ----------
    task : str
        ``"show"``: prediction of the visible area; ``"look ahead"``: features around it; ``"settle"``: full fit of the
        head; ``"step"``: a fine-tuning step of the candidate; ``"judge"``: its evaluation.
    """

    task: str


@dataclass(frozen=True, slots=True)
class HeadRefined:
    """The full fit of the head has finished; the tiles that follow are its predictions.

    Attributes
    ----------
    turn : int
        Round of learning, as in `HeadFitted`.
    seconds : float
        Duration of the fit.
    """

    turn: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StrokesScored:
    """New strokes were used as test strokes, before training on them.

    Attributes
    ----------
    turn : int
        Round of learning in which the strokes were painted.
    accepted : float
        Accuracy of the current model on the new strokes, mean over their classes, 0..1.
    candidate : float or None
        Accuracy of the candidate; None without a candidate.
    """

    turn: int
    accepted: float
    candidate: float | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """The candidate, a copy of the whole network, was fine-tuned for one step.

    Attributes
    ----------
    step, steps : int
        Steps so far, and until the evaluation.
    loss : float
        Mean loss of the step.
    seconds : float
        Time since the first step of the candidate.
    """

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Change:
    """A connected region where candidate and current model predict different classes.

    Attributes
    ----------
    region : Region
        Bounding box on the image axes.
    pixels : int
        Number of pixels.
    before, after : int
        Most frequent class index with the current model, and with the candidate.
    """

    region: Region
    pixels: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class PinScore:
    """Fraction of a pin that is predicted as when it was pinned, 0..1, by the current model and by the candidate."""

    name: str
    accepted: float
    candidate: float


@dataclass(frozen=True, slots=True, eq=False)
class CandidateEvaluated:
    """The candidate was evaluated.

    Attributes
    ----------
    accepted, candidate : float
        Accuracy on the test strokes, 0..1, of the current model and of the candidate.
    pins : tuple of PinScore
        Scores of the pins.
    is_better : bool
        Whether the candidate is better on the test strokes, and no pin is worse.
    reason : str
        The decision, as a sentence for the user.
    changes : tuple of Change
        What would change in the visible part of the image, largest first.
    region : Region
        The visible part, on the image axes.
    changed : ndarray
        ``region.shape`` uint8: 0 where nothing changes, else 1 + the class index that the candidate predicts.
    """

    accepted: float
    candidate: float
    pins: tuple[PinScore, ...]
    is_better: bool
    reason: str
    changes: tuple[Change, ...]
    region: Region
    changed: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Commit:
    """A recorded state of the weights, which can be restored.

    Attributes
    ----------
    number : int
        0 is the initial model.
    parent : int or None
        The commit before it; None for the initial model.
    kind : str
        ``"start"`` (the initial model), ``"head"`` (the head was fitted to strokes), ``"network"`` (a candidate was
        accepted) or ``"classes"`` (classes were added, removed, renamed or recoloured).
    turn : int
        Round of learning after which it was made.
    strokes : int
        Number of the last stroke that belongs to it, in the journal.
    hash : str
        Hash of the model, as `Checkpoint.hash`.
    scores : dict of str to float
        Scores of the evaluation; empty if there was none.
    name : str
        Name given by the user; empty without one.
    """

    number: int
    parent: int | None
    kind: str
    turn: int
    strokes: int
    hash: str
    scores: dict[str, float] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class HistoryChanged:
    """A commit was added or renamed, or another commit became the present one.

    Attributes
    ----------
    commits : tuple of Commit
        All commits, by number.
    present : int
        Number of the commit whose weights are in use.
    is_restored : bool
        Whether the user restored it (undo, redo, or a click), so that its strokes must be restored too.
    """

    commits: tuple[Commit, ...]
    present: int
    is_restored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonTile:
    """The prediction of one commit for one tile, to compare two commits."""

    commit: int
    tile: TileDone


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyDone:
    """The uncertainty of the network was computed.

    Attributes
    ----------
    region : Region
        Region on the image axes.
    values : ndarray
        ``region.shape`` float32, 0 (certain) to 1 (all classes equally probable).
    """

    region: Region
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RegionSuggested:
    """The most uncertain pixel that no stroke influences yet.

    Attributes
    ----------
    region : Region
        Its receptive field on the image axes; empty if there is no such pixel.
    index : tuple of int
        The pixel, on the image axes.
    uncertainty : float
        0 to 1.
    """

    region: Region
    index: tuple[int, ...]
    uncertainty: float
