"""Validation of values from files with pydantic.

A schema derives from `StrictModel`: types are strict, unknown fields are errors, and numbers are finite. Validated
values are unchanged: integers stay integers.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SHOWN = 60  # characters of a field name in a message
MAX_NAME = 1000  # characters
MAX_TEXT = 100_000


class SchemaError(ValueError):
    """An invalid value in a file; the message gives its location and the expected value."""


class StrictModel(BaseModel):
    """A part of a file with fixed fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _finite(number: float) -> float:
    if not isfinite(number):
        raise ValueError("a finite number is needed")
    return number


def _positive(number: float) -> float:
    if number <= 0:
        raise ValueError("a number above zero is needed")
    return number


def _without_control_characters(text: str) -> str:
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("a text without control characters is needed")
    return text


Number = Annotated[int | float, AfterValidator(_finite)]
Positive = Annotated[Number, AfterValidator(_positive)]
Name = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(_without_control_characters)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]

StrictModelType = TypeVar("StrictModelType", bound=StrictModel)


def validate(schema: type[StrictModelType], value: object) -> StrictModelType:
    """Return a value as an instance of a schema.

    Raises
    ------
    SchemaError
        If the value is invalid; the message names the first error.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        wrong = found[0]["msg"].removeprefix("Value error, ").rstrip(".")
        raise SchemaError(f"{_location(found[0]['loc'])}{wrong}{more}") from error


def _location(parts: Sequence[int | str]) -> str:
    """Return the location of a value, such as ``card.scores.iou``, without unprintable characters."""
    path = ".".join(str(part) for part in parts if part not in ("int", "float", "constrained-str"))
    shown = "".join(character if character.isprintable() else "?" for character in path[:MAX_SHOWN])
    return f"{shown}: " if shown else ""
