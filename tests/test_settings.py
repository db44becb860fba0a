"""Each option is declared once, with all that forms, flags and documentation need."""

from dataclasses import FrozenInstanceError, fields

import pytest

from napari_fcn.settings import DEVICES, Option, PredictSettings, TrainSettings, options

EVERY = [(kind, option) for kind in (PredictSettings, TrainSettings) for option in options(kind)]
every_option = pytest.mark.parametrize(
    "option", [o for _, o in EVERY], ids=[f"{k.__name__}-{o.name}" for k, o in EVERY]
)


@pytest.mark.parametrize("kind", [PredictSettings, TrainSettings])
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
        assert option.default in option.choices
    if isinstance(option.default, int | float):
        assert option.minimum is None or option.default >= option.minimum
        assert option.maximum is None or option.default <= option.maximum


@pytest.mark.parametrize("kind", [PredictSettings, TrainSettings])
def test_settings_are_values(kind: type) -> None:
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    with pytest.raises(FrozenInstanceError):
        kind().device = "cpu"


def test_kinds_are_types_and_not_text() -> None:
    by_name = {option.name: option.kind for option in options(PredictSettings)}
    assert by_name["tile"] == tuple[int, ...]
    assert by_name["channel"] == int | None
    assert by_name["device"] is str


@pytest.mark.parametrize(("given", "stored"), [(64, (64,)), ([32, 64], (32, 64)), ((), ())])
def test_a_tile_is_given_as_one_number_or_several(given: object, stored: tuple[int, ...]) -> None:
    assert PredictSettings(tile=given).tile == stored  # type: ignore[arg-type]


def test_the_device_is_chosen_by_the_machine_unless_said() -> None:
    assert PredictSettings().device == TrainSettings().device == DEVICES[0] == "auto"
