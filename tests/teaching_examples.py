"""Small images with a dark and a bright half, strokes on them, and models, for the tests of learning and teaching."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import net_contract
import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_fcn.events import CandidateEvaluated, Heartbeat
from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.source import ImageSource
from napari_fcn.learning import evaluation, head
from napari_fcn.learning.annotations import Samples
from napari_fcn.learning.features import FeatureExtractor
from napari_fcn.learning.interactive_model import InteractiveModel
from napari_fcn.models.adapt import make_teachable
from napari_fcn.models.card import ClassLabel, ModelCard
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings, TeachSettings
from napari_fcn.teaching import Teaching

CLASSES = (ClassLabel("background", "#000000"), ClassLabel("object", "#e69f00"))
RIM = ClassLabel("rim", "#56b4e9")
FAST = TeachSettings(judge_every=2, device="cpu", precision="float32", patch=16)
HEADS = replace(FAST, network="off")
SHAPE = (48, 64)


def halves(shape: Sequence[int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Return a noisy image: dark in the first half along the last axis, bright in the second."""
    image = np.random.default_rng(seed).normal(0, 0.3, shape)
    image[..., shape[-1] // 2 :] += 2
    return image.astype(np.float32)


IMAGE = halves(SHAPE)
VIEW = Region.whole(SHAPE)


def tiny(ndim: int = 2, classes: int = 2, channels: int = 1, seed: int = 0, **values: Any) -> Checkpoint:
    """Return a small random model with a name."""
    spec = NetSpec(**{"ndim": ndim, "classes": classes, "channels": channels, "width": 2, "depth": 1, **values})
    checkpoint = net_contract.checkpoint(spec, seed=seed, normaliser=Normaliser("standard"))
    labels = (*CLASSES, RIM)[:classes]
    return Checkpoint(replace(checkpoint.info, classes=labels, card=ModelCard(name="tiny")), checkpoint.weights)


def stroke(labels: npt.NDArray[np.uint8], value: int, *index: Any) -> npt.NDArray[np.uint8]:
    """Return labels with one more stroke."""
    labels = labels.copy()
    labels[index] = value
    return labels


def painted(shape: Sequence[int], turn: int, classes: Iterable[int] = (0, 1)) -> npt.NDArray[np.uint8]:
    """Return the labels after ``turn`` turns on an image of `halves`: a short stroke of each class in each turn."""
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
    """Return the samples of `painted`, with their turns."""
    classes, samples = tuple(classes), Samples.empty(shape)
    for turn in range(1, turns + 1):
        samples = Samples.from_labels(painted(shape, turn, classes)).with_turns(samples, turn)
    return samples


def extractor_of(image: npt.NDArray[Any], spec: NetSpec, axes: Axes | None = None) -> FeatureExtractor:
    """Return the feature extractor of a network on a standardised image."""
    axes = axes or Axes.guess(image.shape, spec.ndim)
    source = ImageSource.open(image, axes, spec.channels, PredictSettings())
    scaling = Normaliser("standard").fit(source.sample())
    return FeatureExtractor(source, scaling, theoretical(spec), spec.multiple, torch.device("cpu"))


def model_on(checkpoint: Checkpoint, image: npt.NDArray[Any] = IMAGE) -> InteractiveModel:
    """Return a model on an image, with its own head as the prior."""
    net: Any = checkpoint.net()
    pixel = tuple(n // 2 for n in image.shape)
    return InteractiveModel(net, extractor_of(image, checkpoint.info.spec), 2**30, head.read_head(net), pixel)


def whole(shape: Sequence[int]) -> Region:
    return Region.whole(shape)


def run(events: Iterable[Any]) -> list[Any]:
    """Return all events but heartbeats."""
    return [event for event in events if not isinstance(event, Heartbeat)]


def kinds(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def closing(make: Any, at: int) -> Iterator[Any]:
    """Yield the events of a generator up to event ``at``, and close it there."""
    events = make()
    for number, event in enumerate(events):
        yield event
        if number == at:
            break
    events.close()


def new_teaching(settings: TeachSettings = HEADS, **values: Any) -> Teaching:
    return Teaching(IMAGE, tiny(), settings=settings, **values)


def run_turn(teaching: Teaching, turn: int, **values: Any) -> list[Any]:
    """Return the events of a turn on `IMAGE`."""
    return run(teaching.run_round(Samples.from_labels(painted(SHAPE, turn)), VIEW, turn, **values))


def predict_whole(teaching: Teaching) -> npt.NDArray[np.float32]:
    """Return the prediction of the current model for the whole image."""
    shape = teaching.source.shape
    out = np.full((len(teaching.classes), *shape), np.nan, np.float32)
    teaching.forget_predictions()
    for event in run(teaching.predict(whole(shape))):
        out[(slice(None), *event.region.slices)] = event.probabilities
    return out


def head_hash(teaching: Teaching) -> str:
    return teaching._current.checkpoint.hash


def candidates_of(teaching: Teaching, turns: int = 3) -> list[CandidateEvaluated]:
    evaluations = []
    for turn in range(1, turns + 1):
        evaluations += [event for event in run_turn(teaching, turn) if isinstance(event, CandidateEvaluated)]
    return evaluations


def any_pin_fails(pins: Any) -> bool:
    return any(pin.candidate < pin.accepted - 0.005 for pin in pins)


def always_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each candidate better on the strokes, so that only pins decide."""
    decide = evaluation.decide
    monkeypatch.setattr(
        evaluation, "decide", lambda scores, pins: decide([], pins) if any_pin_fails(pins) else (True, "yes")
    )


def confident_model() -> Checkpoint:
    """Return a model that predicts dark and bright halves with confidence before any stroke."""
    return with_confident_head(make_teachable(tiny()))


def with_confident_head(model: Checkpoint) -> Checkpoint:
    """Return a model that predicts its two classes from the intensity alone."""
    weights = {k: torch.zeros_like(w) if k.startswith("heads") else w for k, w in model.weights.items()}
    weights["heads.0.weight"][:2] = torch.tensor([-6.0, 6.0]).reshape(2, 1, 1, 1)
    return Checkpoint(model.info, weights)
