"""One state of the weights on one image: what it sees, what it answers, and its head as strokes teach it."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.learning import distillation, linear_fit, sample_weights
from napari_fcn.learning.cancellation import Left, ended, giving_up
from napari_fcn.learning.features import Features
from napari_fcn.learning.head import Bend, Head, Standard, read, write
from napari_fcn.learning.unlabeled import Unpainted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.geometry import Region, Tile
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import View, Window
    from napari_fcn.nets.hypercolumn import Taught


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
    _unpainted: Unpainted = field(init=False)
    _bends: dict[Region, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.features = Features(self.view, self.net, self.budget)
        self._unpainted = Unpainted(self.features, self.prior)

    @property
    def reference_tile(self) -> Tile:
        """The tile from which the statistics of the features are taken."""
        return self.view.plan.at(np.asarray(self.reference) // np.asarray(self.view.plan.tile))

    @property
    def standard(self) -> Standard:
        """Mean and spread of the features."""
        if self._standard is None:
            self._standard = Standard.of(self.features.window(self.reference_tile).levels)
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
        twin.features, twin._standard, twin._unpainted = self.features, self._standard, self._unpainted
        return twin

    def attend(self, place: tuple[int, ...]) -> None:
        """Keep in memory what is around a pixel, rather than what was looked at last."""
        self.features.focus = place

    def logits(self, samples: Samples) -> Tensor:
        """Return the class logits ``(n, classes)`` at samples."""
        return self.head.logits(self.features.rows(samples))

    def labels(self, samples: Samples) -> Tensor:
        """Return the class indices of samples on the device."""
        return torch.from_numpy(samples.label.astype(np.int64)).to(self.view.device)

    def probabilities(self, region: Region) -> npt.NDArray[np.float32]:
        """Return the class probabilities ``(K, *region.shape)``."""
        return ended(self.answer(region))

    def answer(self, region: Region) -> Generator[None, None, npt.NDArray[np.float32]]:
        """Return the class probabilities ``(K, *region.shape)``; pauses before each tile but the first."""
        out = np.empty((self._classes, *region.shape), np.float32)
        for number, window in enumerate(self.features.on(region)):
            if number:
                yield
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
        """Return the logits ``(N, K - 1, *space)`` of a part of a window's core, less those of the first class."""
        now = self.head.beyond_first()
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
        painted = (plan.at([int(i) for i in np.unravel_index(number, plan.counts)]) for number in numbers)
        for tile in (*painted, *plan.touching(view)):
            yield from self.see(tile)
            yield

    def see(self, tile: Tile) -> Generator[None, None, None]:
        """Compute the features of a tile, with a pause only where somebody waits for something else."""
        while True:
            try:
                with giving_up(self.net):
                    self.features.window(tile)
                return
            except Left:
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
        ended(self._fitted(samples, keep, seed, None, linear_fit.GOOD))

    def follow(self, samples: Samples, keep: float, seed: int) -> None:
        """Fit the linear part of the head to samples, less closely than `learn`, and leave what bends it as it is."""
        ended(self._fitted(samples, keep, seed, self.head.bend, linear_fit.SOON))

    def settle(self, samples: Samples, keep: float, seed: int) -> Generator[None, None, None]:
        """Fit the head to samples, and bend it; pauses now and then, and changes nothing before the end."""
        one = self.twin()
        yield from one._fitted(samples, keep, seed, None, linear_fit.GOOD)
        if len(samples):
            yield
            standard = self.standard
            lesson = self._lesson(samples, seed)
            rows = (lesson.rows - standard.mean) / standard.spread
            yield
            free = ((yield from self._unpainted.free(samples)) - standard.mean) / standard.spread
            straight = one.head.standardised(standard)
            lesson, weight = replace(lesson, rows=rows), distillation.STRENGTH * (1 - keep)
            found = yield from distillation.bend(lesson, free, straight, self.net.spec.hidden, weight, seed)
            self._write(Head(straight.linear, found).raw(standard))
        else:
            self._write(one.head)

    def _write(self, new: Head) -> None:
        write(self.net, new)
        self._bends = {}

    def _lesson(self, samples: Samples, seed: int) -> distillation.Lesson:
        """Return what a head learns from: not too many samples, and pixels of classes that nobody has painted."""
        label = torch.from_numpy(samples.label.astype(np.int64))
        kept = linear_fit.chosen(label, torch.Generator().manual_seed(seed))
        chosen = np.zeros(len(samples), bool)
        chosen[kept.numpy()] = True
        part = samples.where(chosen)
        label, rows, weight = (
            self.labels(part),
            self.features.rows(part),
            torch.from_numpy(sample_weights.weights(part)),
        )
        missing = set(range(self._classes)) - set(np.unique(part.label).tolist())
        known, of_class = self._unpainted.sure(missing, self.reference_tile)
        label, rows = torch.cat([label, of_class]), torch.cat([rows, known])
        weight = torch.cat([weight.to(label.device), torch.full((len(of_class),), 1.0, device=label.device)])
        return distillation.Lesson(rows, label, linear_fit.balanced(label, weight, self._classes), self.net.plain)

    def _fitted(
        self, samples: Samples, keep: float, seed: int, bent: Bend | None, good: float
    ) -> Generator[None, None, None]:
        """Fit the linear part of the head; what bends it is given, or as much of the prior's as helps."""
        if not len(samples):
            self._write(self.prior)
            return
        standard, lesson = self.standard, self._lesson(samples, seed)
        prior = self.prior
        if keep < 1:
            prior = prior.scaled(sample_weights.trust(prior.logits(lesson.rows), lesson.label, lesson.share))
        bent = bent or prior.bend
        rows = (lesson.rows - standard.mean) / standard.spread
        besides = None if bent is None else bent.logits(lesson.rows)
        before, pull = prior.linear.standardised(standard), sample_weights.pull(samples, keep)
        fitted = yield from linear_fit.fitting(rows, lesson.label, lesson.share, before, pull, besides, good)
        kept = self._bends
        self._write(Head(fitted.raw(standard), bent))
        if bent is not None and bent is not prior.bend:
            self._bends = kept
