"""Small images with two halves, strokes on them, and what sees them: for all tests of what strokes teach."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import net_contract
import numpy as np
import numpy.typing as npt
import torch

from napari_fcn.events import Heartbeat
from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.source import ImageSource
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.features import FeatureExtractor
from napari_fcn.models.card import ClassLabel, ModelCard
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings, TeachSettings

CLASSES = (ClassLabel("background", "#000000"), ClassLabel("object", "#e69f00"))
RIM = ClassLabel("rim", "#56b4e9")
FAST = TeachSettings(judge_every=2, device="cpu", precision="float32", patch=16)
HEADS = replace(FAST, network="off")


def halves(shape: Sequence[int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Return a noisy image that is dark in its first half along the last axis and bright in the other."""
    image = np.random.default_rng(seed).normal(0, 0.3, shape)
    image[..., shape[-1] // 2 :] += 2
    return image.astype(np.float32)


def tiny(ndim: int = 2, classes: int = 2, channels: int = 1, seed: int = 0, **values: Any) -> Checkpoint:
    """Return a small random model with a name."""
    spec = NetSpec(**{"ndim": ndim, "classes": classes, "channels": channels, "width": 2, "depth": 1, **values})
    made = net_contract.checkpoint(spec, seed=seed, normaliser=Normaliser("standard"))
    labels = (*CLASSES, RIM)[:classes]
    return Checkpoint(replace(made.info, classes=labels, card=ModelCard(name="tiny")), made.weights)


def stroke(labels: npt.NDArray[np.uint8], value: int, *index: Any) -> npt.NDArray[np.uint8]:
    """Return labels with one more stroke."""
    labels = labels.copy()
    labels[index] = value
    return labels


def painted(shape: Sequence[int], turn: int, classes: Iterable[int] = (0, 1)) -> npt.NDArray[np.uint8]:
    """Return the labels after so many turns on an image of `halves`: a short stroke of each class in each turn."""
    labels = np.zeros(shape, np.uint8)
    rows = labels.reshape(-1, shape[-1])
    middle = shape[-1] // 2
    for k in range(turn):
        row = (3 + 5 * k) % len(rows)
        shift = 2 + 7 * k % max(1, middle - 8) if len(shape) == 1 else 2
        for value in classes:
            start = shift + (middle if value else 0)
            rows[row, start : start + 4] = value + 1
    return labels


def samples_of(shape: Sequence[int], turns: int, classes: Iterable[int] = (0, 1)) -> Samples:
    """Return the samples of `painted`, each dated."""
    classes, found = tuple(classes), Samples.empty(shape)
    for turn in range(1, turns + 1):
        found = Samples.from_labels(painted(shape, turn, classes)).with_turns(found, turn)
    return found


def view_of(image: npt.NDArray[Any], spec: NetSpec, axes: Axes | None = None) -> FeatureExtractor:
    """Return how a network looks at an image, standardised."""
    axes = axes or Axes.guess(image.shape, spec.ndim)
    source = ImageSource.open(image, axes, spec.channels, PredictSettings())
    scaling = Normaliser("standard").fit(source.sample())
    return FeatureExtractor(source, scaling, theoretical(spec), spec.multiple, torch.device("cpu"))


def whole(shape: Sequence[int]) -> Region:
    return Region.whole(shape)


def run(events: Iterable[Any]) -> list[Any]:
    """Return all events that tell something."""
    return [event for event in events if not isinstance(event, Heartbeat)]


def kinds(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def closing(make: Any, at: int) -> Iterator[Any]:
    """Yield the events of a generator up to one, and close it there."""
    events = make()
    for number, event in enumerate(events):
        yield event
        if number == at:
            break
    events.close()
