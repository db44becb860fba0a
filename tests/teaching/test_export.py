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
    made = teaching.checkpoint()
    assert made.hash == teaching.history.present.hash
    assert made.info.card.parent == tiny().hash
    assert [c["number"] for c in made.info.card.commits] == [0, 1, 2]
    assert [c["hash"] for c in made.info.card.commits] == [c.hash for c in teaching.history.commits]
    assert "tiny" in made.info.card.name
    assert "predicts exactly as before" in made.info.card.limits
    early = teaching.checkpoint(1)
    assert early.hash == teaching.history.commits[1].hash
    assert len(early.info.card.commits) == 2


def test_saving_during_a_round_saves_the_current_model() -> None:
    teaching = new_teaching()
    events = teaching.run_round(Samples.from_labels(painted(SHAPE, 1)), VIEW)
    next(event for event in events if isinstance(event, HeadFitted))
    events.close()
    made = teaching.checkpoint()
    assert made.hash == head_hash(teaching)
    assert "in 1 rounds" in made.info.card.summary
    assert teaching.checkpoint(0).hash == teaching.history.commits[0].hash
    assert len(teaching.history.commits) == len(made.info.card.commits) == 1
    (told,) = run(teaching.commit())
    assert told.commits[-1].hash == made.hash
    assert [c["number"] for c in teaching.checkpoint().info.card.commits] == [0, 1]


def test_the_original_head_predicts_as_the_model_at_the_start() -> None:
    teaching = new_teaching()
    for turn in (1, 2):
        run_turn(teaching, turn)
    made = teaching.checkpoint()
    assert made.original().hash == tiny().hash
    session = Session(IMAGE, made, settings=PredictSettings(head="original", device="cpu"))
    expected = Session(IMAGE, tiny(), settings=PredictSettings(device="cpu"))
    for event, other in zip(session.predict(), expected.predict(), strict=True):
        if isinstance(event, TileDone):
            assert np.array_equal(event.probabilities, other.probabilities)  # type: ignore[union-attr]


def test_a_fine_tuned_trunk_keeps_the_original_score_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    always_better(monkeypatch)
    teaching = new_teaching(FAST)
    for turn in (1, 2):
        run_turn(teaching, turn)
    made, start = teaching.checkpoint(), tiny()
    assert made.original().hash != start.hash
    for name, values in start.weights.items():
        if name.startswith("score") or "running" in name:
            assert torch.equal(made.weights[f"trunk.{name}"], values)
    assert re.search(r"predicts \d+\.\d% of the compared pixels of this image as before", made.info.card.limits)


def test_the_card_has_the_score_of_the_model_at_the_start() -> None:
    start = tiny()
    scored = Checkpoint(replace(start.info, card=replace(start.info.card, scores={"dice": 0.8765})), start.weights)
    teaching = Teaching(IMAGE, scored, settings=HEADS)
    run_turn(teaching, 1)
    limits = teaching.checkpoint().info.card.limits
    assert f"predicts exactly as before: Dice 0.876 on the validation images of {start.info.card.name}" in limits
