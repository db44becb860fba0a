"""One state of the weights on one image: what it sees, what it answers, and its head as strokes teach it."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.learning import bending, logistic
from napari_fcn.learning.features import Features
from napari_fcn.learning.head import Bend, Head, Standard, gather, read, write

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import View, Window
    from napari_fcn.nets.taught import Taught

RIDGE = 2e-2  # pull of the head towards what the model knew, at the slider's middle
RIDGES = 30.0  # at its ends the pull is so many times stronger or weaker
FEW = 6  # strokes up to which the pull is full; the more there are, the less it weighs beside them
TRUST = (0.0, 0.25, 0.5, 1.0)  # shares of what the model knew that are compared
SURE = 0.8  # probability from which on the prior counts as sure of a pixel
REHEARSED = 300  # such pixels for each class
FREE = 1000  # pixels of a tile that nobody has painted, from which a bent head learns
TILES = 6  # so many of them, those of the latest strokes
NEWEST = 2.0  # weight of a sample of the latest turn


@dataclass(slots=True, eq=False)
class Pupil:
    """A network on an image, whose head learns from samples.

    Attributes
    ----------
    net : Taught
        The network.
    view : View
        How it looks at the image.
    budget : int
        Memory for its features in bytes.
    prior : Head
        Head that it had before strokes taught it, for features as they are.
    reference : tuple of int
        A pixel of the tile from which the statistics of the features are taken.
    """

    net: Taught
    view: View
    budget: int
    prior: Head
    reference: tuple[int, ...]
    features: Features = field(init=False)
    _standard: Standard | None = None
    _sure: tuple[Tensor, Tensor] | None = None
    _free: dict[int, Tensor] = field(default_factory=dict)
    _bends: dict[Region, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.features = Features(self.view, self.net, self.budget)

    @property
    def standard(self) -> Standard:
        """Mean and spread of the features."""
        if self._standard is None:
            number = np.asarray(self.reference) // np.asarray(self.view.plan.tile)
            self._standard = Standard.of(self.features.window(self.view.plan.at(number)).levels)
        return self._standard

    @property
    def head(self) -> Head:
        """The head in use, for features as they are."""
        return read(self.net)

    @property
    def _classes(self) -> int:
        return len(self.prior.linear.bias)

    def twin(self) -> Pupil:
        """Return a pupil with the same trunk and features whose head may learn something else."""
        net = copy(self.net)
        net._modules = {**self.net._modules, "heads": deepcopy(self.net.heads), "mix": deepcopy(self.net.mix)}
        twin = Pupil(net, self.view, self.budget, self.prior, self.reference)
        twin.features, twin._standard, twin._sure, twin._free = self.features, self._standard, self._sure, self._free
        return twin

    def logits(self, samples: Samples) -> Tensor:
        """Return the class logits ``(n, classes)`` at samples."""
        return self.head.logits(self.features.rows(samples))

    def labels(self, samples: Samples) -> Tensor:
        """Return the class indices of samples on the device."""
        return torch.from_numpy(samples.label.astype(np.int64)).to(self.view.device)

    def probabilities(self, region: Region) -> npt.NDArray[np.float32]:
        """Return the class probabilities ``(K, *region.shape)``."""
        out = np.empty((self._classes, *region.shape), np.float32)
        for window in self.features.on(region):
            part = window.core.intersection(region)
            place = (slice(None), *part.relative_to(region).slices)
            out[place] = self.view.probabilities(self._answer(window, part), part)
        return out

    def classes(self, region: Region) -> npt.NDArray[np.uint8]:
        """Return the most probable class at each pixel of a region."""
        out = np.empty(region.shape, np.uint8)
        for window in self.features.on(region):
            part = window.core.intersection(region)
            out[part.relative_to(region).slices] = self.view.probabilities(self._answer(window, part), part).argmax(0)
        return out

    def _answer(self, window: Window, part: Region) -> Tensor:
        """Return the class logits ``(N, K, *space)`` of a part of a window's core."""
        now = self.head
        straight = self.view.logits(now.linear, window, part)
        return straight if now.bend is None else straight + self.view.cut(self._bend(now.bend, window), window, part)

    def _bend(self, bend: Bend, window: Window) -> Tensor:
        """Return what the bend adds in a window's core; kept, for the linear part of a head learns more often."""
        if window.core not in self._bends:
            self._bends = {core: kept for core, kept in self._bends.items() if core in self.features.windows}
            self._bends[window.core] = bend.on_units(self.view.logits(bend.hidden, window))
        return self._bends[window.core]

    def look(self, samples: Samples, view: Region) -> Iterator[None]:
        """Compute the features of painted pixels and of a region, with a pause after each tile."""
        plan, numbers = self.view.plan, np.unique(self.view.tile_of(samples))
        for number in numbers:
            self.features.window(plan.at([int(i) for i in np.unravel_index(number, plan.counts)]))
            yield
        for _ in self.features.on(view):
            yield

    def learn(self, samples: Samples, keep: float, seed: int) -> None:
        """Fit a linear head to samples, pulled towards the prior; without samples it becomes the prior.

        Parameters
        ----------
        samples : Samples
            What is painted.
        keep : float
            The slider: 0 fits the image, 1 keeps what the model knew.
        seed : int
            Of the draw among very many samples.
        """
        self._fit(samples, keep, seed, None)

    def follow(self, samples: Samples, keep: float, seed: int) -> None:
        """Fit the linear part of the head to samples, as `learn` does, and leave what bends it as it is."""
        self._fit(samples, keep, seed, self.head.bend)

    def settle(self, samples: Samples, keep: float, seed: int) -> Generator[None, None, None]:
        """Fit the head to samples, and bend it; pauses now and then, and changes nothing before the end."""
        one = self.twin()
        one.learn(samples, keep, seed)
        if len(samples):
            standard = self.standard
            lesson = self._lesson(samples, seed)
            rows = (lesson.rows - standard.mean) / standard.spread
            free = (self._unpainted(samples) - standard.mean) / standard.spread
            straight = one.head.standardised(standard)
            lesson, weight = bending.Lesson(rows, lesson.label, lesson.share), 2 * (1 - keep)
            found = yield from bending.bend(lesson, free, straight, self.net.spec.hidden, weight, seed)
            self._write(Head(straight.linear, found).raw(standard))
        else:
            self._write(one.head)

    def _write(self, new: Head) -> None:
        write(self.net, new)
        self._bends = {}

    def _lesson(self, samples: Samples, seed: int) -> bending.Lesson:
        """Return what a head learns from: not too many samples, and pixels of classes that nobody has painted."""
        label = torch.from_numpy(samples.label.astype(np.int64))
        kept = logistic.chosen(label, torch.Generator().manual_seed(seed))
        chosen = np.zeros(len(samples), bool)
        chosen[kept.numpy()] = True
        part = samples.where(chosen)
        label, rows, weight = self.labels(part), self.features.rows(part), torch.from_numpy(_weights(part))
        known, of_class = self._rehearsal(set(range(self._classes)) - set(np.unique(part.label).tolist()))
        label, rows = torch.cat([label, of_class]), torch.cat([rows, known])
        weight = torch.cat([weight.to(label.device), torch.full((len(of_class),), 1.0, device=label.device)])
        return bending.Lesson(rows, label, logistic.balanced(label, weight, self._classes))

    def _fit(self, samples: Samples, keep: float, seed: int, bent: Bend | None) -> None:
        """Fit the linear part of the head; what bends it is given, or as much of the prior's as helps."""
        if not len(samples):
            self._write(self.prior)
            return
        standard, lesson = self.standard, self._lesson(samples, seed)
        prior = self.prior
        if keep < 1:
            prior = prior.scaled(_trust(prior.logits(lesson.rows), lesson.label, lesson.share))
        bent = bent or prior.bend
        rows = (lesson.rows - standard.mean) / standard.spread
        besides = None if bent is None else bent.logits(lesson.rows)
        ridge = RIDGE * RIDGES ** (2 * keep - 1) * min(1.0, FEW / _strokes(samples))
        before = prior.linear.standardised(standard)
        fitted = logistic.fit(rows, lesson.label, lesson.share, before, ridge, besides).raw(standard)
        kept = self._bends
        self._write(Head(fitted, bent))
        if bent is not None and bent is not prior.bend:
            self._bends = kept

    def _unpainted(self, samples: Samples) -> Tensor:
        """Return features ``(n, F)`` of random pixels in the tiles of the latest strokes."""
        numbers, turns = self.view.tile_of(samples), samples.turn
        latest = sorted(np.unique(numbers).tolist(), key=lambda n: (-int(turns[numbers == n].max()), n))[:TILES]
        for number in latest:
            if number not in self._free:
                self._free[number] = self._drawn(number)
        return torch.cat([self._free[number] for number in latest])

    def _drawn(self, number: int) -> Tensor:
        plan = self.view.plan
        window = self.features.window(plan.at([int(i) for i in np.unravel_index(number, plan.counts)]))
        draw, core = np.random.default_rng(number), window.core
        at = np.column_stack([draw.integers(a, b, FREE) for a, b in zip(core.start, core.stop, strict=True)])
        return gather(window.levels, self.view.places(at, window.held))

    def _rehearsal(self, unpainted: set[int]) -> tuple[Tensor, Tensor]:
        """Return features and class of pixels that the prior is sure of, for classes that nobody has painted.

        Without them a class would be lost because the others are taught. They come from one tile of the image.
        """
        if self._sure is None:
            self._sure = self._sure_pixels()
        rows, label = self._sure
        wanted = torch.tensor([int(k) in unpainted for k in label.tolist()], dtype=torch.bool, device=label.device)
        return rows[wanted], label[wanted]

    def _sure_pixels(self) -> tuple[Tensor, Tensor]:
        number = np.asarray(self.reference) // np.asarray(self.view.plan.tile)
        window = self.features.window(self.view.plan.at(number))
        before = self.twin()
        write(before.net, self.prior)
        sure, answer = before._answer(window, window.core).float().softmax(1).max(1)
        inner = window.core.relative_to(window.held)
        shift = torch.tensor([0, *(inner.start[p] for p in self.view.source.axes.space_positions)])
        found = []
        for value in range(self._classes):
            at = ((answer == value) & (sure > SURE)).nonzero()
            found.append(at[:: max(1, len(at) // REHEARSED)][:REHEARSED])
        places = torch.cat(found)
        label = answer[tuple(places.unbind(1))]
        return gather(window.levels, places + shift.to(places.device)), label


def _trust(logits: Tensor, label: Tensor, share: Tensor) -> float:
    """Return how much of what the model knew helps to explain the strokes: what the head is pulled to is scaled by it.

    A model that was trained on something else may know the opposite of what is taught here.
    """
    surprise = [
        float((torch.nn.functional.cross_entropy(t * logits, label, reduction="none") * share).sum()) for t in TRUST
    ]
    return TRUST[int(np.argmin(surprise))]


def _groups(samples: Samples) -> npt.NDArray[np.int64]:
    """Return a number for each sample that it shares with those of its class and turn: of one stroke, more or less."""
    return samples.turn.astype(np.int64) * 256 + samples.label


def _strokes(samples: Samples) -> int:
    return len(np.unique(_groups(samples)))


def _weights(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the weight of each sample in its class: the square root of a stroke's length counts, and the newest more.

    Pixels of one stroke say much the same: ten strokes tell more than one that is ten times as long.
    """
    _, group, counts = np.unique(_groups(samples), return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(counts[group])
    return np.where(samples.turn == samples.turn.max(), NEWEST * weight, weight).astype(np.float32)
