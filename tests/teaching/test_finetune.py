"""Fine-tuning on an image and its labels in one run, and the models to start from."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from net_contract import one_thread  # noqa: F401
from teaching_examples import FAST, IMAGE, SHAPE, halves, painted, run, tiny

from napari_fcn import api
from napari_fcn.errors import FcnError, ImageError, ModelError
from napari_fcn.events import CandidateEvaluated, HistoryChanged, LabelsFound, StepDone
from napari_fcn.models.adapt import TWO_CLASSES, filters_only
from napari_fcn.models.binding import bind_array
from napari_fcn.nets import NetSpec
from napari_fcn.nets.sigmas import MIN_SIGMA
from napari_fcn.nets.validation import NETWORKS
from napari_fcn.teaching.finetune import (
    FinetuneLimit,
    FinetuneResult,
    add_missing_classes,
    finetune,
    initial_model,
    network_shape,
)

LABELS = painted(SHAPE, 8)


def run_finetune(
    limit: FinetuneLimit | None = None, labels: Any = LABELS, **values: Any
) -> tuple[FinetuneResult, list[Any]]:
    """Return the result, and all events before it."""
    values = {"settings": FAST, **values}
    *events, end = run(finetune(IMAGE, labels, values.pop("model", None) or tiny(), limit=limit, **values))
    assert isinstance(end, FinetuneResult)
    return end, events


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_training_stops_at_the_maximum_number_of_steps(steps: int) -> None:
    end, events = run_finetune(FinetuneLimit(steps))
    steps_done = [event for event in events if isinstance(event, StepDone)]
    interval = max(1, min(FAST.judge_every, steps))
    assert end.steps == len(steps_done)
    assert steps <= end.steps < steps + interval
    assert (end.loss is None) == (steps == 0)
    if steps_done:
        assert end.loss == steps_done[-1].loss
        assert isinstance(
            next(e for e in reversed(events) if isinstance(e, StepDone | CandidateEvaluated)), CandidateEvaluated
        )


def test_labels_are_predicted_correctly() -> None:
    end, _ = run_finetune(FinetuneLimit(0))
    prediction = api.classes(IMAGE, end.checkpoint, device="cpu")
    assert (prediction[LABELS > 0] == LABELS[LABELS > 0] - 1).mean() > 0.95
    card = end.checkpoint.info.card
    assert card.parent == tiny().hash
    assert card.commits[-1]["kind"] == "head"


def test_the_same_labels_give_the_same_model() -> None:
    first, second = (run_finetune(FinetuneLimit(4))[0].checkpoint.hash for _ in range(2))
    assert first == second
    other = run_finetune(FinetuneLimit(4), settings=replace(FAST, keep=0.1))[0].checkpoint.hash
    assert other != first


def test_training_stops_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (False, "no"))
    ticks = count()
    monkeypatch.setattr("napari_fcn.teaching.finetune.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    end, _ = run_finetune(FinetuneLimit(seconds=200))  # the clock advances by a second per event
    assert 0 < end.steps < 200
    assert 200 < end.seconds < 205


def test_a_better_candidate_is_accepted_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (True, "yes"))
    end, _ = run_finetune(FinetuneLimit(2))
    assert end.checkpoint.info.card.commits[-1]["kind"] == "network"


def test_a_better_candidate_is_accepted_at_the_end_even_if_set_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (True, "yes"))
    for limit in (None, FinetuneLimit(2)):
        end, events = run_finetune(limit, settings=replace(FAST, network="ask"))
        assert end.checkpoint.info.card.commits[-1]["kind"] == "network"
        history_events = [event for event in events if isinstance(event, HistoryChanged)]
        assert history_events[-1].commits[-1].hash == end.checkpoint.hash


@pytest.mark.parametrize("limit", [FinetuneLimit(0), FinetuneLimit(3), FinetuneLimit(seconds=0.0)])
def test_the_last_commit_is_yielded_and_is_the_model(limit: FinetuneLimit) -> None:
    end, events = run_finetune(limit)
    history_events = [event for event in events if isinstance(event, HistoryChanged)]
    assert history_events[-1].commits[-1].hash == end.checkpoint.hash
    assert len(history_events[-1].commits) == len(end.checkpoint.info.card.commits)


def test_the_original_head_is_unchanged() -> None:
    end, _ = run_finetune(FinetuneLimit(0))
    assert end.checkpoint.original().hash == tiny().hash


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_networks_and_filters_of_any_dimension_can_be_fine_tuned(ndim: int) -> None:
    shape = {1: (300,), 2: SHAPE, 3: (10, 16, 32)}[ndim]
    image, labels = halves(shape), painted(shape, 4)
    for model in (tiny(ndim), filters_only(ndim, 1)):
        *_, end = run(finetune(image, labels, model, settings=FAST, limit=FinetuneLimit(2)))
        prediction = api.classes(image, end.checkpoint, device="cpu")
        assert (prediction[labels > 0] == labels[labels > 0] - 1).mean() > 0.9


def test_classes_are_added_for_further_label_values() -> None:
    labels = LABELS.copy()
    labels[45, 2:60] = 4
    labels[46, 2:60] = 3
    end, _ = run_finetune(FinetuneLimit(0), labels)
    assert [c.name for c in end.checkpoint.info.classes] == ["background", "object", "class 2", "class 3"]
    assert [c.name for c in add_missing_classes(np.zeros((2, 2), np.uint8), TWO_CLASSES)] == [
        c.name for c in TWO_CLASSES
    ]


def test_labels_of_any_dtype_give_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = {
        run_finetune(FinetuneLimit(0), LABELS.astype(dtype))[0].checkpoint.hash
        for dtype in (np.uint8, np.int64, np.float32)
    }
    assert len(hashes) == 1


def test_nan_is_not_annotated_and_noted() -> None:
    labels = np.where(LABELS > 0, LABELS, np.nan).astype(np.float32)
    end, (survey, *_) = run_finetune(FinetuneLimit(0), labels)
    assert end.checkpoint.hash == run_finetune(FinetuneLimit(0))[0].checkpoint.hash
    assert isinstance(survey, LabelsFound)
    assert (survey.pixels, survey.unknown) == (((LABELS == 1).sum(), (LABELS == 2).sum()), (LABELS == 0).sum())
    assert f"{(LABELS == 0).sum()} pixels of the labels are NaN" in survey.notes[0]


def test_label_values_define_the_classes_of_a_mask() -> None:
    expected, _ = run_finetune(FinetuneLimit(0), LABELS)
    mask = np.array([7, 0, 255], np.uint8)[LABELS]
    end, _ = run_finetune(FinetuneLimit(0), mask, label_values=(0, 255))
    assert end.checkpoint.hash == expected.checkpoint.hash


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(SHAPE, np.uint8), "labels are empty"),
        (LABELS / 2, "hold 0.5; needed are whole numbers"),
        (LABELS.astype(np.int16) - 1, "go from -1 to 1; needed are whole numbers"),
        (LABELS.astype(np.uint16) * 200, "go from 0 to 400.*--label-values 0,200,400"),
        (np.zeros((0, 3), np.uint8), "0 x 3 px; the image is 48 x 64 px"),
        (LABELS[:40], "The labels are 40 x 64 px; the image is 48 x 64 px"),
        (LABELS.T, "look transposed"),
        (np.stack([LABELS] * 3, -1), "look like colours"),
        (LABELS > 0, "hold 0 and 1 only.*--label-values 0,1"),
        (np.eye(48, 64, dtype=np.uint8) * 255, "hold 0 and 255 only.*--label-values 0,255"),
        (np.where(LABELS == 2, 4, LABELS), "nothing is labelled 3"),
        (np.add.outer(2 * np.arange(48) // 6, np.zeros(64, int)) + 3, "look like numbered objects"),
    ],
)
def test_labels_that_do_not_fit_are_rejected(labels: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        run_finetune(FinetuneLimit(0), labels)


@pytest.mark.parametrize(
    "labels", [painted(SHAPE, 1, [1]), 2 * np.eye(48, 64, dtype=np.uint8)], ids=["one class", "line"]
)
def test_few_labels_are_enough(labels: Any) -> None:
    end, _ = run_finetune(FinetuneLimit(2), labels)
    assert all(torch.isfinite(w).all() for w in end.checkpoint.weights.values())


@pytest.mark.parametrize("model", ["new:unet width=2 depth=1", "new:fcn width=2"])
def test_a_new_network_needs_two_classes(model: str) -> None:
    start = initial_model(model, SHAPE, ())
    with pytest.raises(ImageError, match="a single class would be learnt"):
        run_finetune(FinetuneLimit(0), 2 * np.eye(48, 64, dtype=np.uint8), model=start)


def test_one_pixel_is_enough() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[3, 3] = 2
    end, _ = run_finetune(FinetuneLimit(2), labels)
    assert api.classes(IMAGE, end.checkpoint, device="cpu")[3, 3] == 1


# Initial models


def test_a_new_network_fits_the_image() -> None:
    model = initial_model("new:unet width=2", (20, 64, 64), (2.0, 0.5, 0.5), seed=1)
    spec = model.info.spec
    assert (spec.ndim, spec.width, spec.pool[0]) == (3, 2, (1, 2, 2))
    assert spec.head == "levels"
    assert model.info.classes == TWO_CLASSES
    assert model.hash == initial_model("new:unet width=2", (20, 64, 64), (2.0, 0.5, 0.5), seed=1).hash
    assert model.hash != initial_model("new:unet width=2", (20, 64, 64), (2.0, 0.5, 0.5), seed=2).hash


def test_a_filter_bank_can_be_the_initial_model() -> None:
    model = initial_model("new:filters", SHAPE, (1.0, 2.0))
    assert model.hash == filters_only(2, 1, spacing=(1.0, 2.0)).hash
    prediction = api.classes(IMAGE, api.finetune(IMAGE, LABELS, "new:filters", steps=0, device="cpu"), device="cpu")
    assert (prediction[LABELS > 0] == LABELS[LABELS > 0] - 1).mean() > 0.9
    with pytest.raises(FcnError, match="has no options"):
        initial_model("new:filters width=3", SHAPE, ())


def test_options_of_a_new_network_are_read_from_its_text() -> None:
    model = initial_model("new:unet width=2 depth=1 norm=none", (64, 64), (), channels=3)
    assert model.info.spec.trunk_spec == NetSpec(width=2, depth=1, norm="none", channels=3)


def test_a_checkpoint_or_a_shipped_name_is_an_initial_model() -> None:
    model = tiny()
    assert initial_model(model, (), ()) is model
    assert initial_model("nuclei", (), ()).info.card.name == "nuclei"


@pytest.mark.parametrize(("model", "message"), [("new:vgg", "family is 'vgg'"), ("new:unet width", "not name=value")])
def test_a_network_that_cannot_be_built_is_named(model: str, message: str) -> None:
    with pytest.raises(FcnError, match=message):
        initial_model(model, (64, 64), ())


def test_a_missing_model_is_named() -> None:
    with pytest.raises(ModelError, match="There is no model 'nothing'"):
        initial_model("nothing", (), ())


# The function of the API


def test_the_api_fine_tunes_a_model() -> None:
    model = api.finetune(IMAGE, LABELS, tiny(), steps=0, device="cpu")
    assert model.hash == api.finetune(IMAGE, LABELS.tolist(), tiny(), steps=0, device="cpu").hash
    assert (api.classes(IMAGE, model, device="cpu")[LABELS > 0] == LABELS[LABELS > 0] - 1).mean() > 0.95


def test_the_api_fine_tunes_a_new_network() -> None:
    model = api.finetune(
        IMAGE, LABELS, "new:unet width=2 depth=1", steps=2, judge_every=1, patch=16, device="cpu", axes="yx"
    )
    assert model.info.spec.original == 0
    assert (api.classes(IMAGE, model, device="cpu")[LABELS > 0] == LABELS[LABELS > 0] - 1).mean() > 0.9


def test_axes_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(ImageError):
        api.finetune(IMAGE, LABELS, tiny(), axes="zyx", steps=0)


@pytest.mark.parametrize("family", NETWORKS)
def test_new_networks_of_every_family_can_be_fine_tuned(family: str) -> None:
    image, labels, axes = IMAGE, LABELS, "yx"
    if family == "video":
        image, labels, axes = halves((6, 24, 32)), painted((6, 24, 32), 4), "tyx"
    model = api.finetune(
        image, labels, f"new:{family} width=2 depth=2", axes=axes, steps=2, judge_every=1, patch=16, device="cpu"
    )
    assert model.info.spec.family == family
    assert (api.classes(image, model, axes, device="cpu")[labels > 0] == labels[labels > 0] - 1).mean() > 0.9


@pytest.mark.parametrize("family", NETWORKS)
def test_trained_networks_of_every_family_can_be_fine_tuned(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.learning.evaluation.decide", lambda scores, pins: (True, "yes"))
    model = tiny(family=family, depth=2)
    end, _ = run_finetune(FinetuneLimit(2), model=model)
    card = end.checkpoint.info.card
    assert card.commits[-1]["kind"] == "network"
    assert end.loss is not None
    assert np.isfinite(end.loss)
    before, after = model.weights, end.checkpoint.original().weights
    assert before.keys() == after.keys()
    frozen = [name for name in before if name.startswith("score.")]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in set(before) - set(frozen))


def test_a_new_network_for_movies_convolves_time() -> None:
    model = initial_model("new:video width=2", (20, 64, 64), (5.0, 0.5, 0.5))
    spec = model.info.spec
    assert (spec.time, spec.multiple[0], {level[0] for level in spec.kernel}) == (0, 1, {3})
    assert {scale[0] for scale in spec.filters} == {MIN_SIGMA}


@pytest.mark.parametrize(
    ("model", "shape", "names", "space"),
    [
        ("new:unet", (5, 8, 8), ("z", "y", "x"), "zyx"),
        ("new:unet", (5, 8, 8), ("t", "y", "x"), "yx"),
        ("new:unet time=0", (5, 8, 8), ("t", "y", "x"), "tyx"),
        ("new:video", (5, 8, 8), ("t", "y", "x"), "tyx"),
        ("new:video", (5, 6, 8, 8), ("t", "z", "y", "x"), "tyx"),
        ("new:video", (5, 8, 8), (), "tyx"),
        ("new:unet", (5, 8, 8), (), "yx"),
        ("new:unet ndim=2", (5, 8, 8), ("z", "y", "x"), "yx"),
        ("new:dilated", (50,), ("t",), "t"),
    ],
)
def test_a_new_network_convolves_the_axes_of_its_family(
    model: str, shape: tuple[int, ...], names: tuple[str, ...], space: str
) -> None:
    assert bind_array(shape, network_shape(model, shape, names), names).axes.space == tuple(space)
