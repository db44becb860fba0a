"""The current model: its samples, its fits, and the region whose prediction is up to date."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.cancellation import with_heartbeat
from napari_fcn.events import HeadFitted, HeadRefined, StrokesScored
from napari_fcn.learning import evaluation, suggestions
from napari_fcn.learning.annotations import is_inside
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.teaching import prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_fcn.events import Heartbeat, TileDone
    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.settings import TeachSettings


@dataclass(frozen=True, slots=True, eq=False)
class ModelSnapshot:
    """The content of a commit: a model and its samples.

    Attributes
    ----------
    model : Checkpoint
        The weights.
    samples : Samples
        The samples that the model was fitted to.
    turn, strokes : int
        The turn of the fit, and the number of strokes at that time.
    """

    model: Checkpoint
    samples: Samples
    turn: int
    strokes: int


@dataclass(slots=True, eq=False)
class CurrentModel:
    """The current model on an image.

    Attributes
    ----------
    samples : Samples
        The samples that the model was fitted to.
    turn, strokes : int
        The turn of the fit, and the number of strokes at that time.
    reference : tuple of int
        A pixel of the tile that the feature scaler is fitted to.
    info : ModelInfo
        Description of the model.
    model : InteractiveModel
        The model on the image.
    is_converged : bool
        Whether the full head is fitted to the samples.
    is_uncommitted : bool
        Whether the model was fitted since the last commit.
    """

    samples: Samples
    turn: int
    strokes: int
    reference: tuple[int, ...]
    info: ModelInfo = field(init=False)
    model: InteractiveModel = field(init=False)
    is_converged: bool = True
    is_uncommitted: bool = False
    _predicted: Region | None = None  # the last region whose prediction is up to date

    @property
    def class_names(self) -> list[str]:
        """Names of the classes."""
        return [label.name for label in self.info.classes]

    @property
    def checkpoint(self) -> Checkpoint:
        """The current model as a checkpoint."""
        return Checkpoint.of(self.model.net, self.info)

    @property
    def snapshot(self) -> ModelSnapshot:
        """The content of a commit made now."""
        return ModelSnapshot(self.checkpoint, self.samples, self.turn, self.strokes)

    def replace_with(self, model: InteractiveModel, info: ModelInfo) -> None:
        """Replace the model by another whose full head is fitted."""
        self.model, self.info = model, info
        self.is_converged = True
        self._predicted = None

    def start_round(self, samples: Samples, view: Region, strokes: int) -> None:
        """Set the samples of a new turn; in the first turn, also the reference pixel: the middle of the view."""
        self.turn += 1
        if self.turn == 1:
            self.reference = self.model.reference = view.middle
        self.samples, self.strokes = samples.with_turns(self.samples, self.turn), strokes

    def fit_head(self, settings: TeachSettings, notes: Sequence[str]) -> Iterator[StrokesScored | HeadFitted]:
        """Score the head on the strokes of the turn, then fit it to all strokes; the event includes ``notes``."""
        start = time.monotonic()
        new_samples = self.samples.select(self.samples.turn == self.turn)
        scores = (
            evaluation.evaluate(self.model.logits(new_samples), self.model.labels(new_samples))
            if len(new_samples)
            else None
        )
        self.model.fit_linear(self.samples, settings.keep, settings.seed)
        self._predicted = None
        self.is_converged = not self.model.net.spec.hidden
        self.is_uncommitted = True  # set before the first event: the generator may be closed there
        if scores is not None:
            yield StrokesScored(self.turn, scores.accuracy)
        painted = self.samples.counts(len(self.info.classes))
        advice = suggestions.class_balance_advice(painted, self.class_names)
        yield HeadFitted(self.turn, painted, time.monotonic() - start, (*advice, *notes))

    def fit_full_head(self, settings: TeachSettings) -> Iterator[Heartbeat | HeadRefined]:
        """Fit the full head unless it is converged; if the generator is closed early, the head stays unchanged."""
        if self.is_converged:
            return
        start = time.monotonic()
        yield from with_heartbeat("settle", self.model.fit_full(self.samples, settings.keep, settings.seed))
        self._predicted = None
        self.is_converged = self.is_uncommitted = True
        yield HeadRefined(self.turn, time.monotonic() - start)

    def predict_tiles(self, view: Region) -> Iterator[Heartbeat | TileDone]:
        """Yield the prediction of a region if it is not up to date."""
        if view.is_empty or (self._predicted is not None and self._predicted.contains(view)):
            return
        self.model.focus_on(self._focus(view))
        yield from prediction.predict_cached(self.model, view)
        self._predicted = view

    def _focus(self, view: Region) -> tuple[int, ...]:
        """Return the pixel to predict first: the middle of the latest strokes in the view, or of the view."""
        new_samples = self.samples.select(self.samples.turn == self.turn)
        visible = new_samples.select(is_inside(new_samples, view))
        return tuple(int(n) for n in np.median(visible.coordinates(), axis=0)) if len(visible) else view.middle

    def forget_predictions(self) -> None:
        """Predict every region again when it is next requested."""
        self._predicted = None
