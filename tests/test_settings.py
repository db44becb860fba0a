"""Each option is declared once and checked in one place for forms, flags, saved projects and Python."""

from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest

from napari_fcn.errors import SettingsError, UsageError
from napari_fcn.io.result_kinds import ENCODERS, LANDSCAPE
from napari_fcn.project.schema import check_entry
from napari_fcn.settings import (
    DEVICES,
    RESULT_KINDS,
    Option,
    OutputSettings,
    PredictSettings,
    TeachSettings,
    TrainSettings,
    options,
)
from napari_fcn.storage.schema import SchemaError

CLASSES = (PredictSettings, TrainSettings, TeachSettings, OutputSettings)
EVERY = [(kind, option) for kind in CLASSES for option in options(kind)]
NAMES = [f"{kind.__name__}-{option.name}" for kind, option in EVERY]
every_option = pytest.mark.parametrize("option", [option for _, option in EVERY], ids=NAMES)
every_class = pytest.mark.parametrize("kind", CLASSES)


@every_class
def test_every_field_is_an_option(kind: type) -> None:
    assert [option.name for option in options(kind)] == [f.name for f in fields(kind)]


@every_option
def test_an_option_has_a_label_and_a_sentence_of_help(option: Option) -> None:
    assert option.label[0].isupper()
    assert option.help.endswith(".")
    assert len(option.help) > 10


@every_option
def test_the_default_is_one_of_the_choices_and_in_range(option: Option) -> None:
    if option.choices:
        assert set(option.default if option.is_list else [option.default]) <= {*option.choices}
    if isinstance(option.default, int | float):
        assert option.minimum is None or option.default >= option.minimum
        assert option.maximum is None or option.default <= option.maximum


@every_class
def test_settings_are_values(kind: type) -> None:
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    with pytest.raises(FrozenInstanceError):
        setattr(kind(), fields(kind)[0].name, "cpu")


def test_kinds_are_types_and_not_text() -> None:
    by_name = {option.name: option.kind for option in options(PredictSettings)}
    assert by_name["tile"] == tuple[int, ...]
    assert by_name["channel"] == int | None
    assert by_name["device"] is str


@pytest.mark.parametrize(("given", "stored"), [(64, (64,)), ([32, 64], (32, 64)), ((), ())])
def test_a_tile_is_given_as_one_number_or_several(given: object, stored: tuple[int, ...]) -> None:
    assert PredictSettings(tile=given).tile == stored  # type: ignore[arg-type]


def test_the_default_device_is_auto() -> None:
    assert PredictSettings().device == TrainSettings().device == DEVICES[0] == "auto"


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (PredictSettings, {"head": "qq"}, "head: “qq” is not one of taught, original."),
        (PredictSettings, {"memory": -3}, "memory: -3 is too small; the minimum is 0.1."),
        (PredictSettings, {"memory": float("nan")}, "memory: “nan” is not a number."),
        (PredictSettings, {"memory": True}, "memory: “True” is not a number."),
        (PredictSettings, {"tile": (64, 0)}, "tile: 0 is too small; the minimum is 1."),
        (PredictSettings, {"tile": 6.5}, "tile: “6.5” is not a whole number, or several with commas between."),
        (PredictSettings, {"device": "toaster"}, "device: “toaster” is not one of auto, cpu, cuda, mps or cuda:N."),
        (TrainSettings, {"invert": "perhaps"}, "invert: “perhaps” is not true or false."),
        (TrainSettings, {"train": 5}, "train: “5” is not a text."),
        (TeachSettings, {"keep": 2.0}, "keep: 2 is too large; the maximum is 1."),
        (TeachSettings, {"seed": 2**63}, f"seed: {2**63} is too large; it must fit in 64 bits."),
    ],
)
def test_settings_refuse_what_an_option_does_not_take(kind: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        kind(**given)
    assert str(refused.value) == message
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, UsageError)


def test_numbers_of_numpy_become_plain_numbers() -> None:
    settings = PredictSettings(tile=np.array([32, 64]), channel=np.int64(2), memory=np.float32(0.5))  # type: ignore[arg-type]
    assert settings == PredictSettings(tile=(32, 64), channel=2, memory=0.5)
    assert [type(value) for value in (*settings.tile, settings.channel, settings.memory)] == [int, int, int, float]


def test_a_number_is_kept_as_it_was_given_so_that_run_identities_stay() -> None:
    assert type(TrainSettings(rate=1).rate) is int
    assert TrainSettings(spacing=(3, 1.5)).spacing == (3, 1.5)


def test_an_empty_value_is_the_default() -> None:
    assert PredictSettings(device="", tile=(), channel=None, memory=None, head=" ") == PredictSettings()  # type: ignore[arg-type]


def test_saved_projects_are_checked_with_the_same_sentence() -> None:
    entry = {"n": 1, "kind": "settings", "settings": {"keep": 2, "option of tomorrow": []}}
    with pytest.raises(SchemaError, match=r"^settings: keep: 2 is too large; the maximum is 1$"):
        check_entry(entry)
    check_entry({**entry, "settings": {"keep": 1, "option of tomorrow": []}})


def test_the_kinds_of_results_are_those_that_can_be_written() -> None:
    assert {*RESULT_KINDS} == {*ENCODERS, "objects"} - {LANDSCAPE}


def test_every_combination_that_a_form_offers_is_a_value() -> None:
    (save,) = (option for option in options(OutputSettings) if option.name == "save")
    assert [save.check(kinds) for kinds in save.combinations] == [*save.combinations]
    assert save.parse("objects; classes, objects") == ("objects", "classes")


def test_an_object_size_is_a_number_or_auto() -> None:
    (option,) = [option for option in options(PredictSettings) if option.name == "object_size"]
    assert option.parse("42,5") == 42.5
    assert option.parse("") is None
    assert option.parse(" Auto ") == PredictSettings(object_size="auto").object_size == option.check("auto") == "auto"
    with pytest.raises(ValueError, match="“large” is not a number or auto"):
        option.parse("large")
    with pytest.raises(SettingsError, match="object_size: “large” is not a number or auto"):
        PredictSettings(object_size="large")


def test_percentiles_are_two_rising_numbers() -> None:
    (option,) = [option for option in options(PredictSettings) if option.name == "percentiles"]
    assert option.parse("1, 99.9") == (1.0, 99.9)
    assert option.parse("") == ()
    for wrong in ("1", "99,1", "1,2,3"):
        with pytest.raises(ValueError, match="two numbers, the smaller one first"):
            option.parse(wrong)
    with pytest.raises(ValueError, match="too large"):
        option.parse("1,101")
