"""Judging a candidate before it replaces anything: new strokes as an examination, and what changed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_fcn.events import Change, PinScore
from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from napari_fcn.learning.annotations import Samples

    Classes = npt.NDArray[np.uint8]

PIN_TOLERANCE = 0.005  # share of a pin that may change before it counts as worse
MAX_CHANGES = 50  # changes that are told one by one
MIN_CHANGE_PIXELS = 4  # pixels below which a change is not listed


@dataclass(frozen=True, slots=True)
class Scores:
    """How strokes judge one set of weights.

    Attributes
    ----------
    right : float
        Share of painted pixels answered right, mean over the painted classes, 0..1.
    surprise : float
        Mean negative log-likelihood of the painted classes, each class counting the same; lower is better.
    """

    accuracy: float
    nll: float


def evaluate(logits: Tensor, class_index: Tensor) -> Scores:
    """Return how weights that answered ``logits`` (n, classes) do on strokes that they have not learnt from.

    Without a labelled pixel there is no mark: both are NaN.
    """
    if not len(class_index):
        return Scores(nan, nan)
    log = logits.float().log_softmax(1).gather(1, class_index[:, None])[:, 0].clamp(min=-10.0)
    hits = (logits.argmax(1) == class_index).float()
    found = [
        (float(hits[class_index == k].mean()), float(-log[class_index == k].mean()))
        for k in class_index.unique().tolist()
    ]
    right, surprise = (float(np.mean(column)) for column in zip(*found, strict=True))
    return Scores(right, surprise)


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of several examinations; NaN if there are none."""
    if not scores:
        return Scores(nan, nan)
    return Scores(float(np.mean([m.accuracy for m in scores])), float(np.mean([m.nll for m in scores])))


def split_halves(samples: Samples) -> tuple[Samples, Samples]:
    """Return two halves of some samples, apart from each other: of each class the first and the last, in order."""
    first = np.zeros(len(samples), bool)
    for value in np.unique(samples.class_index):
        (of_class,) = np.nonzero(samples.class_index == value)
        first[of_class[: len(of_class) // 2]] = True
    return samples.select(first), samples.select(~first)


def decide(scores: Sequence[tuple[Scores, Scores]], pins: Sequence[PinScore]) -> tuple[bool, str]:
    """Return whether a candidate may replace the accepted weights, and why as a sentence.

    Parameters
    ----------
    marks : sequence of (Marks, Marks)
        Examinations of the accepted weights and of the candidate: the new strokes as they are, then, if they are
        long enough, one half of them after the heads have learnt the other. People paint where the accepted weights
        are wrong, which makes any other weights look good on the first; on the second both could adapt.
    pins : sequence of PinScore
        How the pins fare.
    """
    for pin in pins:
        if pin.candidate < pin.accepted - PIN_TOLERANCE:
            return False, (
                f"Pin {pin.name} would get worse: {pin.candidate:.1%} of it would be as pinned, now {pin.accepted:.1%}."
            )
    if not scores or any(isnan(mark.accuracy) for pair in scores for mark in pair):
        return False, "It cannot be judged: there is no labelled pixel that it has not learnt from."
    for words, (accepted, candidate) in zip(
        ("of the new strokes right", "right after both heads saw half"), scores, strict=False
    ):
        theirs, its = _percents(accepted.accuracy, candidate.accuracy)
        if candidate.accuracy < accepted.accuracy:
            return False, f"It fails the examination: {its} {words}, accepted {theirs}."
        if not candidate.nll < accepted.nll:  # nor is NaN better
            return (
                False,
                f"It is no better on the examination: {its} {words}, accepted {theirs}, and not surer of them.",
            )
    theirs, its = _percents(*(m.accuracy for m in scores[0]))
    return True, f"It wins the examination: {its} of the new strokes right, accepted {theirs}, and surer of them."


def _percents(first: float, second: float) -> tuple[str, str]:
    """Return two shares as people read them, with a decimal where they would look alike without being so."""
    digits = 1 if first != second and f"{first:.0%}" == f"{second:.0%}" else 0
    return f"{first:.{digits}%}", f"{second:.{digits}%}"


def changed_regions(before: Classes, after: Classes, origin: Sequence[int]) -> tuple[Change, ...]:
    """Return the connected places where two answers differ, largest first.

    Parameters
    ----------
    before, after : ndarray
        Class indices on the image axes.
    origin : sequence of int
        Where the arrays begin in the image.
    """
    parts, count = ndimage.label(before != after)
    if not count:
        return ()
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = [int(n) for n in np.argsort(-sizes, kind="stable")[:MAX_CHANGES] if sizes[n] >= MIN_CHANGE_PIXELS]
    boxes = ndimage.find_objects(parts)
    found = []
    for number in largest:
        box = boxes[number - 1]
        inside = parts[box] == number
        region = Region(tuple(s.start for s in box), tuple(s.stop for s in box)).shift(tuple(origin))
        old, new = (int(np.bincount(a[box][inside]).argmax()) for a in (before, after))
        found.append(Change(region, int(sizes[number]), old, new))
    return tuple(found)
