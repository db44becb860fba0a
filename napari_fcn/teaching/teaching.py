"""A model that learns from brush strokes on one image: the only place where weights change."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_fcn.errors import ImageError, ModelError
from napari_fcn.events import ComparisonTile, HeadFitted, HeadRefined, TileDone
from napari_fcn.inference.device import pick_device
from napari_fcn.learning.cancellation import with_heartbeat as with_pauses
from napari_fcn.learning.history import History
from napari_fcn.learning.pins import REMOVED, Pin, remap_pins, remove_pin, to_new_indices
from napari_fcn.models.adapt import filters_only, make_teachable, with_classes
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import prediction
from napari_fcn.teaching.candidates import CandidateScheduler
from napari_fcn.teaching.context import TeachingContext, bind_to_teach, open_source
from napari_fcn.teaching.current_model import CurrentModel, ModelSnapshot
from napari_fcn.teaching.export import export
from napari_fcn.teaching.label_history import LabelHistory, check_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_fcn.events import (
        CandidateEvaluated,
        Commit,
        Heartbeat,
        HistoryChanged,
        RegionSuggested,
        StepDone,
        StrokesScored,
        UncertaintyDone,
    )
    from napari_fcn.geometry import Axes, Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.candidate import Candidate
    from napari_fcn.learning.interactive_model import InteractiveModel
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.card import ClassLabel, ModelInfo
    from napari_fcn.models.checkpoint import Checkpoint

Event = Any


class Teaching:
    """A model, an image, and what strokes have taught the model there.

    Not for two threads at once. Generators may be closed at any event; the next call goes on where they were.

    Parameters
    ----------
    image : array-like
        numpy, dask, zarr or anything else with ``shape``, ``dtype`` and slices.
    checkpoint : Checkpoint, optional
        The model to start from; without it a filter bank alone, which knows nothing.
    axes : Binding, Axes or sequence of str, optional
        How the model reads the image, the role of each axis, or its name; guessed from the shape if not given.
    settings : TeachSettings, optional
        How to learn.
    classes : tuple of ClassLabel
        What to tell apart; those of the model if not given.
    rgb : bool, optional
        Whether the channels of the image are colours; three or four channels along the last axis are, if not given.
    spacing : tuple of float
        Pixel size per axis in space; all alike if not given.
    history : History, optional
        Commits of an earlier session; the present one is gone on with.
    record : callable, optional
        Called with a kind and facts for all that a replay must know.
    load_samples : callable, optional
        Returns the samples of a commit of an earlier session.
    pins : iterable of Pin
        Those of an earlier session.
    reference : tuple of int
        A pixel of the tile from which an earlier session took the statistics of the features; if not given, the middle
        of the image until the first turn, and of what was on screen in it from then on.

    Raises
    ------
    ImageError
        If the image is empty, not made of real numbers, or does not fit the model.
    DeviceError
        If the device asked for is not there.
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
        history: History | None = None,
        record: Callable[..., object] | None = None,
        load_samples: Callable[[int], Samples] | None = None,
        pins: Iterable[Pin] = (),
        reference: tuple[int, ...] = (),
    ) -> None:
        self.settings = settings or TeachSettings()
        self.device = pick_device(self.settings.device)
        bound = bind_to_teach(image, checkpoint, axes, rgb)
        self.axes, self.source = bound.axes, open_source(image, checkpoint, bound, self.settings)
        if checkpoint is None:
            checkpoint = filters_only(len(self.axes.space), self.axes.channels(np.shape(image)), classes, spacing)
        self.history = history or History()
        start, present = self._create_model(checkpoint, classes, spacing), self.history.present
        scaling = start.info.normaliser.fit(self.source.sample())
        self._context = TeachingContext(self.source, scaling, start, checkpoint.hash, self.device, bound.notes)
        self._record, at = record or _record_nothing, present.number
        self.original_pins = tuple(replace(pin, commit=at) if pin.commit is None else pin for pin in pins)
        self._label_history = LabelHistory(self.source.shape, load_samples)
        pixel = reference or tuple(n // 2 for n in self.source.shape)
        self._current = CurrentModel(self._label_history.samples_at(present), present.turn, present.strokes, pixel)
        self._candidates = CandidateScheduler(start.weights, present.turn)
        self._pending: ModelSnapshot | None = None  # a fit whose commit was put off: new strokes do not wait
        self._install(self.history.checkpoint(present.number))
        threads, number = torch.get_num_threads(), present.number
        self._record("open", settings=asdict(self.settings), threads=threads, present=number)

    def _create_model(
        self, checkpoint: Checkpoint, classes: tuple[ClassLabel, ...], spacing: tuple[float, ...]
    ) -> Checkpoint:
        """Return the model at the start: that of the first state, or what that was made from if it is lost."""
        for first in self.history.commits:
            if first.kind == "start":
                with suppress(ModelError):
                    return self.history.checkpoint(first.number)
        made = make_teachable(checkpoint, classes, spacing)
        if not self.history.commits:
            self.history.add("start", 0, 0, made)
        return made

    def _install(self, model: Checkpoint) -> None:
        """Put a model into use."""
        self._current.replace_with(self._model_of(model), model.info)
        self._candidates.current = None

    def _model_of(self, model: Checkpoint) -> InteractiveModel:
        return self._context.create_model(model, self._current.reference, self.settings.memory)

    @property
    def candidate(self) -> Candidate | None:
        """The whole network that learns in the background, or has won and waits."""
        return self._candidates.current

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._current.info

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """What the model tells apart now."""
        return self.info.classes

    @property
    def model(self) -> InteractiveModel:
        """The weights in use, on the image."""
        return self._current.model

    @property
    def samples(self) -> Samples:
        """What they have learnt from."""
        return self._current.samples

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Regions that must stay as they are, numbered as the classes are now."""
        now, table = self.history.present.number, self.history.class_mapping
        return tuple(pin for made in self.original_pins for pin in remap_pins([made], table(made.commit or 0, now)))

    @property
    def turn(self) -> int:
        """How often strokes were answered."""
        return self._current.turn

    def configure(self, settings: TeachSettings) -> None:
        """Learn in another way from now on."""
        if settings != self.settings:
            self.settings = settings
            self._candidates.current = None
            self._record("settings", settings=asdict(settings))

    def checkpoint(self, number: int | None = None) -> Checkpoint:
        """Return the model of a commit, or as it answers now, with a card that says what became of it.

        The head that it had before stands beside the taught one. The card tells how far the two trunks agree: what
        share of a tile the old head answers as it did before it was taught. It lists the commits that led to the
        model; nothing is committed here, so who wants the latest answer among them calls `commit` first.
        """
        at = self.history.present.number if number is None else number
        model = self.history.checkpoint(at)
        turns = next(commit.turn for commit in self.history.commits if commit.number == at)
        if number is None and self._current.is_uncommitted:
            model, turns = self._current.checkpoint, self.turn
        return export(self._context, self.model, model, turns, self.history.log(at))

    def run_round(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
        """Learn from all strokes, show the answer, then let the whole network learn.

        Parameters
        ----------
        samples : Samples
            All that is painted now.
        view : Region
            What is on screen, on the image axes.
        strokes : int
            How many strokes the journal holds.

        Yields
        ------
        Examined, Answered
            If the strokes changed.
        TileDone
            For each tile of the view that is not shown as the model answers now.
        HistoryChanged
            When there is a new commit: of the answer to earlier strokes, and of this one once it has settled.
        Settled, TileDone
            If the head has not looked at these strokes a second time.
        StepDone, UpdateReady
            While the whole network learns, and when it was judged.
        Working
            Often, while there is nothing to tell.
        """
        check_samples(samples, self.source.shape, len(self.classes))
        view = view.clip(self.source.shape)
        if not samples.equals(self.samples):
            yield from self._fit_head(samples, view, strokes)
        yield from self.predict(view)
        yield from self.commit_pending()
        yield from self.fit_full_head()
        yield from self.predict(view)
        yield from self.commit()
        yield from self._improve(view)

    def fit_head(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
        """Learn from all strokes with the head alone, as `refine` does before it shows anything."""
        check_samples(samples, self.source.shape, len(self.classes))
        yield from self._fit_head(samples, view, strokes)

    def fit_full_head(self) -> Iterator[Heartbeat | HeadRefined]:
        """Let the head look at the strokes a second time; stopped before the end, it stays as it is."""
        if self._current.is_converged:
            return
        start = time.monotonic()
        yield from self._current.fit_full_head(self.settings)
        self._record("settle", turn=self.turn)
        yield HeadRefined(self.turn, time.monotonic() - start)

    def predict(self, view: Region) -> Iterator[Heartbeat | TileDone]:
        """Yield the answer for a region if it is not shown as the model answers now.

        At once where the features are known, so that a window draws it once; else tile by tile.
        """
        yield from self._current.predict_tiles(view.clip(self.source.shape))

    def forget_predictions(self) -> None:
        """Show everything again when it is next on screen: the layers that showed it are gone."""
        self._current.forget_predictions()

    def _fit_head(
        self, samples: Samples, view: Region, strokes: int
    ) -> Iterator[HistoryChanged | StrokesScored | HeadFitted]:
        accepted, trials = self._current, self._candidates
        if accepted.is_uncommitted:
            yield from self.commit_pending()
            self._pending, accepted.is_uncommitted = accepted.snapshot, False
        accepted.start_round(samples, view, strokes)
        self._record("turn", turn=self.turn, strokes=strokes, reference=accepted.reference, steps=trials.steps_done)
        trials.start_round(self.samples)
        for event in accepted.fit_head(self.settings):
            yield replace(event, notes=(*event.notes, *self._context.notes)) if isinstance(event, HeadFitted) else event

    def commit(self) -> Iterator[HistoryChanged]:
        """Keep the head as it is now, if there is no commit with it yet, after what it was before."""
        yield from self.commit_pending()
        if self._current.is_uncommitted:
            self._current.is_uncommitted = False
            yield self._commit("head", {}, self._current.snapshot)

    def commit_pending(self) -> Iterator[HistoryChanged]:
        """Keep the head as it was before the latest strokes, if that was put off."""
        if self._pending is not None:
            known, self._pending = self._pending, None
            yield self._commit("head", {}, known)

    def _commit(self, kind: str, scores: dict[str, float], snapshot: ModelSnapshot) -> HistoryChanged:
        commit = self.history.add(kind, snapshot.turn, snapshot.strokes, snapshot.model, scores)
        self._label_history.record(commit, snapshot.samples)
        self._record("commit", commit=asdict(commit))
        return self.history.event()

    # The whole network

    def _improve(self, view: Region) -> Iterator[Event]:
        """Let a candidate learn and judge it, again and again until nothing more is to be hoped for."""
        yield from self._accept_automatically(view)
        while self.model.net.trunk is not None and self._candidates.is_due(self.samples, self.turn, self.settings):
            yield from self.finetune(self._candidates.next_evaluation_step(self.settings.judge_every))
            yield from self.evaluate(view)
            yield from self._accept_automatically(view)

    def _accept_automatically(self, view: Region) -> Iterator[Event]:
        if self._candidates.winner is not None and self.settings.network == "automatic":
            yield from self.accept()
            yield from self.predict(view)

    def finetune(self, steps: int) -> Iterator[Heartbeat | StepDone]:
        """Let the whole network learn from the strokes before the latest turn, until so many steps are done in all."""
        yield from self._candidates.run_steps(self.model, self.samples, self.turn, self.settings, steps)

    def evaluate(self, view: Region) -> Iterator[Heartbeat | CandidateEvaluated]:
        """Examine the network that has learnt, and tell what it would change in a region.

        Stopped before the end, nothing is decided, and the next time it is soon where it was.
        """
        candidate = self.candidate
        assert candidate is not None
        learn = (self.settings.keep, self.settings.seed)
        told = yield from candidate.evaluate(self.model, self.samples, learn, self.pins, view)
        self._record("judge", turn=self.turn, steps=candidate.tuner.steps_done)
        self._candidates.discard_if_exhausted(self.turn, self.settings.attempts)
        yield told

    def accept(self) -> Iterator[Heartbeat | HistoryChanged]:
        """Let the candidate that won replace the accepted weights."""
        candidate = self._candidates.winner
        if candidate is None or candidate.winner is None:
            return
        yield from self.commit()
        if not candidate.was_trained_on(self.samples):  # strokes have come since
            settings = self.settings
            yield from with_pauses("settle", candidate.winner.fit_full(self.samples, settings.keep, settings.seed))
        self._current.replace_with(candidate.winner, self.info)
        self._candidates.promote()
        yield self._commit("network", candidate.scores, self._current.snapshot)

    def reject(self) -> None:
        """Drop the candidate that waits."""
        self._candidates.finish_turn(self.turn)
        self._record("reject", turn=self.turn)

    # Going back, classes, pins

    def undo(self) -> Iterator[HistoryChanged]:
        """Go back to the commit before the present one, weights and strokes together."""
        yield from self.commit()
        yield from self._restore(self.history.undo())

    def redo(self) -> Iterator[HistoryChanged]:
        """Go forward to the commit that was present before the last undo."""
        yield from self.commit()
        yield from self._restore(self.history.redo())

    def go_to(self, number: int) -> Iterator[HistoryChanged]:
        """Go to any commit; what is learnt next branches off there."""
        yield from self.commit()
        if number == self.history.present.number:  # nothing to restore, but whoever owns the strokes may have to
            self._record("present", number=number)
            yield self.history.event(is_restored=True)
        else:
            yield from self._restore(self.history.go_to(number))

    def _restore(self, commit: Commit | None) -> Iterator[HistoryChanged]:
        if commit is None:
            return
        accepted = self._current
        self._install(self.history.checkpoint(commit.number))
        accepted.samples, accepted.strokes = self._label_history.samples_at(commit), commit.strokes
        accepted.turn = self._candidates.last_finished_turn = max(self.turn, commit.turn)
        self._record("present", number=commit.number)
        yield self.history.event(is_restored=True)

    def rename(self, number: int, name: str) -> Iterator[HistoryChanged]:
        """Give a commit a name."""
        self.history.rename(number, name)
        self._record("rename", number=number, name=name)
        yield self.history.event()

    def set_classes(
        self, classes: tuple[ClassLabel, ...], old_indices: tuple[int | None, ...]
    ) -> Iterator[HistoryChanged]:
        """Add, remove, rename, recolour or reorder the classes.

        Parameters
        ----------
        classes : tuple of ClassLabel
            The classes from now on.
        kept : tuple of int or None
            For each, which class it was; None for a new one. Samples of classes that are gone are forgotten; whoever
            owns the corrections renumbers the others.
        """
        yield from self.commit()
        self._install(with_classes(self._current.checkpoint, classes, old_indices))
        table = to_new_indices(old_indices)
        label = table[self.samples.class_index]
        self._current.samples = replace(self.samples, class_index=label).select(label != REMOVED)
        self._record("classes", classes=[asdict(label) for label in classes], kept=old_indices)
        changed = self._commit("classes", {}, self._current.snapshot)
        self.history.record_class_change(old_indices)
        yield changed

    def pin(self, region: Region, name: str) -> None:
        """Mark a region that must stay as it is answered now.

        Raises
        ------
        ImageError
            If it lies outside the image.
        """
        region = region.clip(self.source.shape)
        if region.is_empty:
            raise ImageError("The region to pin lies outside the image. Move the view onto the image.")
        pinned = Pin(name, region, self.model.classes(region), self.history.present.number)
        self.original_pins = (*remove_pin(self.original_pins, name), pinned)
        self._record("pin", name=name, region=region, classes=pinned.classes)

    def unpin(self, name: str) -> None:
        """Let a region change again."""
        self.original_pins = remove_pin(self.original_pins, name)
        self._record("unpin", name=name)

    def compare(self, first: int, second: int, view: Region) -> Iterator[Heartbeat | ComparisonTile]:
        """Yield the answers of two commits for the tiles of a region."""
        for number in (first, second):
            pupil = self._model_of(self.history.checkpoint(number))
            for told in prediction.predict_tiles(pupil, view.clip(self.source.shape)):
                yield ComparisonTile(number, told) if isinstance(told, TileDone) else told

    def prefetch(self, view: Region) -> Iterator[Heartbeat]:
        """Prepare what lies around a region, so that it is answered soon when it comes into view; changes nothing."""
        yield from prediction.prefetch_around(self.model, view.clip(self.source.shape))

    def uncertainty(self, view: Region) -> Iterator[UncertaintyDone]:
        """Yield how unsure the model is, for each tile of a region: the entropy of its answer."""
        yield from prediction.predict_uncertainty(self.model, view)

    def suggest(self, view: Region) -> Iterator[RegionSuggested]:
        """Yield the most uncertain place of a region that no stroke has within its receptive field."""
        yield from prediction.suggest_region(self.model, self.samples, view.clip(self.source.shape))


def _record_nothing(kind: str, **facts: object) -> None:
    """Record nothing."""
