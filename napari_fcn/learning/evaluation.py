"""Evaluation of a candidate: scores on test strokes, changed regions, and the decision."""

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

PIN_TOLERANCE = 0.005  # fraction of a protected area that may change
MAX_CHANGES = 50  # listed changes
MIN_CHANGE_PIXELS = 4  # smaller changes are not listed


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a model predicts strokes.

    Attributes
    ----------
    accuracy : float
        Fraction of painted pixels with the right class, 0..1, mean over the painted classes.
    nll : float
        Negative log-likelihood, mean over the painted classes; lower is better.
    """

    accuracy: float
    nll: float


def evaluate(logits: Tensor, class_index: Tensor) -> Scores:
    """Return the scores of logits ``(n, classes)`` on test samples; NaN if there are none."""
    if not len(class_index):
        return Scores(nan, nan)
    log_likelihood = logits.float().log_softmax(1).gather(1, class_index[:, None])[:, 0].clamp(min=-10.0)
    hits = (logits.argmax(1) == class_index).float()
    by_class = [
        (float(hits[class_index == k].mean()), float(-log_likelihood[class_index == k].mean()))
        for k in class_index.unique().tolist()
    ]
    accuracy, nll = (float(np.mean(column)) for column in zip(*by_class, strict=True))
    return Scores(accuracy, nll)


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of several scores; NaN if there are none."""
    if not scores:
        return Scores(nan, nan)
    return Scores(float(np.mean([m.accuracy for m in scores])), float(np.mean([m.nll for m in scores])))


def split_halves(samples: Samples) -> tuple[Samples, Samples]:
    """Return the first and the last half of the samples of each class, in the order of the image."""
    is_first = np.zeros(len(samples), bool)
    for value in np.unique(samples.class_index):
        (of_class,) = np.nonzero(samples.class_index == value)
        is_first[of_class[: len(of_class) // 2]] = True
    return samples.select(is_first), samples.select(~is_first)


def decide(scores: Sequence[tuple[Scores, Scores]], pins: Sequence[PinScore]) -> tuple[bool, str]:
    """Return whether a candidate may replace the current model, and the reason as a sentence.

    Parameters
    ----------
    scores : sequence of (Scores, Scores)
        Of the current model and the candidate: on the test strokes; then, if these are long enough, on each half of
        them after fitting both heads to the other half. People paint where the current model is wrong, which favours
        any other model in the first comparison; in the second, both models are fitted to such strokes.
    pins : sequence of PinScore
        Agreement of both models with each protected area.
    """
    for pin in pins:
        if pin.candidate < pin.accepted - PIN_TOLERANCE:
            return False, (
                f"Pin {pin.name} would get worse: {pin.candidate:.1%} of it predicted as pinned, {pin.accepted:.1%} by "
                "the current model."
            )
    if not scores or any(isnan(model_scores.accuracy) for pair in scores for model_scores in pair):
        return False, "It cannot be evaluated: there are no test strokes."
    comparisons = ("on the new strokes", "after both heads were fitted to half of the new strokes")
    for comparison, (current, candidate) in zip(comparisons, scores, strict=False):
        percents = "{1} correct (current model {0})".format(*_percents(current.accuracy, candidate.accuracy))
        if candidate.accuracy < current.accuracy:
            return False, f"Worse {comparison}: {percents}."
        if not candidate.nll < current.nll:  # NaN is not better either
            return False, f"Not better {comparison}: {percents} and not more confident."
    current, candidate = scores[0]
    percents = "{1} correct (current model {0})".format(*_percents(current.accuracy, candidate.accuracy))
    return True, f"Better on the new strokes: {percents} and more confident."


def _percents(a: float, b: float) -> tuple[str, str]:
    """Return two fractions in percent, with a decimal if they differ but round to the same number."""
    digits = 1 if a != b and f"{a:.0%}" == f"{b:.0%}" else 0
    return f"{a:.{digits}%}", f"{b:.{digits}%}"


def changed_regions(before: Classes, after: Classes, origin: Sequence[int]) -> tuple[Change, ...]:
    """Return the connected regions in which two predictions differ, largest first.

    Parameters
    ----------
    before, after : ndarray
        Class indices on the image axes.
    origin : sequence of int
        Position of the first pixel of the arrays in the image.
    """
    components, count = ndimage.label(before != after)
    if not count:
        return ()
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = [int(n) for n in np.argsort(-sizes, kind="stable")[:MAX_CHANGES] if sizes[n] >= MIN_CHANGE_PIXELS]
    boxes = ndimage.find_objects(components)
    changes = []
    for component in largest:
        box = boxes[component - 1]
        inside = components[box] == component
        region = Region(tuple(s.start for s in box), tuple(s.stop for s in box)).shift(tuple(origin))
        old, new = (int(np.bincount(a[box][inside]).argmax()) for a in (before, after))
        changes.append(Change(region, int(sizes[component]), old, new))
    return tuple(changes)
