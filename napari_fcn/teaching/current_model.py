"""The accepted model as it answers: what it has learnt from, and what of its answer is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import Answered, Examined
from napari_fcn.learning import evaluation, suggestions
from napari_fcn.learning.annotations import within
from napari_fcn.learning.cancellation import told
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.teaching import prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.events import TileDone, Working
    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import Pupil
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.settings import TeachSettings


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a commit keeps: a model, and what it has learnt from.

    Attributes
    ----------
    model : Checkpoint
        The weights.
    samples : Samples
        What was painted.
    turn, strokes : int
        The turn in which it learnt that, and how many strokes there were then.
    """

    model: Checkpoint
    samples: Samples
    turn: int
    strokes: int


@dataclass(slots=True, eq=False)
class Accepted:
    """The model in use, on an image and its strokes.

    Attributes
    ----------
    samples : Samples
        What it has learnt from.
    turn, strokes : int
        The turn in which it did, and how many strokes there were then.
    reference : tuple of int
        A pixel of the tile from which the statistics of the features are taken.
    info : ModelInfo
        What it is.
    pupil : Pupil
        Its weights on the image.
    is_settled : bool
        Whether the head has looked at the strokes a second time.
    is_uncommitted : bool
        Whether it has learnt something since the last commit.
    """

    samples: Samples
    turn: int
    strokes: int
    reference: tuple[int, ...]
    info: ModelInfo = field(init=False)
    pupil: Pupil = field(init=False)
    is_settled: bool = True
    is_uncommitted: bool = False
    _shown: Region | None = None  # the last region that shows what the model answers now

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return [label.name for label in self.info.classes]

    @property
    def model(self) -> Checkpoint:
        """The present weights."""
        return Checkpoint.of(self.pupil.net, self.info)

    @property
    def known(self) -> Known:
        """What a commit would keep now."""
        return Known(self.model, self.samples, self.turn, self.strokes)

    def become(self, pupil: Pupil, info: ModelInfo) -> None:
        """Put other weights into use, whose head has settled."""
        self.pupil, self.info = pupil, info
        self.is_settled = True
        self._shown = None

    def begin_turn(self, samples: Samples, view: Region, strokes: int) -> None:
        """Take in strokes; in the first turn, what is on screen tells the statistics of the features."""
        self.turn += 1
        if self.turn == 1:
            self.reference = self.pupil.reference = view.middle
        self.samples, self.strokes = samples.dated(self.samples, self.turn), strokes

    def learn(self, settings: TeachSettings) -> Iterator[Examined | Answered]:
        """Examine the head on the strokes of the turn, then let it learn from all."""
        start = time.monotonic()
        fresh = self.samples.where(self.samples.turn == self.turn)
        marks = evaluation.examine(self.pupil.logits(fresh), self.pupil.labels(fresh)) if len(fresh) else None
        self.pupil.follow(self.samples, settings.keep, settings.seed)
        self._shown = None
        self.is_settled = not self.pupil.net.spec.hidden
        self.is_uncommitted = True  # from here on nothing is lost if nobody asks for the next event
        if marks is not None:
            yield Examined(self.turn, marks.right)
        painted = self.samples.counts(len(self.info.classes))
        yield Answered(self.turn, painted, time.monotonic() - start, suggestions.balance(painted, self.names))

    def settle(self, settings: TeachSettings) -> Iterator[Working]:
        """Let the head look at the strokes a second time; stopped before the end, it stays as it is."""
        yield from told("settle", self.pupil.settle(self.samples, settings.keep, settings.seed))
        self._shown = None
        self.is_settled = self.is_uncommitted = True

    def show(self, view: Region) -> Iterator[Working | TileDone]:
        """Yield the answer for a region if it is not shown as the model answers now."""
        if view.is_empty or (self._shown is not None and self._shown.contains(view)):
            return
        self.pupil.attend(self._focus(view))
        yield from prediction.answers_soon(self.pupil, view)
        self._shown = view

    def _focus(self, view: Region) -> tuple[int, ...]:
        """Return the pixel around which the answer is wanted first: the latest stroke, if it is on screen."""
        fresh = self.samples.where(self.samples.turn == self.turn)
        seen = fresh.where(within(fresh, view))
        return tuple(int(n) for n in np.median(seen.coordinates(), axis=0)) if len(seen) else view.middle

    def forget_shown(self) -> None:
        """Show everything again."""
        self._shown = None
