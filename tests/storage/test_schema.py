"""Values from files match a schema, or the error says where they do not."""

from typing import Any

import pytest

from napari_fcn.storage.schema import Colour, Name, Number, Positive, SchemaError, StrictModel, validate


class Cell(StrictModel):
    name: Name
    size: Positive = 1
    colour: Colour = "#000000"
    scores: dict[str, Number] = {}  # noqa: RUF012 - pydantic copies it


def test_validation_does_not_change_numbers() -> None:
    assert isinstance(validate(Cell, {"name": "a", "size": 2}).size, int)
    assert isinstance(validate(Cell, {"name": "a", "size": 2.0}).size, float)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "^name: Field required$"),
        ([], "dictionary"),
        ({"name": 5}, "^name: Input should be a valid string$"),
        ({"name": "a", "age": 1}, "^age: Extra inputs are not permitted$"),
        ({"name": "a", "size": "2"}, "^size: "),
        ({"name": "a", "size": True}, "^size: "),
        ({"name": "a", "size": float("nan")}, "^size: "),
        ({"name": "a", "size": 0}, "^size: a number above zero is needed$"),
        ({"name": "a", "colour": "red"}, "^colour: "),
        ({"name": "a", "colour": "#00000g"}, "^colour: "),
        ({"name": "a", "scores": {"dice": float("inf")}}, r"^scores\.dice: "),
        ({"name": "a\nb"}, "without control characters"),
        ({"name": "a" * 1001}, "at most 1000"),
        ({"name": "a", "\x1b[31m" + "b" * 500: 1}, r"^\?\[31mb{50,60}: Extra"),
        ({"name": 1, "size": 0}, ", and 1 more$"),
    ],
)
def test_the_error_gives_the_location_of_an_invalid_value(value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        validate(Cell, value)
