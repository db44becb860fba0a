"""The model of a session as a checkpoint, and its card."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from teaching_examples import (
    FAST,
    HEADS,
    IMAGE,
    SHAPE,
    VIEW,
    always_better,
    head_hash,
    new_teaching,
    painted,
    run,
    run_turn,
    tiny,
)

from napari_fcn.events import HeadFitted, TileDone
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings
from napari_fcn.teaching import Teaching


def test_the_card_names_the_parent_model() -> None:
    teaching = new_teaching()
    for turn in (1, 2):
        run_turn(teaching, turn)
    exported = teaching.checkpoint()
    assert exported.hash == teaching.history.present.hash
    assert exported.info.card.parent == tiny().hash
    assert [c["number"] for c in exported.info.card.commits] == [0, 1, 2]
    assert [c["hash"] for c in exported.info.card.commits] == [c.hash for c in teaching.history.commits]
    assert "tiny" in exported.info.card.name
    assert "predicts exactly as before" in exported.info.card.limits
    first_commit = teaching.checkpoint(1)
    assert first_commit.hash == teaching.history.commits[1].hash
    assert len(first_commit.info.card.commits) == 2


def test_saving_during_a_round_saves_the_current_model() -> None:
    teaching = new_teaching()
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 1)), VIEW)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()
    exported = teaching.checkpoint()
    assert exported.hash == head_hash(teaching)
    assert "in 1 rounds" in exported.info.card.summary
    assert teaching.checkpoint(0).hash == teaching.history.commits[0].hash
    assert len(teaching.history.commits) == len(exported.info.card.commits) == 1
    (event,) = run(teaching.commit())
    assert event.commits[-1].hash == exported.hash
    assert [c["number"] for c in teaching.checkpoint().info.card.commits] == [0, 1]


def test_the_original_head_predicts_as_the_model_at_the_start() -> None:
    teaching = new_teaching()
    for turn in (1, 2):
        run_turn(teaching, turn)
    exported = teaching.checkpoint()
    assert exported.original().hash == tiny().hash
    session = Session(IMAGE, exported, settings=PredictSettings(head="original", device="cpu"))
    expected = Session(IMAGE, tiny(), settings=PredictSettings(device="cpu"))
    for event, other in zip(session.predict(), expected.predict(), strict=True):
        if isinstance(event, TileDone):
            assert np.array_equal(event.probabilities, other.probabilities)  # type: ignore[union-attr]


def test_a_fine_tuned_trunk_keeps_the_original_score_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(FAST)
    for turn in (1, 2):
        run_turn(teaching, turn)
    exported, start = teaching.checkpoint(), tiny()
    assert exported.original().hash != start.hash
    for name, values in start.weights.items():
        if name.startswith("score") or "running" in name:
            assert torch.equal(exported.weights[f"trunk.{name}"], values)
    assert re.search(r"predicts \d+\.\d% of the compared pixels of this image as before", exported.info.card.limits)


def test_the_card_has_the_score_of_the_model_at_the_start() -> None:
    start = tiny()
    with_score = Checkpoint(replace(start.info, card=replace(start.info.card, scores={"dice": 0.8765})), start.weights)
    teaching = Teaching(IMAGE, with_score, settings=HEADS)
    run_turn(teaching, 1)
    limits = teaching.checkpoint().info.card.limits
    assert f"predicts exactly as before: Dice 0.876 on the validation images of {start.info.card.name}" in limits
