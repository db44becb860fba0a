"""An engine that learns one mean intensity per class, so that tests of the loop around it are fast."""

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import (
    CandidateEvaluated,
    Change,
    Commit,
    ComparisonTile,
    HeadFitted,
    Heartbeat,
    HistoryChanged,
    PinScore,
    RegionSuggested,
    StepDone,
    StrokesScored,
    TileDone,
    UncertaintyDone,
)
from napari_fcn.geometry import Axes, Region, TilePlan
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.card import ClassLabel
from napari_fcn.settings import TeachSettings

TILE = 32
STEPS = 3
SHIFT = 2  # by which a candidate moves the threshold between the first two classes


@dataclass(frozen=True)
class State:
    """The model of a commit."""

    means: np.ndarray  # of each class; NaN where nothing was painted
    samples: Samples
    classes: tuple[ClassLabel, ...]
    offset: float = 0.0


class FakeHistory:
    """Commits as a chain of parents."""

    def __init__(self) -> None:
        self.commits: dict[int, Commit] = {}
        self.states: dict[int, State] = {}
        self.number = 0

    @property
    def present(self) -> Commit:
        return self.commits[self.number]

    def add(self, kind: str, turn: int, strokes: int, state: State) -> Commit:
        parent = self.number if self.commits else None
        self.number = len(self.commits)
        self.commits[self.number] = Commit(self.number, parent, kind, turn, strokes, f"hash {self.number}")
        self.states[self.number] = state
        return self.present

    def checkpoint(self, number: int) -> Any:
        state = self.states[number]
        return SimpleNamespace(
            info=SimpleNamespace(classes=state.classes), save=lambda path: Path(path).write_text(f"commit {number}")
        )

    def event(self, is_restored: bool = False) -> HistoryChanged:
        return HistoryChanged(tuple(self.commits.values()), self.number, is_restored)


class FakeTeaching:
    """A fake engine with the interface of `napari_fcn.teaching.Teaching`.

    For tests, ``gate`` blocks each `run_round` until it is set; ``error`` is raised by it.
    """

    gate: threading.Event | None = None
    error: Exception | None = None
    made: list["FakeTeaching"]
    prefetched: list[Region]

    def __init__(
        self,
        image: Any,
        checkpoint: Any = None,
        axes: Axes | None = None,
        settings: TeachSettings | None = None,
        classes: tuple[ClassLabel, ...] = (),
        rgb: bool = False,
        spacing: tuple[float, ...] = (),
        record: Any = None,
        saved: Any = None,
    ) -> None:
        assert axes is not None
        self.pixels = image
        self.axes, self.settings, self.device = axes, settings or TeachSettings(), "cpu"
        self.record = record or (lambda kind, **facts: None)
        known = checkpoint.info.classes if checkpoint else ()
        names = classes or known or (ClassLabel("background", "#1f3a5f"), ClassLabel("object", "#e69f00"))
        self.history = FakeHistory()
        self.strokes = 0
        self.samples = Samples.empty(self.image.shape)
        self.state = State(np.full(len(names), np.nan), self.samples, tuple(names))
        self._commit("start", 0, 0, self.state)
        self.turn, self.calls, self.pins, self.shown = 0, 0, (), set[Region]()
        self.candidate: State | None = None
        self.judged = 0
        self.views: list[Region] = []
        space = len(axes.space)
        tile, halo = axes.spread((TILE,) * space, 1), axes.spread(((0, 0),) * space, (0, 0))
        self.plan = TilePlan(self.image.shape, tile, halo, axes.spread((1,) * space, 1))
        type(self).made.append(self)

    @property
    def image(self) -> np.ndarray:
        pixels = np.asarray(self.pixels, float)
        return pixels if self.axes.channel_position is None else pixels.mean(self.axes.channel_position)

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        return self.state.classes

    def _commit(self, kind: str, turn: int, strokes: int, state: State) -> Commit:
        commit = self.history.add(kind, turn, strokes or self.strokes, state)
        self.strokes = commit.strokes
        if kind != "start":
            self.record("commit", commit=asdict(commit))
        return commit

    def configure(self, settings: TeachSettings) -> None:
        if settings != self.settings:
            self.settings, self.candidate = settings, None

    def run_round(self, samples: Samples, view: Region, strokes: int = 0) -> Iterator[Any]:
        self.calls += 1
        self.views.append(view)
        if type(self).gate is not None:
            type(self).gate.wait(60)
        if type(self).error is not None:
            raise type(self).error
        if samples.shape != self.image.shape or (len(samples) and samples.class_index.max() >= len(self.classes)):
            raise ImageError("these corrections do not fit")
        if not samples.equals(self.samples):
            yield from self._fit_head(samples, strokes)
        yield from self.predict(view)
        yield from self._improve(view)

    def _fit_head(self, samples: Samples, strokes: int) -> Iterator[Any]:
        self.turn += 1
        earlier, self.samples = self.samples, samples
        values = self.image.ravel()[samples.pixel_index]
        means = [
            values[samples.class_index == k].mean() if (samples.class_index == k).any() else np.nan
            for k in range(len(self.classes))
        ]
        right = float((self._classes_of(values, self.state) == samples.class_index).mean()) if len(earlier) else 0.5
        yield StrokesScored(self.turn, right)
        self.state = replace(self.state, means=np.array(means), samples=samples)
        self.shown.clear()
        painted = samples.counts(len(self.classes))
        missing = [label.name for label, n in zip(self.classes, painted, strict=True) if not n]
        notes = (f"There are no strokes of {' or '.join(missing)} yet.",) if missing else ()
        commit = self._commit("head", self.turn, strokes, self.state)
        self.record("turn", turn=self.turn, strokes=strokes)
        yield HeadFitted(self.turn, painted, 0.01, notes)
        assert commit.turn == self.turn
        yield self.history.event()

    def _improve(self, view: Region) -> Iterator[Any]:
        if self.settings.network == "off" or self.turn < 2 or self.judged == self.turn or self.candidate is not None:
            return
        for step in range(1, STEPS + 1):
            yield StepDone(step, STEPS, 1 / step, 0.1 * step)
        self.judged = self.turn
        winner = replace(self.state, offset=self.state.offset + SHIFT)
        before, after = self._predict(view, self.state), self._predict(view, winner)
        changed = np.where(before != after, after + 1, 0).astype(np.uint8)
        at = np.argwhere(changed)
        changes = ()
        if len(at):
            box = Region(tuple(map(int, at.min(0))), tuple(int(i) + 1 for i in at.max(0))).shift(view.start)
            changes = (Change(box, len(at), 0, 1),)
        pins = tuple(PinScore(pin.name, 1.0, 1.0) for pin in self.pins)
        waits = self.settings.network == "ask"
        self.candidate = winner if waits else None
        yield CandidateEvaluated(0.8, 0.9, pins, True, "Better on the new strokes.", changes, view, changed)
        if not waits:
            self._promote(winner)
            yield self.history.event()
            yield from self.predict(view)

    def _promote(self, winner: State) -> None:
        self.state, self.candidate = winner, None
        self._commit("network", self.turn, 0, winner)
        self.shown.clear()

    def _classes_of(self, values: np.ndarray, state: State) -> np.ndarray:
        means = np.where(np.isnan(state.means), np.inf, state.means)
        if np.isinf(means).all():
            return np.zeros(values.shape, np.uint8)
        return np.abs(values[..., None] - means + state.offset).argmin(-1).astype(np.uint8)

    def _predict(self, region: Region, state: State) -> np.ndarray:
        return self._classes_of(self.image[region.slices], state)

    def _tiles(self, view: Region, state: State) -> Iterator[TileDone]:
        tiles = list(self.plan.touching(view))
        for done, tile in enumerate(tiles, start=1):
            predicted = self._predict(tile.core, state)
            probabilities = np.eye(len(state.classes), dtype=np.float32)[predicted]
            yield TileDone(tile.core, np.moveaxis(probabilities, -1, 0), done, len(tiles))

    def predict(self, view: Region) -> Iterator[TileDone]:
        for tile in self._tiles(view, self.state):
            if tile.region not in self.shown:
                self.shown.add(tile.region)
                yield tile

    def prefetch(self, view: Region) -> Iterator[Heartbeat]:
        type(self).prefetched.append(view)
        yield Heartbeat("look ahead")

    def forget_predictions(self) -> None:
        self.shown.clear()

    def accept(self) -> Iterator[Any]:
        if self.candidate is not None:
            self._promote(self.candidate)
            yield self.history.event()

    def reject(self) -> None:
        self.candidate = None

    def _restore(self, number: int | None) -> Iterator[Any]:
        if number is None or number not in self.history.commits:
            return
        self.history.number = number
        self.state = self.history.states[number]
        self.samples, self.candidate = self.state.samples, None
        self.shown.clear()
        self.record("present", number=number)
        yield self.history.event(is_restored=True)

    def undo(self) -> Iterator[Any]:
        yield from self._restore(self.history.present.parent)

    def redo(self) -> Iterator[Any]:
        children = [c.number for c in self.history.commits.values() if c.parent == self.history.number]
        yield from self._restore(max(children, default=None))

    def go_to(self, number: int) -> Iterator[Any]:
        yield from self._restore(number)

    def rename(self, number: int, name: str) -> Iterator[Any]:
        self.history.commits[number] = replace(self.history.commits[number], name=name)
        yield self.history.event()

    def set_classes(self, classes: tuple[ClassLabel, ...], old_indices: tuple[int | None, ...]) -> Iterator[Any]:
        means = np.array([np.nan if old is None else self.state.means[old] for old in old_indices])
        table = np.full(256, 255, np.uint8)
        for new, old in enumerate(old_indices):
            if old is not None:
                table[old] = new
        label = table[self.samples.class_index]
        self.samples = replace(self.samples, class_index=label).select(label != 255)
        self.state = replace(self.state, means=means, samples=self.samples, classes=classes)
        self._commit("classes", self.turn, 0, self.state)
        self.record("classes", classes=[{"name": c.name, "colour": c.colour} for c in classes], kept=old_indices)
        self.shown.clear()
        yield self.history.event()

    def pin(self, region: Region, name: str) -> None:
        self.pins = (*self.pins, SimpleNamespace(name=name, region=region))

    def unpin(self, name: str) -> None:
        self.pins = tuple(pin for pin in self.pins if pin.name != name)

    def compare(self, first: int, second: int, view: Region) -> Iterator[ComparisonTile]:
        for number in (first, second):
            for tile in self._tiles(view, self.history.states[number]):
                yield ComparisonTile(number, tile)

    def uncertainty(self, view: Region) -> Iterator[UncertaintyDone]:
        for tile in self.plan.touching(view):
            yield UncertaintyDone(tile.core, (self.image[tile.core.slices] / 255).astype(np.float32))

    def suggest(self, view: Region) -> Iterator[RegionSuggested]:
        free = self.image[view.slices].copy()
        inside = [i for i in self.samples.coordinates() if view.contains(Region(tuple(i), tuple(i + 1)))]
        if len(inside):
            yield RegionSuggested(Region(view.start, view.start), view.start, 0.0)
            return
        index = tuple(int(i) + a for i, a in zip(np.unravel_index(free.argmax(), free.shape), view.start, strict=True))
        box = Region(index, tuple(i + 1 for i in index)).grow((2,) * len(index)).clip(self.image.shape)
        yield RegionSuggested(box, index, 0.5)

    def checkpoint(self, number: int | None = None) -> Any:
        return self.history.checkpoint(self.history.number if number is None else number)
