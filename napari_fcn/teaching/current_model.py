"""The accepted model as it answers: what it has learnt from, and what of its answer is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.events import HeadFitted, StrokesScored
from napari_fcn.learning import evaluation, suggestions
from napari_fcn.learning.annotations import is_inside
from napari_fcn.learning.cancellation import with_heartbeat
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.teaching import prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_fcn.events import Heartbeat, TileDone
    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.settings import TeachSettings


@dataclass(frozen=True, slots=True, eq=False)
class ModelSnapshot:
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
class CurrentModel:
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
    model: InteractiveModel = field(init=False)
    is_converged: bool = True
    is_uncommitted: bool = False
    _predicted: Region | None = None  # the last region that shows what the model answers now

    @property
    def class_names(self) -> list[str]:
        """Of the classes."""
        return [label.name for label in self.info.classes]

    @property
    def checkpoint(self) -> Checkpoint:
        """The present weights."""
        return Checkpoint.of(self.model.net, self.info)

    @property
    def snapshot(self) -> ModelSnapshot:
        """What a commit would keep now."""
        return ModelSnapshot(self.checkpoint, self.samples, self.turn, self.strokes)

    def replace_with(self, model: InteractiveModel, info: ModelInfo) -> None:
        """Put other weights into use, whose head has settled."""
        self.model, self.info = model, info
        self.is_converged = True
        self._predicted = None

    def start_round(self, samples: Samples, view: Region, strokes: int) -> None:
        """Take in strokes; in the first turn, what is on screen tells the statistics of the features."""
        self.turn += 1
        if self.turn == 1:
            self.reference = self.model.reference = view.middle
        self.samples, self.strokes = samples.with_turns(self.samples, self.turn), strokes

    def fit_head(self, settings: TeachSettings) -> Iterator[StrokesScored | HeadFitted]:
        """Examine the head on the strokes of the turn, then let it learn from all."""
        start = time.monotonic()
        fresh = self.samples.select(self.samples.turn == self.turn)
        marks = evaluation.evaluate(self.model.logits(fresh), self.model.labels(fresh)) if len(fresh) else None
        self.model.fit_linear(self.samples, settings.keep, settings.seed)
        self._predicted = None
        self.is_converged = not self.model.net.spec.hidden
        self.is_uncommitted = True  # from here on nothing is lost if nobody asks for the next event
        if marks is not None:
            yield StrokesScored(self.turn, marks.accuracy)
        painted = self.samples.counts(len(self.info.classes))
        yield HeadFitted(
            self.turn, painted, time.monotonic() - start, suggestions.class_balance_advice(painted, self.class_names)
        )

    def fit_full_head(self, settings: TeachSettings) -> Iterator[Heartbeat]:
        """Let the head look at the strokes a second time; stopped before the end, it stays as it is."""
        yield from with_heartbeat("settle", self.model.fit_full(self.samples, settings.keep, settings.seed))
        self._predicted = None
        self.is_converged = self.is_uncommitted = True

    def predict_tiles(self, view: Region) -> Iterator[Heartbeat | TileDone]:
        """Yield the answer for a region if it is not shown as the model answers now."""
        if view.is_empty or (self._predicted is not None and self._predicted.contains(view)):
            return
        self.model.focus_on(self._focus(view))
        yield from prediction.predict_cached(self.model, view)
        self._predicted = view

    def _focus(self, view: Region) -> tuple[int, ...]:
        """Return the pixel around which the answer is wanted first: the latest stroke, if it is on screen."""
        fresh = self.samples.select(self.samples.turn == self.turn)
        seen = fresh.select(is_inside(fresh, view))
        return tuple(int(n) for n in np.median(seen.coordinates(), axis=0)) if len(seen) else view.middle

    def forget_predictions(self) -> None:
        """Show everything again."""
        self._predicted = None
