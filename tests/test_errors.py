"""Errors and notes carry an advice for the command line and one for docks, also to other processes."""

import copy
import pickle

import pytest

from napari_fcn.errors import Advice, FcnError, MemoryShortage, Note, OutputExistsError, in_dock

ADVICE = Advice("Add --overwrite.", "Tick Replace files.")


@pytest.mark.parametrize("kind", [FcnError, OutputExistsError, MemoryShortage])
def test_each_place_gets_its_own_advice(kind: type[FcnError]) -> None:
    error = kind("a.tif exists.", ADVICE)
    assert str(error) == "a.tif exists. Add --overwrite."
    assert in_dock(error) == error.in_dock == "a.tif exists. Tick Replace files."
    assert error.short == "a.tif exists."


def test_an_advice_without_flags_is_the_same_everywhere() -> None:
    error = FcnError("a.tif is damaged.", "Copy it again.")
    assert str(error) == in_dock(error) == "a.tif is damaged. Copy it again."
    assert str(FcnError("a.tif is damaged.")) == "a.tif is damaged."
    assert in_dock(ValueError("x")) == "x"


@pytest.mark.parametrize("send", [copy.copy, lambda value: pickle.loads(pickle.dumps(value))])
def test_an_error_survives_being_sent_to_another_process(send) -> None:
    for said in (OutputExistsError("a.tif exists.", ADVICE), Note("Channel 0 was read.", ADVICE)):
        there = send(said)
        assert (type(there), str(there), in_dock(there)) == (type(said), str(said), in_dock(said))


def test_a_note_is_a_string() -> None:
    note = Note("Channel 0 was read.", Advice("Choose with --channels.", "Choose under Channels."))
    assert note == "Channel 0 was read. Choose with --channels."
    assert in_dock(note) == "Channel 0 was read. Choose under Channels."
    assert in_dock("plain") == "plain"
