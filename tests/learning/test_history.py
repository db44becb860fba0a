"""The tree of commits returns the weights bit for bit, on every branch."""

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
    """Draw a few small tensors of several shapes and types, often equal between models; some NaN, infinite or -0."""
    added = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        dtype, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 2))
        shape = draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
        added[name] = torch.full(shape, seed).to(dtype)
        if dtype.is_floating_point and seed == 2:
            added[name] = torch.full(shape, draw(st.sampled_from([0.0, -0.0, torch.nan, torch.inf])), dtype=dtype)
    return added


class Histories(RuleBasedStateMachine):
    """Any order of commits, undo and redo, compared with a plain list of the models."""

    @initialize(first=weights())
    def start(self, first: dict[str, torch.Tensor]) -> None:
        self.history, self.models, self.parents = History(), [model(**first)], [None]
        self.history.add("start", 0, 0, self.models[0])

    @rule(added=weights())
    def add(self, added: dict[str, torch.Tensor]) -> None:
        self.parents.append(self.history.present.number)
        self.models.append(model(**added))
        commit = self.history.add("head", len(self.models), 3, self.models[-1], {"right": 0.5})
        assert commit == self.history.present
        assert (commit.number, commit.parent) == (len(self.models) - 1, self.parents[-1])
        assert self.history.undo() is not None
        assert self.history.redo() == commit

    @rule(added=weights())
    def change_one_weight(self, added: dict[str, torch.Tensor]) -> None:
        self.add({**self.models[self.history.present.number].weights, **dict(list(added.items())[:1])})

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
    def read(self, data: st.DataObject) -> None:
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


class RecordingStore(MemoryStore):
    """Records the names of the stored weights."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[set[str]] = []

    def put(self, number: int, delta: Delta) -> None:
        super().put(number, delta)
        self.names.append(set(delta.tensors))


@pytest.fixture
def tree() -> Iterator[SimpleNamespace]:
    """A history: 0 is the start, 1 and 2 are its children, 3 and 4 those of 2."""
    history = History()
    for number, parent in enumerate([0, 0, 0, 2, 2]):
        if number:
            history.go_to(parent)
        history.add("head" if number else "start", number, number * 10, model(w=torch.tensor([float(number)])))
    return SimpleNamespace(history=history)


def test_only_weights_that_differ_bit_for_bit_are_stored() -> None:
    store = RecordingStore()
    history = History(store)
    zero, number, nan = torch.zeros(2), torch.ones(2), torch.full((2,), torch.nan)
    history.add("start", 0, 0, model(a=zero, b=number, c=nan))
    history.add("head", 1, 1, model(a=-zero, b=number.clone(), c=nan.clone()))  # -0.0 == 0.0, NaN != NaN
    history.add("head", 2, 2, model(a=-zero, b=number.double(), c=nan.reshape(1, 2)))
    history.add("head", 3, 3, model(a=-zero))
    history.add("head", 4, 4, model(a=-zero, b=number.double()))
    assert store.names == [{"a", "b", "c"}, {"a"}, {"b", "c"}, set(), {"b"}]
    assert set(history.checkpoint(3).weights) == {"a"}


def test_weights_in_another_memory_format_are_equal() -> None:
    store = RecordingStore()
    history = History(store)
    weight = torch.arange(24.0).reshape(1, 2, 3, 4)
    history.add("start", 0, 0, model(w=weight))
    history.add("head", 0, 0, model(w=weight.to(memory_format=torch.channels_last)))
    assert store.names[1] == set()


def test_commits_do_not_change_with_the_network() -> None:
    history, weight = History(), torch.zeros(3)
    history.add("start", 0, 0, model(w=weight))
    weight += 1
    history.add("head", 1, 1, model(w=weight))
    weight += 1
    assert [history.checkpoint(n).weights["w"][0].item() for n in (0, 1)] == [0, 1]


def test_redo_follows_the_branch_visited_last(tree: SimpleNamespace) -> None:
    history = tree.history
    history.go_to(3)
    history.go_to(0)
    assert [history.redo().number for _ in range(2)] == [2, 3]
    assert history.redo() is None
    history.go_to(1)
    history.undo()
    assert history.redo().number == 1


def test_redo_without_visits_follows_the_newest_branch(tree: SimpleNamespace) -> None:
    old = tree.history
    history = History.restore(old.commits, 0, old.store)
    assert [history.redo().number for _ in range(2)] == [2, 4]


def test_redo_in_a_restored_history_follows_the_visits(tree: SimpleNamespace) -> None:
    old = tree.history
    history = History.restore(old.commits, 0, old.store, visited=[0, 1, 2, 3, 4, 3, 0])
    assert [history.redo().number for _ in range(2)] == [2, 3]


def test_undo_stops_at_the_start(tree: SimpleNamespace) -> None:
    history = tree.history
    assert [history.undo().number for _ in range(2)] == [2, 0]
    assert history.undo() is None
    assert history.present.number == 0


def test_the_log_is_the_path_from_the_start_as_plain_data(tree: SimpleNamespace) -> None:
    history = tree.history
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


def test_an_event_contains_all_commits(tree: SimpleNamespace) -> None:
    event = tree.history.event(is_restored=True)
    assert [commit.number for commit in event.commits] == [0, 1, 2, 3, 4]
    assert (event.present, event.is_restored) == (4, True)


@pytest.mark.parametrize("call", ["go_to", "log", "checkpoint"])
def test_a_missing_commit_is_named(tree: SimpleNamespace, call: str) -> None:
    with pytest.raises(ValueError, match="no commit 7; the last is 4"):
        getattr(tree.history, call)(7)


def test_changed_weights_of_a_commit_are_rejected(tree: SimpleNamespace) -> None:
    history, store = tree.history, tree.history.store
    store.put(1, replace(store.get(1), tensors={"w": torch.tensor([1.5])}))
    with pytest.raises(ModelError, match="commit 1 differ from those that were saved"):
        history.checkpoint(1)
    store.put(1, replace(store.get(1), tensors={}))
    with pytest.raises(ModelError, match="commit 1 differ from those that were saved"):
        history.checkpoint(1)


def test_without_storage_no_commit_is_added(tree: SimpleNamespace) -> None:
    class FailingStore(MemoryStore):
        def put(self, number: int, delta: Delta) -> None:
            raise OSError("no")

    tree.history.store = FailingStore()
    before = tree.history.event()
    with pytest.raises(OSError, match="no"):
        tree.history.add("head", 9, 9, model(w=torch.tensor([9.0])))
    assert tree.history.event() == before


def test_a_network_can_be_restored() -> None:
    spec = NetSpec(width=2, depth=1)
    first, second = (net_contract.checkpoint(spec, seed=seed) for seed in (0, 1))
    history = History()
    history.add("start", 0, 0, first)
    history.add("network", 1, 4, second)
    assert history.checkpoint(0).hash == first.hash
    assert history.checkpoint(1).info == second.info
    assert history.checkpoint(1).net()(torch.zeros(1, 1, 8, 8)).shape == (1, 2, 8, 8)
