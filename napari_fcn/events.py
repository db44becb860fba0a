"""What the engine yields while it works: frozen facts, each complete in itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Region


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """A prediction is about to start.

    Attributes
    ----------
    tiles : int
        Number of tiles.
    tile, halo : tuple
        Core length and (before, after) halo per image axis, in pixels.
    device, precision : str
        Where and in which numbers the network runs, for example ``"cpu"`` and ``"float32"``.
    peak_bytes : int
        Memory that the run is predicted to need beyond what is in use, in bytes.
    notes : tuple of str
        Sentences for the user: what was replaced, guessed or left out.
    done : int
        Tiles that an earlier run has finished.
    allowed_bytes : int
        Memory that the run may take; 0 where nobody has set a limit.
    """

    tiles: int
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    device: str
    precision: str
    peak_bytes: int
    notes: tuple[str, ...] = ()
    done: int = 0
    allowed_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TileDone:
    """The answer for one tile.

    Attributes
    ----------
    region : Region
        Where it lies, on the image axes.
    probabilities : ndarray
        ``(classes, *region.shape)`` float32, sums to one over the classes.
    done, total : int
        Tiles finished so far, and in all.
    """

    region: Region
    probabilities: npt.NDArray[np.float32]
    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class ResultsDone:
    """The results for one tile, as they stand in files: what comes back from another computer.

    Attributes
    ----------
    region : Region
        Where it lies, on the image axes.
    results : mapping of str to ndarray
        For each kind of result, ``(classes, *region.shape)`` for probabilities, else ``region.shape``.
    done, total : int
        Tiles finished so far, and in all.
    """

    region: Region
    results: Mapping[str, npt.NDArray[np.generic]]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ObjectsStep:
    """Part of the image has been searched for objects: ``done`` of ``total``."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FallbackTaken:
    """Memory ran out, and the run goes on with less; tiles that are done stay as they are.

    Attributes
    ----------
    line : str
        A sentence or two for the user: what did not fit, and what is tried now.
    tile : tuple of int
        Core length per image axis from now on, in pixels.
    device, precision : str
        Where and in which numbers the network runs from now on.
    total : int
        Tiles in all, those that are done included.
    """

    line: str
    tile: tuple[int, ...]
    device: str
    precision: str
    total: int


@dataclass(frozen=True, slots=True)
class RunDone:
    """A prediction has finished.

    Attributes
    ----------
    pixels : int
        Pixels of the image (all loop axes included).
    seconds : float
        Time from the first read to the last tile.
    device, precision : str
        Where and in which numbers the network ran.
    notes : tuple of str
        Sentences for the user: what happened on the way.
    """

    pixels: int
    seconds: float
    device: str
    precision: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelsFound:
    """The labels were read, and nothing has been learnt from them yet.

    Attributes
    ----------
    split : str
        ``"training"``, ``"validation"``, or ``"image"`` where one image is learnt from.
    images : int
        Images, or planes of a stack.
    classes : tuple of str
        Names of the classes.
    pixels : tuple of int
        Labelled pixels of each class.
    unknown : int
        Pixels about which nothing is known; they do not count.
    notes : tuple of str
        Sentences for the user: what was converted, and what is odd.
    """

    split: str
    images: int
    classes: tuple[str, ...]
    pixels: tuple[int, ...]
    unknown: int
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """A sentence for the user: how many pixels each class has."""
        known = max(1, sum(self.pixels))
        parts = [f"{name} {n} px ({n / known:.1%})" for name, n in zip(self.classes, self.pixels, strict=True)]
        ending = "" if self.images == 1 else "s"
        where = "the image" if self.split == "image" else f"{self.images} {self.split} image{ending}"
        return f"Labels of {where}: {', '.join(parts)}; {self.unknown} px not labelled."


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass of training has finished.

    Attributes
    ----------
    epoch, epochs : int
        Passes finished so far, and planned.
    loss : float
        Mean training loss of the pass.
    scores : dict of str to float
        Validation scores, each in 0..1, higher is better.
    best : bool
        Whether these are the best weights so far (they are on disk).
    seconds : float
        Time since the start of training.
    """

    epoch: int
    epochs: int
    loss: float
    scores: dict[str, float]
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class HeadFitted:
    """The head has learnt from all strokes; the tiles that follow show it.

    Attributes
    ----------
    turn : int
        How often the strokes have changed so far.
    painted : tuple of int
        Painted pixels of each class.
    seconds : float
        Time that the head took.
    notes : tuple of str
        Sentences for the user: what is missing or out of balance.
    """

    turn: int
    painted: tuple[int, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing to tell yet: whoever waits for something else can stop here.

    Attributes
    ----------
    task : str
        ``"show"``: the answer for what is on screen; ``"settle"``: a second look at the strokes; ``"step"``: a step of
        a whole network; ``"judge"``: its examination.
    """

    task: str


@dataclass(frozen=True, slots=True)
class HeadRefined:
    """The head has looked at the strokes a second time; the tiles that follow show it.

    Attributes
    ----------
    turn : int
        How often the strokes have changed so far.
    seconds : float
        Time that it took.
    """

    turn: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StrokesScored:
    """New strokes were an examination before anything learnt from them.

    Attributes
    ----------
    turn : int
        The turn in which the strokes were painted.
    accepted : float
        Share of the new strokes that the accepted weights had right, mean over their classes, 0..1.
    candidate : float or None
        The same of the candidate; None if there is none.
    """

    turn: int
    accepted: float
    candidate: float | None = None


@dataclass(frozen=True, slots=True)
class StepDone:
    """The candidate, a copy of the whole network, has learnt one step.

    Attributes
    ----------
    step, steps : int
        Steps so far, and until it is judged.
    loss : float
        Mean loss of the step.
    seconds : float
        Time since the candidate began.
    """

    step: int
    steps: int
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Change:
    """A connected place where the candidate answers another class than the accepted weights.

    Attributes
    ----------
    region : Region
        Its box on the image axes.
    pixels : int
        Its size.
    before, after : int
        Class index that most of it had, and has.
    """

    region: Region
    pixels: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class PinScore:
    """How much of a pin is as it was when it was pinned, 0..1, with the accepted weights and with the candidate."""

    name: str
    accepted: float
    candidate: float


@dataclass(frozen=True, slots=True, eq=False)
class CandidateEvaluated:
    """The candidate was judged.

    Attributes
    ----------
    accepted, candidate : float
        Examination scores, 0..1.
    pins : tuple of PinScore
        How the pins fare.
    is_better : bool
        Whether it wins the examination and no pin gets worse.
    reason : str
        The judgement as a sentence.
    changes : tuple of Change
        What would change in the part of the image that is on screen, largest first.
    region : Region
        That part.
    changed : ndarray
        ``region.shape`` uint8: 0 where nothing changes, else 1 + the class index that the candidate answers.
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
    """A state of the weights to which one can return, and what it was made of.

    Attributes
    ----------
    number : int
        0 is the model at the start.
    parent : int or None
        The commit that it was made from.
    kind : str
        ``"start"``, ``"head"`` (strokes answered), ``"network"`` (a candidate was accepted) or ``"classes"``.
    turn : int
        The turn after which it was made.
    strokes : int
        Strokes in the journal that belong to it.
    hash : str
        Of the model, as `Checkpoint.hash`.
    scores : dict of str to float
        Examination scores, where there are some.
    name : str
        Given by the user.
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
    """There is a new commit, a new name, or another commit is the present one.

    Attributes
    ----------
    commits : tuple of Commit
        All, by number.
    present : int
        The one whose weights are in use.
    is_restored : bool
        Whether the user went to it (undo, redo, or a click), so that the strokes must follow.
    """

    commits: tuple[Commit, ...]
    present: int
    is_restored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonTile:
    """The answer of one commit for one tile, for two to be looked at side by side."""

    commit: int
    tile: TileDone


@dataclass(frozen=True, slots=True, eq=False)
class UncertaintyDone:
    """How unsure the network is.

    Attributes
    ----------
    region : Region
        Where, on the image axes.
    values : ndarray
        ``region.shape`` float32, 0 (sure) to 1 (all classes alike).
    """

    region: Region
    values: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RegionSuggested:
    """The most uncertain place that no stroke reaches yet.

    Attributes
    ----------
    region : Region
        What the network sees around it, on the image axes; empty if there is no such place.
    index : tuple of int
        The pixel itself.
    uncertainty : float
        0 to 1.
    """

    region: Region
    index: tuple[int, ...]
    uncertainty: float


@dataclass(frozen=True, slots=True, eq=False)
class FieldDone:
    """What moves the answer at one pixel, or at several on average (Luo et al. 2016).

    Attributes
    ----------
    region : Region
        The theoretical field on the image axes: nothing outside of it has any influence. For a mean over pixels it is
        relative to the pixel.
    heat : ndarray
        ``region.shape`` float32: the share that each pixel has in the influence; sums to one.
    index : tuple of int
        The pixel, on the image axes; zeros for a mean.
    label : int
        Index of the class whose logit was asked.
    size : tuple of int
        Length of the theoretical field per image axis, not cut off by the border.
    widths : tuple of int
        Length per image axis that holds 90 % of the influence.
    r50, r90, r99 : float
        Distance in pixels within which 50, 90 and 99 % of the influence lie.
    used : float
        Share of the theoretical field that counts, 0..1.
    seconds : float
        Time from the question to the answer.
    """

    region: Region
    heat: npt.NDArray[np.float32]
    index: tuple[int, ...]
    label: int
    size: tuple[int, ...]
    widths: tuple[int, ...]
    r50: float
    r90: float
    r99: float
    used: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CheckStep:
    """Part of a certificate, an equivariance map or a border map is done: ``done`` of ``total`` runs."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """The same image was answered in one piece and in tiles.

    Attributes
    ----------
    region : Region
        The part of the image that was compared.
    difference : ndarray
        ``region.shape`` float32: the largest difference of a probability at each pixel.
    is_exact : bool
        Whether no probability differs by more than ``tolerance``.
    max_error, mean_error, tolerance : float
        Of probabilities.
    label_flips : int
        Pixels of another class.
    tiles : int
        Number of tiles.
    halo_needed, halo_used : tuple of (int, int)
        Pixels before and after a tile per axis of the network that it sees, and that the tiles read.
    reason : str
        Why the tiles are exact or why not, and what was compared, for the user.
    """

    region: Region
    difference: npt.NDArray[np.float32]
    is_exact: bool
    max_error: float
    mean_error: float
    tolerance: float
    label_flips: int
    tiles: int
    halo_needed: tuple[tuple[int, int], ...]
    halo_used: tuple[tuple[int, int], ...]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class EquivarianceDone:
    """The image was shifted, by 1 to as many pixels as the pooling grid has, to see whether the answer follows.

    Attributes
    ----------
    region : Region
        Where, on the image axes.
    values : ndarray
        ``region.shape`` float32: the largest change of a probability over all shifts, 0 where the answer follows.
    by_shift : tuple of tuple of float
        Per axis of the network, the mean change for a shift by 1, 2, ... pixels.
    flips : float
        Share of the pixels that change class at some shift, 0..1.
    sentence : str
        The finding, for the user.
    """

    region: Region
    values: npt.NDArray[np.float32]
    by_shift: tuple[tuple[float, ...], ...]
    flips: float
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class BorderTrustDone:
    """How much of an answer near the border of the image rests on padding.

    Attributes
    ----------
    region : Region
        Where, on the image axes.
    outside : ndarray
        ``region.shape`` float32: the share of what a pixel uses that lies outside of the image, 0..1.
    change : ndarray
        ``region.shape`` float32: by how much a probability differs between zero, reflect and replicate padding.
    depth : int
        Pixels from the border within which some probability differs by more than 0.01.
    flips : float
        Share of those pixels whose class depends on the padding, 0..1.
    sentence : str
        The finding, for the user.
    """

    region: Region
    outside: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]
    depth: int
    flips: float
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class ReachDone:
    """Which answers a stroke can influence.

    Attributes
    ----------
    region : Region
        The smallest box on the image axes that holds them.
    mask : ndarray
        ``region.shape`` bool: the pixels whose answer depends on a pixel of the stroke.
    """

    region: Region
    mask: npt.NDArray[np.bool_]
