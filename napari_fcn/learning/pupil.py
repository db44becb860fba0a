"""One state of the weights on one image: what it sees, what it answers, and its head as strokes teach it."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.learning import head
from napari_fcn.learning.features import Features

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.geometry import Region
    from napari_fcn.learning.annotations import Samples
    from napari_fcn.learning.features import View
    from napari_fcn.nets.taught import Taught

RIDGE = 2e-2  # pull of the head towards what the model knew, at the slider's middle
RIDGES = 30.0  # at its ends the pull is so many times stronger or weaker
FEW = 6  # strokes up to which the pull is full; the more there are, the less it weighs beside them
TRUST = (0.0, 0.25, 0.5, 1.0)  # shares of what the model knew that are compared
SURE = 0.8  # probability from which on the prior counts as sure of a pixel
REHEARSED = 300  # such pixels for each class
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
    prior : Linear
        Head that it had before strokes taught it, for features as they are.
    reference : tuple of int
        A pixel of the tile from which the statistics of the features are taken.
    """

    net: Taught
    view: View
    budget: int
    prior: head.Linear
    reference: tuple[int, ...]
    features: Features = field(init=False)
    _standard: head.Standard | None = None
    _sure: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        self.features = Features(self.view, self.net, self.budget)

    @property
    def standard(self) -> head.Standard:
        """Mean and spread of the features."""
        if self._standard is None:
            number = np.asarray(self.reference) // np.asarray(self.view.plan.tile)
            self._standard = head.Standard.of(self.features.window(self.view.plan.at(number)).levels)
        return self._standard

    def twin(self) -> Pupil:
        """Return a pupil with the same trunk and features whose head may learn something else."""
        net = copy(self.net)
        net._modules = {**self.net._modules, "heads": deepcopy(self.net.heads)}
        twin = Pupil(net, self.view, self.budget, self.prior, self.reference)
        twin.features, twin._standard, twin._sure = self.features, self._standard, self._sure
        return twin

    def logits(self, samples: Samples) -> Tensor:
        """Return the class logits ``(n, classes)`` at samples."""
        return head.read(self.net).logits(self.features.rows(samples))

    def labels(self, samples: Samples) -> Tensor:
        """Return the class indices of samples on the device."""
        return torch.from_numpy(samples.label.astype(np.int64)).to(self.view.device)

    def probabilities(self, region: Region) -> npt.NDArray[np.float32]:
        """Return the class probabilities ``(K, *region.shape)``."""
        out = np.empty((len(self.prior.bias), *region.shape), np.float32)
        for window in self.features.on(region):
            part = window.core.intersection(region)
            place = (slice(None), *part.relative_to(region).slices)
            out[place] = self.view.probabilities(self.net, window, part)
        return out

    def classes(self, region: Region) -> npt.NDArray[np.uint8]:
        """Return the most probable class at each pixel of a region."""
        out = np.empty(region.shape, np.uint8)
        for window in self.features.on(region):
            part = window.core.intersection(region)
            out[part.relative_to(region).slices] = self.view.probabilities(self.net, window, part).argmax(0)
        return out

    def learn(self, samples: Samples, keep: float, seed: int) -> None:
        """Fit the head to samples, pulled towards the prior; without samples it becomes the prior.

        Parameters
        ----------
        samples : Samples
            What is painted.
        keep : float
            The slider: 0 fits the image, 1 keeps what the model knew.
        seed : int
            Of the draw among very many samples.
        """
        if not len(samples):
            head.write(self.net, self.prior)
            return
        standard = self.standard
        label = torch.from_numpy(samples.label.astype(np.int64))
        kept = head.chosen(label, torch.Generator().manual_seed(seed))
        chosen = np.zeros(len(samples), bool)
        chosen[kept.numpy()] = True
        part = samples.where(chosen)
        label, rows, weight = self.labels(part), self.features.rows(part), torch.from_numpy(_weights(part))
        known, of_class = self._rehearsal(set(range(len(self.prior.bias))) - set(np.unique(part.label).tolist()))
        label, rows = torch.cat([label, of_class]), torch.cat([rows, known])
        weight = torch.cat([weight.to(label.device), torch.full((len(of_class),), 1.0, device=label.device)])
        share = head.balanced(label, weight, len(self.prior.bias))
        prior = self.prior if keep == 1 else self.prior.scaled(_trust(self.prior.logits(rows), label, share))
        rows = (rows - standard.mean) / standard.spread
        ridge = RIDGE * RIDGES ** (2 * keep - 1) * min(1.0, FEW / _strokes(part))
        fitted = head.fit(rows, label, share, prior.standardised(standard), ridge)
        head.write(self.net, fitted.raw(standard))

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
        head.write(before.net, self.prior)
        sure, answer = self.view.logits(before.net, window).float().softmax(1).max(1)
        inner = window.core.relative_to(window.held)
        shift = torch.tensor([0, *(inner.start[p] for p in self.view.source.axes.space_positions)])
        found = []
        for value in range(len(self.prior.bias)):
            at = ((answer == value) & (sure > SURE)).nonzero()
            found.append(at[:: max(1, len(at) // REHEARSED)][:REHEARSED])
        places = torch.cat(found)
        label = answer[tuple(places.unbind(1))]
        return head.gather(window.levels, places + shift.to(places.device)), label


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
