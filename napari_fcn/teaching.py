"""A model that learns from brush strokes on one image: the only place where weights change."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from napari_fcn.errors import ImageError
from napari_fcn.events import (
    Answered,
    Compared,
    Examined,
    Settled,
    Suggested,
    TileDone,
    UncertaintyDone,
    Working,
)
from napari_fcn.fields.theoretical import theoretical
from napari_fcn.geometry import Axes, Region
from napari_fcn.inference import device as devices
from napari_fcn.inference.source import ImageSource
from napari_fcn.learning import guard, head, suggest
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.candidate import Candidate
from napari_fcn.learning.features import View
from napari_fcn.learning.finetune import FineTuner, seed_of
from napari_fcn.learning.history import History
from napari_fcn.learning.pupil import Pupil
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.teachable import as_taught, filters_only, teachable, with_classes
from napari_fcn.settings import PredictSettings, TeachSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from napari_fcn.events import Commit, HistoryChanged, StepDone, UpdateReady
    from napari_fcn.models.card import ClassLabel

SHARE = 0.25  # of the free memory, for features

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
    axes : Axes, optional
        Role of each axis; guessed from the shape if not given.
    settings : TeachSettings, optional
        How to learn.
    classes : tuple of ClassLabel
        What to tell apart; those of the model if not given.
    rgb : bool
        Whether the channels of the image are colours.
    spacing : tuple of float
        Pixel size per axis in space; all alike if not given.
    history : History, optional
        Commits of an earlier session; the present one is gone on with.
    record : callable, optional
        Called with a kind and facts for all that a replay must know.
    recall : callable, optional
        Returns the samples of a commit of an earlier session.
    pins : iterable of Pin
        Those of an earlier session.

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
        axes: Axes | None = None,
        settings: TeachSettings | None = None,
        classes: tuple[ClassLabel, ...] = (),
        rgb: bool = False,
        spacing: tuple[float, ...] = (),
        history: History | None = None,
        record: Callable[..., object] | None = None,
        recall: Callable[[int], Samples] | None = None,
        pins: Iterable[guard.Pin] = (),
    ) -> None:
        self.settings = settings or TeachSettings()
        self.device = devices.pick_device(self.settings.device)
        ndim = checkpoint.info.spec.ndim if checkpoint else len(axes.space) if axes else min(2, np.ndim(image))
        try:
            self.axes = axes or Axes.guess(
                np.shape(image), ndim, rgb=rgb, time=checkpoint.info.spec.time if checkpoint else None
            )
        except ValueError as error:
            raise ImageError(str(error)) from error
        if len(self.axes.space) != ndim:
            raise ImageError(f"The model is {ndim}-D; the axes in space are {' '.join(self.axes.space)}.")
        channels = checkpoint.info.spec.channels if checkpoint else self.axes.channels(np.shape(image))
        reading = PredictSettings(channel=self.settings.channel, colour=self.settings.colour)
        self.source = ImageSource.open(image, self.axes, channels, reading, rgb)
        if checkpoint is None:
            checkpoint = filters_only(ndim, channels, classes, spacing)
        self.history, self.parent = history or History(), checkpoint.hash
        if not self.history.commits:
            self.history.add("start", 0, 0, teachable(checkpoint, classes, spacing))
        self.start = self.history.checkpoint(0)
        self.scaling = self.start.info.normaliser.fit(self.source.sample())
        self._record, self._recall = record or _ignore, recall
        self.pins = tuple(pins)
        present = self.history.present
        self.turn = self.judged = present.turn
        self.attempt, self._strokes = 0, present.strokes
        self._taught: dict[int, Samples] = {}
        self.samples = self._samples_of(present)
        self._reference = tuple(n // 2 for n in self.source.shape)
        self._shown: Region | None = None  # the last region that shows what the model answers now
        self._is_uncommitted = False
        self._install(self.history.checkpoint(present.number))
        self._record("open", settings=asdict(self.settings), threads=torch.get_num_threads())

    def _samples_of(self, commit: Commit) -> Samples:
        """Return what was painted at a commit; of an earlier session, as if all had been painted in one turn."""
        if commit.number not in self._taught:
            found = Samples.none(self.source.shape)
            if self._recall is not None and commit.turn:
                found = self._recall(commit.number).dated(found, commit.turn)
            self._taught[commit.number] = found
        return self._taught[commit.number]

    def _install(self, model: Checkpoint) -> None:
        """Put a model into use."""
        self.info = model.info
        self.field = theoretical(model.info.spec)
        self.pupil = self._pupil(model)
        self._shown = None
        self._is_settled = True  # whether the head has looked at the strokes a second time
        self.candidate: Candidate | None = None

    def _pupil(self, model: Checkpoint) -> Pupil:
        spec = model.info.spec
        net, before = (
            devices.place(part.net(), spec.ndim, self.device) for part in (model, as_taught(self.start, model.info))
        )
        view = View(self.source, self.scaling, self.field, spec.multiple, self.device)
        return Pupil(net, view, self._budget(), head.read(before), self._reference)  # type: ignore[arg-type]

    def _budget(self) -> int:
        if self.settings.memory is not None:
            return int(self.settings.memory * 2**30)
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0] * SHARE)
        return int(psutil.virtual_memory().available * SHARE)

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """What the model tells apart now."""
        return self.info.classes

    def configure(self, settings: TeachSettings) -> None:
        """Learn in another way from now on."""
        if settings != self.settings:
            self.settings = settings
            self.candidate = None
            self._record("settings", settings=asdict(settings))

    def checkpoint(self, number: int | None = None) -> Checkpoint:
        """Return the model of a commit, the present one if none is named, with a card that says what became of it.

        The head that it had before stands beside the taught one. The card tells how far the two trunks agree: what
        share of a tile the old head answers as it did before it was taught.
        """
        for _ in self.commit():
            pass
        number = self.history.present.number if number is None else number
        model = self.history.checkpoint(number)
        commit = next(c for c in self.history.commits if c.number == number)
        before = self.start.info.card
        name = before.name or "a model"
        limits = "Taught on one image: on others it may do worse than before."
        if model.info.spec.original:
            same = self._agreement(model)
            limits += (
                f" The head of {name} is kept (option head: original); on this image it answers {same:.1%} of the "
                "pixels that were looked at as before."
            )
        card = replace(
            before,
            name=f"{name} taught",
            summary=f"{name}, taught with strokes in {commit.turn} turns.",
            limits=limits,
            scores={},
            recipe="",
            parent=self.parent,
            commits=self.history.log(commit.number),
        )
        return Checkpoint(replace(model.info, card=card), model.weights)

    def _agreement(self, model: Checkpoint) -> float:
        """Return the share of a tile in which the original heads of a model and of the one at the start agree."""
        plan = self.pupil.view.plan
        tile = plan.at([i // n for i, n in zip(self._reference, plan.tile, strict=True)])
        answers = []
        for one in (model, self.start):
            net = devices.place(one.original().net(), one.info.spec.ndim, self.device)
            with torch.inference_mode(), devices.full_float32(self.device):
                answers.append(net(self.pupil.view.read(tile.read)).argmax(1))
        return float((answers[0] == answers[1]).float().mean())

    def _state(self) -> Checkpoint:
        """Return the present weights."""
        return Checkpoint.of(self.pupil.net, self.info)

    def refine(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
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
        Working, Settled, TileDone
            If the head has not looked at these strokes a second time.
        HistoryChanged
            When there is a new commit.
        StepDone, UpdateReady
            While the whole network learns, and when it was judged.
        """
        self._check(samples)
        view = view.clip(self.source.shape)
        if not samples.same_as(self.samples):
            yield from self.commit()
            yield from self._answer(samples, view, strokes)
        yield from self.show(view)
        yield from self.settle()
        yield from self.show(view)
        yield from self.commit()
        yield from self._improve(view)

    def answer(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Event]:
        """Learn from all strokes with the head alone, as `refine` does before it shows anything."""
        self._check(samples)
        yield from self.commit()
        yield from self._answer(samples, view, strokes)

    def settle(self) -> Iterator[Working | Settled]:
        """Let the head look at the strokes a second time; stopped before the end, it stays as it is."""
        if self._is_settled:
            return
        start = time.monotonic()
        for _ in self.pupil.settle(self.samples, self.settings.keep, self.settings.seed):
            yield Working("settle")
        self._shown = None
        self._is_settled = self._is_uncommitted = True
        self._record("settle", turn=self.turn)
        yield Settled(self.turn, time.monotonic() - start)

    def show(self, view: Region) -> Iterator[TileDone]:
        """Yield the answer for a region if it is not shown as the model answers now.

        At once where the features are known, so that a window draws it once; else tile by tile.
        """
        view = view.clip(self.source.shape)
        if view.is_empty or (self._shown is not None and self._shown.contains(view)):
            return
        tiles = list(self.pupil.view.plan.touching(view))
        if all(tile.core in self.pupil.features.windows for tile in tiles):
            yield TileDone(view, self.pupil.probabilities(view), 1, 1)
        else:
            for done, tile in enumerate(tiles, start=1):
                part = tile.core.intersection(view)
                yield TileDone(part, self.pupil.probabilities(part), done, len(tiles))
        self._shown = view

    def forget_shown(self) -> None:
        """Show everything again when it is next on screen: the layers that showed it are gone."""
        self._shown = None

    def _check(self, samples: Samples) -> None:
        if samples.shape != self.source.shape:
            raise ImageError(
                f"The corrections are {' x '.join(map(str, samples.shape))} px; the image is "
                f"{' x '.join(map(str, self.source.shape))} px. Paint on a layer of the size of the image."
            )
        if len(samples) and (highest := int(samples.label.max())) >= len(self.classes):
            raise ImageError(
                f"A stroke is of class {highest + 1}; the model has {len(self.classes)} classes. "
                "Add a class, or erase the stroke."
            )

    def _answer(self, samples: Samples, view: Region, strokes: int) -> Iterator[Examined | Answered]:
        start = time.monotonic()
        self.turn += 1
        if self.turn == 1:
            self._reference = self.pupil.reference = tuple(
                (a + b) // 2 for a, b in zip(view.start, view.stop, strict=True)
            )
        steps = self.candidate.tuner.done if self.candidate else 0
        self._record("turn", turn=self.turn, strokes=strokes, reference=self._reference, steps=steps)
        self.samples, self._strokes, self.attempt = samples.dated(self.samples, self.turn), strokes, 0
        fresh = self.samples.where(self.samples.turn == self.turn)
        marks = guard.examine(self.pupil.logits(fresh), self.pupil.labels(fresh)) if len(fresh) else None
        self.pupil.follow(self.samples, self.settings.keep, self.settings.seed)
        self._shown = None
        self._is_settled = not self.pupil.net.spec.hidden
        self._is_uncommitted = True  # from here on nothing is lost if nobody asks for the next event
        if self.candidate is not None and self.candidate.is_lost(self.samples):
            self.candidate = None
        if marks is not None:
            yield Examined(self.turn, marks.right)
        painted = self.samples.counts(len(self.classes))
        notes = suggest.balance(painted, [label.name for label in self.classes])
        yield Answered(self.turn, painted, time.monotonic() - start, notes)

    def _seed(self) -> int:
        return seed_of(self.settings.seed, self.turn, self.attempt)

    def commit(self) -> Iterator[HistoryChanged]:
        """Keep the head as it is now, if there is no commit with it yet."""
        if self._is_uncommitted:
            self._is_uncommitted = False
            yield self._commit("head", {})

    def _commit(self, kind: str, scores: dict[str, float]) -> HistoryChanged:
        commit = self.history.add(kind, self.turn, self._strokes, self._state(), scores)
        self._taught[commit.number] = self.samples
        self._record("commit", commit=asdict(commit))
        return self.history.event()

    # The whole network

    def _improve(self, view: Region) -> Iterator[Event]:
        """Let a candidate learn and judge it, again and again until nothing more is to be hoped for."""
        yield from self._accept_by_itself(view)
        while self._may_improve():
            done = self.candidate.judged if self.candidate else 0
            yield from self.study((done + 1) * self.settings.judge_every)
            yield from self.judge(view)
            yield from self._accept_by_itself(view)

    def _accept_by_itself(self, view: Region) -> Iterator[Event]:
        candidate = self.candidate
        if candidate is not None and candidate.pupil is not None and self.settings.network == "automatic":
            yield from self.accept()
            yield from self.show(view)

    def study(self, steps: int) -> Iterator[StepDone]:
        """Let the whole network learn from the strokes before the latest turn, until so many steps are done in all."""
        if self.candidate is None:
            straight = self.pupil.twin()
            straight.learn(self.samples, self.settings.keep, self.settings.seed)
            tuner = FineTuner(straight.net, straight.view, self.start.weights, self.settings, self._seed())
            self.candidate = Candidate(tuner, self.turn)
        yield from self.candidate.tuner.steps(self.candidate.lesson(self.samples), steps)

    def _may_improve(self) -> bool:
        """Whether a candidate could learn something and be examined."""
        settings, candidate = self.settings, self.candidate
        if settings.network == "off" or settings.keep == 1 or self.pupil.net.trunk is None:
            return False
        if candidate is None and (self.judged >= self.turn or self.attempt >= settings.attempts):
            return False
        if candidate is not None and candidate.pupil is not None:
            return False  # it waits for the user
        since = candidate.since if candidate else self.turn
        early = self.samples.turn < since
        return bool((~early).any()) and len(np.unique(self.samples.label[early])) > 1

    def judge(self, view: Region) -> Iterator[Working | UpdateReady]:
        """Examine the network that has learnt, and tell what it would change in a region.

        Stopped before the end, nothing is decided, and the next time it is soon where it was.
        """
        candidate = self.candidate
        assert candidate is not None
        learn = (self.settings.keep, self.settings.seed)
        told = yield from candidate.judge(self.pupil, self.samples, learn, self.pins, view)
        self._record("judge", turn=self.turn, steps=candidate.tuner.done)
        if candidate.pupil is None and candidate.judged >= self.settings.attempts:
            self.candidate, self.judged = None, self.turn
            self.attempt += 1
        yield told

    def accept(self) -> Iterator[Working | HistoryChanged]:
        """Let the candidate that won replace the accepted weights."""
        candidate = self.candidate
        if candidate is None or candidate.pupil is None:
            return
        yield from self.commit()
        if not candidate.knows(self.samples):  # strokes have come since
            for _ in candidate.pupil.settle(self.samples, self.settings.keep, self.settings.seed):
                yield Working("settle")
        self.pupil, self.candidate = candidate.pupil, None
        self._is_settled = True
        self.attempt += 1
        self._shown = None
        yield self._commit("network", candidate.marks)

    def reject(self) -> None:
        """Drop the candidate that waits."""
        self.candidate, self.judged = None, self.turn
        self.attempt += 1
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
        before = [label.name for label in self.classes]
        self._install(self.history.checkpoint(commit.number))
        names = [label.name for label in self.classes]
        self._renumber_pins(guard.forward([before.index(name) if name in before else None for name in names]))
        self.samples, self._strokes = self._samples_of(commit), commit.strokes
        self.turn = self.judged = max(self.turn, commit.turn)
        self._record("present", number=commit.number)
        yield self.history.event(is_restored=True)

    def rename(self, number: int, name: str) -> Iterator[HistoryChanged]:
        """Give a commit a name."""
        self.history.rename(number, name)
        self._record("rename", number=number, name=name)
        yield self.history.event()

    def set_classes(self, classes: tuple[ClassLabel, ...], kept: tuple[int | None, ...]) -> Iterator[HistoryChanged]:
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
        self._install(with_classes(self._state(), classes, kept))
        renumbered = guard.forward(kept)
        label = renumbered[self.samples.label]
        self.samples = replace(self.samples, label=label).where(label != guard.GONE)
        self._renumber_pins(renumbered)
        self._record("classes", classes=[asdict(label) for label in classes], kept=kept)
        yield self._commit("classes", {})

    def _renumber_pins(self, renumbered: npt.NDArray[np.uint8]) -> None:
        self.pins = tuple(replace(pin, classes=renumbered[pin.classes]) for pin in self.pins)

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
        pinned = guard.Pin(name, region, self.pupil.classes(region))
        self.pins = (*(pin for pin in self.pins if pin.name != name), pinned)
        self._record("pin", name=name, region=region, classes=pinned.classes)

    def unpin(self, name: str) -> None:
        """Let a region change again."""
        self.pins = tuple(pin for pin in self.pins if pin.name != name)
        self._record("unpin", name=name)

    # Looking

    def compare(self, first: int, second: int, view: Region) -> Iterator[Compared]:
        """Yield the answers of two commits for the tiles of a region."""
        for number in (first, second):
            pupil = self._pupil(self.history.checkpoint(number))
            tiles = list(pupil.view.plan.touching(view.clip(self.source.shape)))
            for done, tile in enumerate(tiles, start=1):
                part = tile.core.intersection(view)
                yield Compared(number, TileDone(part, pupil.probabilities(part), done, len(tiles)))

    def uncertainty(self, view: Region) -> Iterator[UncertaintyDone]:
        """Yield how unsure the model is, for each tile of a region: the entropy of its answer."""
        for tile in self.pupil.view.plan.touching(view):
            part = tile.core.intersection(view)
            yield UncertaintyDone(part, suggest.entropy(self.pupil.probabilities(part)))

    def suggest(self, view: Region) -> Iterator[Suggested]:
        """Yield the most uncertain place of a region that no stroke has within its receptive field."""
        view, space = view.clip(self.source.shape), self.axes.space_positions
        best = Suggested(Region(view.start, view.start), view.start, 0.0)
        for part in self.uncertainty(view):
            free = suggest.open_places(part.region, self.samples, self.field, space)
            values = np.where(free, suggest.smoothed(part.values, space), -1)
            at = np.unravel_index(int(values.argmax()), values.shape)
            if values[at] > best.uncertainty:
                index = tuple(int(i) + a for i, a in zip(at, part.region.start, strict=True))
                before = self.axes.spread(self.field.before, 0)
                after = self.axes.spread(self.field.after, 0)
                box = Region(index, tuple(i + 1 for i in index)).grow(before, after).clip(self.source.shape)
                best = Suggested(box, index, float(values[at]))
        yield best


def _ignore(kind: str, **facts: object) -> None:
    """Record nothing."""
