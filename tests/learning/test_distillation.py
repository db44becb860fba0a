"""A forest and what is learnt from it bend a head where strokes ask for it."""

from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_fcn.learning import distillation
from napari_fcn.learning.distillation import TrainingBatch, distill
from napari_fcn.learning.head import Head, HiddenLayer, LinearHead


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blank(classes: int, features: int) -> Head:
    return Head(LinearHead(torch.zeros(classes, features), torch.zeros(classes)))


def ended(steps: Generator[None, None, HiddenLayer | None]) -> tuple[int, HiddenLayer | None]:
    """Return the number of pauses, and what came out."""
    for number in range(1000):
        try:
            next(steps)
        except StopIteration as end:
            return number, end.value
    raise AssertionError("it does not end")


def crossed(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return rows of three features, and a class that no line tells from the other."""
    rows = torch.rand(count, 3, generator=seeded(seed)) * 2 - 1
    return rows, ((rows[:, 0] > 0) ^ (rows[:, 1] > 0)).long()


def lesson_of(rows: Tensor, label: Tensor) -> TrainingBatch:
    return TrainingBatch(rows, label, torch.ones(len(label)), 0)


def test_it_learns_what_no_line_tells_and_answers_where_nothing_is_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "N_STEPS", 240)
    rows, label = crossed(300, 0)
    free, truth = crossed(2000, 1)
    straight = blank(2, 3)
    _, found = ended(distill(lesson_of(rows, label), free[:1000], straight, 32, 1.0, 0))
    assert found is not None
    unseen = free[1000:]
    right = (Head(straight.linear, found).logits(unseen).argmax(1) == truth[1000:]).float().mean()
    assert right > 0.9


def test_what_the_linear_head_is_sure_of_counts_too() -> None:
    rows, label = crossed(100, 0)
    sure = Head(LinearHead(torch.zeros(2, 3), torch.tensor([-20.0, 20.0])))
    _, found = ended(distill(lesson_of(rows, label), rows, sure, 8, 1.0, 0))
    assert (Head(sure.linear, found).logits(rows).argmax(1) == 1).all()


@pytest.mark.parametrize(
    ("classes", "units", "weight"), [(1, 8, 1.0), (2, 0, 1.0), (2, 8, 0.0)], ids=["one class", "no units", "no weight"]
)
def test_where_there_is_nothing_to_bend_the_head_stays(classes: int, units: int, weight: float) -> None:
    rows, label = crossed(50, 0)
    kept = HiddenLayer(LinearHead(torch.ones(2, 3), torch.ones(2)), torch.ones(2, 2))
    straight = Head(blank(2, 3).linear, kept)
    pauses, found = ended(distill(lesson_of(rows, label % classes), rows, straight, units, weight, 0))
    assert pauses == 0
    assert found is kept


def test_a_class_that_nobody_has_shown_is_not_answered() -> None:
    rows, label = crossed(200, 0)
    straight = blank(3, 3)
    _, found = ended(distill(lesson_of(rows, label), rows, straight, 16, 1.0, 0))
    assert (Head(straight.linear, found).logits(rows).argmax(1) < 2).all()


def test_the_same_samples_and_seed_give_the_same_bits() -> None:
    rows, label = crossed(100, 0)

    def once(seed: int) -> Any:
        return ended(distill(lesson_of(rows, label), rows, blank(2, 3), 8, 1.0, seed))[1]

    first, again, other = once(0), once(0), once(1)
    assert torch.equal(first.output_weights, again.output_weights)
    assert torch.equal(first.units.weight, again.units.weight)
    assert not torch.equal(first.output_weights, other.output_weights)


def test_it_pauses_while_trees_grow_and_while_units_learn() -> None:
    rows, label = crossed(60, 0)
    pauses, _ = ended(distill(lesson_of(rows, label), rows, blank(2, 3), 8, 1.0, 0))
    growing = 2 * distillation.N_TREES + 1  # and one for what they vote
    assert pauses == growing + 3 + distillation.N_STEPS // distillation.STEPS_PER_PAUSE


def test_half_of_the_trees_see_plain_features_alone() -> None:
    rows, label = crossed(200, 0)
    crowd = torch.cat([rows[:, :2], torch.randn(200, 300, generator=seeded(2))], dim=1)
    free, truth = crossed(500, 1)
    unseen = torch.cat([free[:, :2], torch.randn(500, 300, generator=seeded(3))], dim=1)

    def right(plain: int) -> float:
        lesson = TrainingBatch(crowd, label, torch.ones(200), plain)
        votes = 0
        for view in distillation.column_sets(lesson):
            steps = distillation._forest_probabilities(lesson, unseen, view, 2, 10, 0)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    votes = votes + end.value
                    break
        return float((votes.argmax(1) == truth).float().mean())  # type: ignore[attr-defined]

    assert right(2) > right(0) + 0.1
