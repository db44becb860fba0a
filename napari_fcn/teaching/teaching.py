"""Interactive learning from brush strokes on one image."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn import events
from napari_fcn.inference.device import pick_device
from napari_fcn.models.adapt import filters_only, to_grey, with_classes
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import prediction
from napari_fcn.teaching.candidates import CandidateScheduler
from napari_fcn.teaching.commits import CommitWriter, start_model
from napari_fcn.teaching.context import SavedSession, TeachingContext, bind_to_teach, open_source
from napari_fcn.teaching.current_model import CurrentModel
from napari_fcn.teaching.export import export
from napari_fcn.teaching.label_history import LabelHistory, check_samples
from napari_fcn.teaching.protected_areas import ProtectedAreas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_fcn.geometry import Axes, Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.candidate import Candidate
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.learning.pins import OldIndices, Pin
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.card import ClassLabel, ModelInfo
    from napari_fcn.models.checkpoint import Checkpoint

Event = Any


class Teaching:
    """A model that learns from strokes on an image: heads, fine-tuning, commits and pins.

    It is not thread-safe. A generator may be closed at any event; the next call continues from the state at that event.

    Parameters
    ----------
    image : array-like
        A numpy, dask or zarr array, or any other with ``shape``, ``dtype`` and slices.
    checkpoint : Checkpoint, optional
        The model to start from; a filter bank without a network if not given.
    axes : Binding, Axes or sequence of str, optional
        How the model reads the image, or the role or name of each axis; guessed from the shape if not given.
    settings : TeachSettings, optional
        Settings of learning and of the device.
    classes : tuple of ClassLabel
        The classes to learn; those of the model if not given.
    rgb : bool, optional
        Whether the channels are colours; if not given, three or four channels along the last axis are.
    spacing : tuple of float
        Pixel size per axis in space; all equal if not given.
    record : callable, optional
        Called with the kind and the facts of each action, for replays.
    saved : SavedSession, optional
        The session to resume. Without it, the feature scaler is fitted to the tile in the middle of the image; from the
        first turn on, to that in the middle of the view in that turn.

    Raises
    ------
    ImageError
        If the image is empty, not made of real numbers, or does not fit the model.
    DeviceError
        If the requested device is not available.
    """

    def __init__(
        self,
        image: Any,
        checkpoint: Checkpoint | None = None,
        axes: Binding | Axes | Sequence[str] | None = None,
        settings: TeachSettings | None = None,
        classes: tuple[ClassLabel, ...] = (),
        rgb: bool | None = None,
        spacing: tuple[float, ...] = (),
        record: Callable[..., object] | None = None,
        saved: SavedSession | None = None,
    ) -> None:
        self.settings, saved = settings or TeachSettings(), saved or SavedSession()
        self.device = pick_device(self.settings.device)
        bound = bind_to_teach(image, checkpoint, axes, rgb)
        parent = "" if checkpoint is None else checkpoint.hash
        if checkpoint is not None and not bound.rgb:
            checkpoint = to_grey(checkpoint)
        self.axes, self.source = bound.axes, open_source(image, checkpoint, bound, self.settings)
        if checkpoint is None:
            checkpoint = filters_only(len(self.axes.space), self.axes.channels(np.shape(image)), classes, spacing)
        self.history = saved.history
        start, present = start_model(self.history, checkpoint, classes, spacing), self.history.present
        spec = start.info.spec
        scaling = start.info.normaliser.fit(self.source.sample(), spec.channels if spec.colours else 0)
        parent = parent or checkpoint.hash
        self._context = TeachingContext(self.source, scaling, start, parent, self.device, bound.notes)
        self._record = record or _record_nothing
        self._protected = ProtectedAreas(self.history, saved.pins)
        self._label_history = LabelHistory(self.source.shape, saved.load_samples)
        pixel = saved.reference or tuple(n // 2 for n in self.source.shape)
        self._current = CurrentModel(self._label_history.samples_at(present), present.turn, present.strokes, pixel)
        self._candidates = CandidateScheduler(start.weights, present.turn)
        self._commits = CommitWriter(self.history, self._label_history, self._record)
        self._install(self.history.checkpoint(present.number))
        threads, number = torch.get_num_threads(), present.number
        self._record("open", settings=asdict(self.settings), threads=threads, present=number)

    def _install(self, model: Checkpoint) -> None:
        """Make a model the current one."""
        self._current.replace_with(self._model_of(model), model.info)
        self._candidates.current = None

    def _model_of(self, model: Checkpoint) -> InteractiveModel:
        return self._context.create_model(model, self._current.reference, self.settings.memory)

    @property
    def candidate(self) -> Candidate | None:
        """The candidate in training, or waiting to be accepted."""
        return self._candidates.current

    @property
    def info(self) -> ModelInfo:
        """Description of the current model."""
        return self._current.info

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The classes of the current model."""
        return self.info.classes

    @property
    def model(self) -> InteractiveModel:
        """The current model on the image."""
        return self._current.model

    @property
    def samples(self) -> Samples:
        """The samples that the current model was fitted to."""
        return self._current.samples

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The protected areas, with current class indices."""
        return self._protected.current

    @property
    def original_pins(self) -> tuple[Pin, ...]:
        """The protected areas, with the class indices of the commits at which they were pinned."""
        return self._protected.original

    @property
    def turn(self) -> int:
        """Number of rounds so far."""
        return self._current.turn

    def configure(self, settings: TeachSettings) -> None:
        """Change the settings; a candidate of the old settings is dropped."""
        if settings != self.settings:
            self.settings = settings
            self._candidates.current = None
            self._record("settings", settings=asdict(settings))

    def checkpoint(self, number: int | None = None) -> Checkpoint:
        """Return the model of a commit, or the current one, with a card that describes its training.

        The model contains the original head and the new one. The card states for which fraction of a tile the original
        head still predicts the same class, and lists the commits that led to the model. This does not commit: call
        `commit` first to include the latest fit.
        """
        return export(self._context, self._current, self.history, number)

    def run_round(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
        """Fit the head to all strokes, predict the view, then fine-tune the network.

        Parameters
        ----------
        samples : Samples
            All painted pixels.
        view : Region
            The visible part of the image.
        strokes : int
            Number of strokes in the journal.

        Yields
        ------
        StrokesScored, HeadFitted
            If the strokes changed.
        TileDone
            For each tile of the view whose prediction is not up to date.
        HistoryChanged
            For each new commit: that of a deferred fit, and that of this fit once it is complete.
        HeadRefined, TileDone
            If the full head is not fitted to these strokes yet.
        StepDone, CandidateEvaluated
            While a candidate is fine-tuned, and after its evaluation.
        Heartbeat
            Between these, wherever the computation can be stopped.
        """
        check_samples(samples, self.source.shape, len(self.classes))
        view = view.clip(self.source.shape)
        if not samples.equals(self.samples):
            yield from self.fit_head(samples, view, strokes)
        yield from self.predict(view)
        yield from self.commit_pending()
        yield from self.fit_full_head()
        yield from self.predict(view)
        yield from self.commit()
        yield from self._improve(view)

    def fit_head(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
        """Fit the head to all strokes: the first step of `run_round`."""
        check_samples(samples, self.source.shape, len(self.classes))
        current, candidates = self._current, self._candidates
        if current.is_uncommitted:
            yield from self._commits.add_deferred()
            self._commits.defer(current.snapshot)
            current.is_uncommitted = False
        current.start_round(samples, view, strokes)
        self._record("turn", turn=self.turn, strokes=strokes, reference=current.reference, steps=candidates.steps_done)
        candidates.start_round(self.samples)
        yield from current.fit_head(self.settings, self._context.notes)

    def fit_full_head(self) -> Iterator[events.Heartbeat | events.HeadRefined]:
        """Fit the full head, with its hidden layer; if the generator is closed early, the head stays unchanged."""
        for event in self._current.fit_full_head(self.settings):
            if isinstance(event, events.HeadRefined):
                self._record("settle", turn=self.turn)
            yield event

    def predict(self, view: Region) -> Iterator[events.Heartbeat | events.TileDone]:
        """Yield the prediction of a region if it is not up to date.

        It is one tile if all features are cached, so that it is drawn once; else it is predicted tile by tile.
        """
        yield from self._current.predict_tiles(view.clip(self.source.shape))

    def forget_predictions(self) -> None:
        """Predict every region again when it is next requested, for example after its layers were removed."""
        self._current.forget_predictions()

    def commit(self) -> Iterator[events.HistoryChanged]:
        """Commit the deferred head, then the current head, unless they are committed already."""
        yield from self._commits.add_deferred()
        if self._current.is_uncommitted:
            self._current.is_uncommitted = False
            yield self._commits.add("head", {}, self._current.snapshot)

    def commit_pending(self) -> Iterator[events.HistoryChanged]:
        """Commit the deferred head, which was fitted before the latest strokes, if there is one."""
        yield from self._commits.add_deferred()

    def _improve(self, view: Region) -> Iterator[Event]:
        """Fine-tune and evaluate candidates until none is due."""
        yield from self._accept_automatically(view)
        while self.model.net.trunk is not None and self._candidates.is_due(self.samples, self.turn, self.settings):
            yield from self.finetune(self._candidates.next_evaluation_step(self.settings.judge_every))
            yield from self.evaluate(view)
            yield from self._accept_automatically(view)

    def _accept_automatically(self, view: Region) -> Iterator[Event]:
        if self._candidates.winner is not None and self.settings.network == "automatic":
            yield from self.accept()
            yield from self.predict(view)

    def finetune(self, steps: int) -> Iterator[events.Heartbeat | events.StepDone]:
        """Fine-tune a candidate on the strokes before the latest turn, up to ``steps`` steps in total."""
        yield from self._candidates.run_steps(self.model, self.samples, self.turn, self.settings, steps)

    def evaluate(self, view: Region) -> Iterator[events.Heartbeat | events.CandidateEvaluated]:
        """Evaluate the candidate, and yield the result with the changes of the prediction in a region.

        If the generator is closed early, nothing is decided; the next call reuses the computed features.
        """
        candidate = self.candidate
        assert candidate is not None
        fit_options = (self.settings.keep, self.settings.seed)
        event = yield from candidate.evaluate(self.model, self.samples, fit_options, self.pins, view)
        self._record("judge", turn=self.turn, steps=candidate.tuner.steps_done)
        self._candidates.discard_if_exhausted(self.turn, self.settings.attempts)
        yield event

    def accept(self) -> Iterator[events.Heartbeat | events.HistoryChanged]:
        """Replace the current model by the candidate, if it was better."""
        candidate = self._candidates.winner
        if candidate is None or candidate.winner is None:
            return
        yield from self.commit()
        yield from candidate.refit_winner(self.samples, (self.settings.keep, self.settings.seed))
        self._current.replace_with(candidate.winner, self.info)
        self._candidates.promote()
        yield self._commits.add("network", candidate.scores, self._current.snapshot)

    def reject(self) -> None:
        """Drop the candidate that waits to be accepted."""
        self._candidates.finish_turn(self.turn)
        self._record("reject", turn=self.turn)

    def undo(self) -> Iterator[events.HistoryChanged]:
        """Go back to the parent of the present commit: its weights and its strokes."""
        yield from self.commit()
        yield from self._restore(self.history.undo())

    def redo(self) -> Iterator[events.HistoryChanged]:
        """Go forward to the commit that was present before the last undo."""
        yield from self.commit()
        yield from self._restore(self.history.redo())

    def go_to(self, number: int) -> Iterator[events.HistoryChanged]:
        """Go to a commit; the next commit becomes its child."""
        yield from self.commit()
        if number == self.history.present.number:  # the strokes may differ, the weights do not
            self._record("present", number=number)
            yield self.history.event(is_restored=True)
        else:
            yield from self._restore(self.history.go_to(number))

    def _restore(self, commit: events.Commit | None) -> Iterator[events.HistoryChanged]:
        if commit is None:
            return
        current = self._current
        self._install(self.history.checkpoint(commit.number))
        current.samples, current.strokes = self._label_history.samples_at(commit), commit.strokes
        current.turn = self._candidates.last_finished_turn = max(self.turn, commit.turn)
        self._record("present", number=commit.number)
        yield self.history.event(is_restored=True)

    def rename(self, number: int, name: str) -> Iterator[events.HistoryChanged]:
        """Give a commit a name."""
        self.history.rename(number, name)
        self._record("rename", number=number, name=name)
        yield self.history.event()

    def set_classes(self, classes: tuple[ClassLabel, ...], old_indices: OldIndices) -> Iterator[events.HistoryChanged]:
        """Add, remove, rename, recolour or reorder the classes.

        Parameters
        ----------
        classes : tuple of ClassLabel
            The new classes.
        old_indices : tuple of int or None
            The old index of each class, None for a new class. Samples of removed classes are dropped; the caller
            renumbers the labels.
        """
        yield from self.commit()
        self._install(with_classes(self._current.checkpoint, classes, old_indices))
        self._current.samples = self.samples.remap_classes(old_indices)
        self._record("classes", classes=[asdict(label) for label in classes], kept=old_indices)
        event = self._commits.add("classes", {}, self._current.snapshot)
        self.history.record_class_change(old_indices)
        yield event

    def pin(self, region: Region, name: str) -> None:
        """Protect a region: candidates that change its prediction are rejected.

        Raises
        ------
        ImageError
            If the region is outside the image.
        """
        pin = self._protected.add(self.model, region, name)
        self._record("pin", name=name, region=pin.region, classes=pin.classes)

    def unpin(self, name: str) -> None:
        """Remove a pin."""
        self._protected.remove(name)
        self._record("unpin", name=name)

    def compare(self, first: int, second: int, view: Region) -> Iterator[events.Heartbeat | events.ComparisonTile]:
        """Yield the predictions of two commits for the tiles of a region."""
        for number in (first, second):
            model = self._model_of(self.history.checkpoint(number))
            yield from prediction.predict_commit(number, model, view.clip(self.source.shape))

    def prefetch(self, view: Region) -> Iterator[events.Heartbeat]:
        """Compute the features around a region, so that they are cached when it comes into view."""
        yield from prediction.prefetch_around(self.model, view.clip(self.source.shape))

    def uncertainty(self, view: Region) -> Iterator[events.UncertaintyDone]:
        """Yield the entropy of the prediction for each tile of a region."""
        yield from prediction.predict_uncertainty(self.model, view)

    def suggest(self, view: Region) -> Iterator[events.RegionSuggested]:
        """Yield the most uncertain pixel of a region with no stroke in its receptive field."""
        yield from prediction.suggest_region(self.model, self.samples, view.clip(self.source.shape))


def _record_nothing(kind: str, **facts: object) -> None:
    """Record nothing."""
