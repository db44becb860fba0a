"""Fine-tunes a model on an image and its labels in one run, with the engine of interactive teaching."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import FcnError
from napari_fcn.events import CandidateEvaluated, LabelsFound, StepDone
from napari_fcn.geometry import Region
from napari_fcn.inference.source import check_finite
from napari_fcn.learning import labels as encodings
from napari_fcn.learning.annotations import split_strokes
from napari_fcn.models import zoo
from napari_fcn.models.adapt import TWO_CLASSES, filters_only, new_model
from napari_fcn.models.binding import bind_array, new_network
from napari_fcn.models.card import ClassLabel
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import PALETTE, fitting_spec, parse_words
from napari_fcn.settings import TeachSettings
from napari_fcn.teaching import Teaching

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry import Axes
    from napari_fcn.models.binding import Binding, NetworkShape

NEW_PREFIX = "new:"


@dataclass(frozen=True, slots=True)
class FinetuneLimit:
    """Maximum number of fine-tuning steps and of seconds; the run stops at the first limit."""

    steps: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FinetuneResult:
    """The last event: the model, and statistics of the run.

    Attributes
    ----------
    checkpoint : Checkpoint
        The fine-tuned model.
    steps : int
        Number of fine-tuning steps.
    seconds : float
        Total time.
    loss : float or None
        Loss of the last step.
    """

    checkpoint: Checkpoint
    steps: int
    seconds: float
    loss: float | None


def initial_model(
    model: str | Path | Checkpoint, shape: Sequence[int], spacing: Sequence[float], channels: int = 1, seed: int = 0
) -> Checkpoint:
    """Return the model to start from: a shipped one, a file, or ``new:unet width=16`` with random weights.

    ``new:filters`` is a filter bank without a network.

    Parameters
    ----------
    model : str, Path or Checkpoint
        The model; options that are not given for a new network are derived from the image.
    shape, spacing : sequence
        Length in pixels and pixel size of the image along its axes in space.
    channels : int
        Channels of the image.
    seed : int
        Seed of random weights.

    Raises
    ------
    FcnError
        If there is no such model.
    """
    if isinstance(model, Checkpoint):
        return model
    if not str(model).startswith(NEW_PREFIX):
        return Checkpoint.load(zoo.path_of(model))
    words = parse_words(str(model)[len(NEW_PREFIX) :])
    if words["family"] == "filters":
        if len(words) > 1:
            raise FcnError(
                f"{model} was given; a filter bank without a network has no options. Use {NEW_PREFIX}filters."
            )
        return filters_only(len(shape), channels, spacing=spacing)
    spec = fitting_spec(str(model)[len(NEW_PREFIX) :], spacing, shape, channels)
    return new_model(spec, TWO_CLASSES, spacing[-spec.ndim :], seed)


def network_shape(model: str | Checkpoint, shape: Sequence[int], names: Sequence[str] = ()) -> NetworkShape:
    """Return how a model reads images, or how a new network for this image would read it."""
    if isinstance(model, Checkpoint):
        return model.info.spec
    words = parse_words(model[len(NEW_PREFIX) :])
    return new_network(words["family"], shape, names, words.get("ndim"), words.get("time"))


def add_missing_classes(labels: npt.NDArray[np.uint8], classes: Sequence[ClassLabel]) -> tuple[ClassLabel, ...]:
    """Return the classes of a model, plus new classes for further label values."""
    count = max(int(labels.max(initial=0)), len(classes), 2)
    new_classes = (
        ClassLabel(f"class {k}", PALETTE[1 + (k - 1) % (len(PALETTE) - 1)]) for k in range(len(classes), count)
    )
    return (*classes, *new_classes)


def finetune(
    image: Any,
    labels: npt.ArrayLike,
    model: Checkpoint,
    axes: Binding | Axes | Sequence[str] | None = None,
    settings: TeachSettings | None = None,
    limit: FinetuneLimit | None = None,
    rgb: bool | None = None,
    spacing: tuple[float, ...] = (),
    label_values: Sequence[int] = (),
) -> Iterator[Any]:
    """Yield `LabelsFound`, then the events of `Teaching`, and `FinetuneResult` at the end.

    Heads and candidates are trained on nine tenths of the strokes and evaluated on the last tenth. The final head is
    fitted to all strokes. A better candidate is accepted at the end, even if the settings say to ask.

    Parameters
    ----------
    image : array-like
        The labelled image.
    labels : array-like
        Whole numbers on the image axes: 0 or NaN is not annotated, ``k + 1`` is class ``k``.
    model : Checkpoint
        The model to start from.
    axes, settings, rgb, spacing
        As for `Teaching`.
    limit : FinetuneLimit, optional
        When to stop; as in the settings if not given.
    label_values : sequence of int
        The label values of the classes, in their order, if not 1, 2, 3; 0 and 255 in many masks.

    Raises
    ------
    ImageError
        If nothing is painted, the labels do not fit the image, or they look like a mask or numbered objects.
    """
    start, limit = time.monotonic(), limit or FinetuneLimit()
    settings = settings or TeachSettings()
    if limit.steps is not None:
        interval = max(1, min(settings.judge_every, limit.steps))
        settings = replace(settings, judge_every=interval, attempts=max(1, -(-limit.steps // interval)))
        settings = settings if limit.steps else replace(settings, network="off")
    elif limit.seconds is not None:
        settings = replace(settings, attempts=10**6)
    bound, labels = bind_array(np.shape(image), model.info.spec, axes, rgb), np.asarray(labels)
    painted = encodings.read_strokes(
        labels, bound.axes.image_shape(np.shape(image)), _n_known_classes(model), label_values
    )
    classes = add_missing_classes(painted, model.info.classes)
    teaching = Teaching(image, model, bound, settings, classes, spacing=spacing)
    check_finite(teaching.source.sample())
    yield _labels_found(labels, painted, classes)
    training_samples, all_samples = split_strokes(painted)
    steps, loss = 0, None
    one_pixel = Region((0,) * painted.ndim, (1,) * painted.ndim)
    yield from teaching.fit_head(training_samples, Region.whole(painted.shape))
    yield from teaching.commit()
    for event in teaching.run_round(all_samples, one_pixel):
        yield event
        if isinstance(event, StepDone):
            steps, loss = steps + 1, event.loss
        is_late = limit.seconds is not None and time.monotonic() - start > limit.seconds
        if is_late or (limit.steps is not None and steps >= limit.steps and isinstance(event, CandidateEvaluated)):
            break
    yield from teaching.accept()  # a better candidate that waits to be accepted
    yield from teaching.commit()
    yield FinetuneResult(teaching.checkpoint(), steps, time.monotonic() - start, loss)


def _n_known_classes(model: Checkpoint) -> int:
    """Return the number of classes that a model is trained for: 0 with random weights or for a filter bank."""
    info = model.info
    is_new = info.spec.head == "levels" and not info.spec.original and not info.card.commits
    return 0 if is_new else len(info.classes)


def _labels_found(
    labels: npt.NDArray[Any], painted: npt.NDArray[np.uint8], classes: Sequence[ClassLabel]
) -> LabelsFound:
    """Return the event about the annotated pixels."""
    pixels = np.bincount(painted.ravel(), minlength=len(classes) + 1)
    n_nan = int(np.isnan(labels).sum()) if labels.dtype.kind == "f" else 0
    notes = (f"{n_nan} pixels of the labels are NaN: they count as not annotated.",) if n_nan else ()
    names = tuple(label.name for label in classes)
    return LabelsFound("image", 1, names, tuple(map(int, pixels[1:])), int(pixels[0]), notes)
