"""Commits give back the weights that were put in, to the last bit, along every branch."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import hypothesis
import hypothesis.strategies as st
import net_contract
import pytest
import torch
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from napari_fcn.errors import ModelError
from napari_fcn.learning.history import Delta, History, MemoryStore
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec

INFO = net_contract.info(NetSpec(width=2, depth=1))
NAMES = ("trunk.a", "trunk.b", "head.w", "head.b", "extra")
KINDS = (torch.float32, torch.float64, torch.int64, torch.uint8)


def model(**weights: torch.Tensor) -> Checkpoint:
    return Checkpoint(INFO, weights)


def bits(checkpoint: Checkpoint) -> dict[str, tuple[torch.dtype, tuple[int, ...], bytes]]:
    return {k: (w.dtype, tuple(w.shape), w.contiguous().numpy().tobytes()) for k, w in checkpoint.weights.items()}


@st.composite
def weights(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Draw a few small tensors: some the same in many models, of several shapes and types, one with odd values."""
    found = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        kind, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 2))
        shape = draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
        found[name] = torch.full(shape, seed).to(kind)
        if kind.is_floating_point and seed == 2:
            found[name] = torch.full(shape, draw(st.sampled_from([0.0, -0.0, torch.nan, torch.inf])), dtype=kind)
    return found


class Histories(RuleBasedStateMachine):
    """Any order of adding and walking, beside a plain list of all that was added."""

    @initialize(first=weights())
    def start(self, first: dict[str, torch.Tensor]) -> None:
        self.history, self.models, self.parents = History(), [model(**first)], [None]
        self.history.add("start", 0, 0, self.models[0])

    @rule(found=weights())
    def add(self, found: dict[str, torch.Tensor]) -> None:
        self.parents.append(self.history.present.number)
        self.models.append(model(**found))
        commit = self.history.add("head", len(self.models), 3, self.models[-1], {"right": 0.5})
        assert commit == self.history.present
        assert (commit.number, commit.parent) == (len(self.models) - 1, self.parents[-1])
        assert self.history.undo() is not None
        assert self.history.redo() == commit

    @rule(found=weights())
    def change_one_weight(self, found: dict[str, torch.Tensor]) -> None:
        self.add({**self.models[self.history.present.number].weights, **dict(list(found.items())[:1])})

    @rule()
    def undo(self) -> None:
        before = self.history.present
        commit = self.history.undo()
        assert (None if commit is None else commit.number) == before.parent
        assert commit is None or self.history.redo() == before
        if commit is not None:
            self.history.undo()

    @rule()
    def redo(self) -> None:
        before = self.history.present.number
        commit = self.history.redo()
        if commit is None:
            assert before not in self.parents
        else:
            assert commit.parent == before

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.models) - 1))
        assert self.history.go_to(number).number == number

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.models) - 1))
        assert bits(self.history.checkpoint(number)) == bits(self.models[number])

    @rule()
    def forget_and_restore(self) -> None:
        old = self.history
        self.history = History.restore(old.commits, old.present.number, old.store)
        assert self.history.event() == old.event()

    @invariant()
    def every_weight_is_as_it_was_added(self) -> None:
        number = self.history.present.number
        assert bits(self.history.checkpoint(number)) == bits(self.models[number])
        assert self.history.present.hash == self.models[number].hash
        assert [step["number"] for step in self.history.log(number)][-1] == number


Histories.TestCase.settings = hypothesis.settings(max_examples=60, stateful_step_count=20, deadline=None)
TestHistories = Histories.TestCase


class Counting(MemoryStore):
    """Remembers what was put."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[set[str]] = []

    def put(self, number: int, delta: Delta) -> None:
        super().put(number, delta)
        self.names.append(set(delta.tensors))


@pytest.fixture
def grown() -> Iterator[SimpleNamespace]:
    """0 start, 1 and 2 below it, 3 and 4 below 2."""
    history = History()
    for number, parent in enumerate([0, 0, 0, 2, 2]):
        if number:
            history.go_to(parent)
        history.add("head" if number else "start", number, number * 10, model(w=torch.tensor([float(number)])))
    return SimpleNamespace(history=history)


def test_only_what_differs_to_the_last_bit_is_kept() -> None:
    store = Counting()
    history = History(store)
    zero, number, nan = torch.zeros(2), torch.ones(2), torch.full((2,), torch.nan)
    history.add("start", 0, 0, model(a=zero, b=number, c=nan))
    history.add("head", 1, 1, model(a=-zero, b=number.clone(), c=nan.clone()))  # -0.0 == 0.0, NaN != NaN
    history.add("head", 2, 2, model(a=-zero, b=number.double(), c=nan.reshape(1, 2)))
    history.add("head", 3, 3, model(a=-zero))
    history.add("head", 4, 4, model(a=-zero, b=number.double()))
    assert store.names == [{"a", "b", "c"}, {"a"}, {"b", "c"}, set(), {"b"}]
    assert set(history.checkpoint(3).weights) == {"a"}


def test_weights_in_another_memory_format_are_the_same() -> None:
    store = Counting()
    history = History(store)
    weight = torch.arange(24.0).reshape(1, 2, 3, 4)
    history.add("start", 0, 0, model(w=weight))
    history.add("head", 0, 0, model(w=weight.to(memory_format=torch.channels_last)))
    assert store.names[1] == set()


def test_what_was_added_does_not_change_with_the_network() -> None:
    history, weight = History(), torch.zeros(3)
    history.add("start", 0, 0, model(w=weight))
    weight += 1
    history.add("head", 1, 1, model(w=weight))
    weight += 1
    assert [history.checkpoint(n).weights["w"][0].item() for n in (0, 1)] == [0, 1]


def test_redo_goes_to_the_branch_that_was_visited_last(grown: SimpleNamespace) -> None:
    history = grown.history
    history.go_to(3)
    history.go_to(0)
    assert [history.redo().number for _ in range(2)] == [2, 3]
    assert history.redo() is None
    history.go_to(1)
    history.undo()
    assert history.redo().number == 1


def test_redo_knows_no_way_and_takes_the_newest(grown: SimpleNamespace) -> None:
    old = grown.history
    history = History.restore(old.commits, 0, old.store)
    assert [history.redo().number for _ in range(2)] == [2, 4]


def test_a_restored_history_knows_the_way(grown: SimpleNamespace) -> None:
    old = grown.history
    history = History.restore(old.commits, 0, old.store, visited=[0, 1, 2, 3, 4, 3, 0])
    assert [history.redo().number for _ in range(2)] == [2, 3]


def test_undo_ends_at_the_start(grown: SimpleNamespace) -> None:
    history = grown.history
    assert [history.undo().number for _ in range(2)] == [2, 0]
    assert history.undo() is None
    assert history.present.number == 0


def test_the_log_is_the_path_as_plain_data(grown: SimpleNamespace) -> None:
    history = grown.history
    history.rename(2, "good")
    log = history.log(4)
    assert [step["number"] for step in log] == [0, 2, 4]
    assert log[1] == {
        "number": 2,
        "kind": "head",
        "turn": 2,
        "strokes": 20,
        "hash": history.commits[2].hash,
        "scores": {},
        "name": "good",
    }


def test_an_event_holds_all_commits(grown: SimpleNamespace) -> None:
    event = grown.history.event(is_restored=True)
    assert [commit.number for commit in event.commits] == [0, 1, 2, 3, 4]
    assert (event.present, event.is_restored) == (4, True)


@pytest.mark.parametrize("call", ["go_to", "log", "checkpoint"])
def test_a_commit_that_is_not_there_is_named(grown: SimpleNamespace, call: str) -> None:
    with pytest.raises(ValueError, match="no commit 7; the last is 4"):
        getattr(grown.history, call)(7)


def test_weights_that_are_not_those_of_the_commit_are_refused(grown: SimpleNamespace) -> None:
    history, store = grown.history, grown.history.store
    store.put(1, replace(store.get(1), tensors={"w": torch.tensor([1.5])}))
    with pytest.raises(ModelError, match="commit 1 differ from those that were saved"):
        history.checkpoint(1)
    store.put(1, replace(store.get(1), tensors={}))
    with pytest.raises(ModelError, match="commit 1 differ from those that were saved"):
        history.checkpoint(1)


def test_what_cannot_be_kept_is_no_commit(grown: SimpleNamespace) -> None:
    class Refusing(MemoryStore):
        def put(self, number: int, delta: Delta) -> None:
            raise OSError("no")

    grown.history.store = Refusing()
    before = grown.history.event()
    with pytest.raises(OSError, match="no"):
        grown.history.add("head", 9, 9, model(w=torch.tensor([9.0])))
    assert grown.history.event() == before


def test_a_taught_network_comes_back() -> None:
    spec = NetSpec(width=2, depth=1)
    first, second = (net_contract.checkpoint(spec, seed=seed) for seed in (0, 1))
    history = History()
    history.add("start", 0, 0, first)
    history.add("network", 1, 4, second)
    assert history.checkpoint(0).hash == first.hash
    assert history.checkpoint(1).info == second.info
    assert history.checkpoint(1).net()(torch.zeros(1, 1, 8, 8)).shape == (1, 2, 8, 8)
