"""Schemas of the files of a project: types and limits, checked before the values are used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from napari_fcn.settings import TeachSettings, options
from napari_fcn.storage.schema import Colour, Name, Number, StrictModel, validate

MAX_AXES = 16
MAX_COUNT = 2**31 - 1  # of turns, strokes and commits

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Length = Annotated[int, Field(ge=0, le=2**40)]
Word = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2**12)]
Place = Annotated[list[Length], Field(max_length=MAX_AXES)]
ClassIndex = Annotated[int, Field(ge=0, le=254)]


class _Strict(StrictModel):
    """Part of a file; unknown keys are ignored, because later versions may add some."""

    model_config = ConfigDict(extra="ignore")


class _Region(_Strict):
    start: Place
    stop: Place


class _Label(_Strict):
    name: Name
    colour: Colour


def _check_options(given: dict[str, Any]) -> dict[str, Any]:
    """Check the options of a file that this version has, and return all; those of later versions are ignored."""
    for option in options(TeachSettings):
        try:
            option.check(given.get(option.name))
        except ValueError as error:
            raise ValueError(f"{option.name}: {error}") from error
    return given


_Options = Annotated[dict[str, Any], AfterValidator(_check_options)]


class _Entry(_Strict):
    n: Annotated[int, Field(ge=0, le=2**53)]
    kind: Word
    time: Word = ""


class _Painted(_Entry):
    region: _Region
    shape: Place = Field(default_factory=list)
    block: Annotated[str, Field(max_length=2**18)] | None = None
    file: Word | None = None
    file_sum: Word | None = None


class _Stroke(_Painted):
    stroke: Annotated[int, Field(ge=1, le=MAX_COUNT)]


class _Pin(_Painted):
    name: Text


class _Unpin(_Entry):
    name: Text


class _Turn(_Entry):
    turn: Count = 0
    strokes: Count = 0
    reference: Place = Field(default_factory=list)
    steps: Count = 0


class _Commit(_Strict):
    number: Count
    parent: Count | None
    kind: Word
    turn: Count
    strokes: Count
    hash: Word
    scores: Annotated[dict[Word, Number | None], Field(max_length=100)] = Field(default_factory=dict)
    name: Text = ""


class _Committed(_Entry):
    commit: _Commit


class _End(_Entry):
    strokes: Count


class _Present(_Entry):
    number: Count


class _Rename(_Entry):
    number: Count
    name: Text


class _Classes(_Entry):
    classes: Annotated[list[_Label], Field(max_length=255)]
    kept: Annotated[list[ClassIndex | None], Field(max_length=255)]


class _Settings(_Entry):
    settings: _Options


class _Open(_Settings):
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    present: Count | None = None


ENTRIES: dict[str, type[_Entry]] = {
    "stroke": _Stroke,
    "pin": _Pin,
    "unpin": _Unpin,
    "turn": _Turn,
    "judge": _Turn,
    "settle": _Turn,
    "reject": _Turn,
    "commit": _Committed,
    "present": _Present,
    "rename": _Rename,
    "classes": _Classes,
    "settings": _Settings,
    "open": _Open,
    "end": _End,
}


class _Model(_Strict):
    name: Text
    hash: Word


class _Start(_Strict):
    format: Literal[1]
    version: Word
    created: Word
    model: _Model | None
    classes: Annotated[list[_Label], Field(max_length=255)]
    settings: _Options


class _Axes(_Strict):
    names: Annotated[list[Word], Field(max_length=MAX_AXES)]
    space: Annotated[list[Word], Field(max_length=MAX_AXES)]
    channel: Word | None


class _ImageRecord(_Strict):
    name: Text
    path: Annotated[str, Field(max_length=2**15)]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=2**40)]], Field(min_length=1, max_length=MAX_AXES)]
    dtype: Annotated[str, Field(pattern=r"^(bool|(u?int|float|complex)[0-9]{1,3})$")]
    axes: _Axes
    scale: Annotated[list[Number], Field(max_length=MAX_AXES)]
    units: Annotated[list[Word], Field(max_length=MAX_AXES)]
    origin: Annotated[list[Number], Field(max_length=MAX_AXES)] = Field(default_factory=list)
    rgb: bool
    hash: Word


def check_entry(entry: Any) -> None:
    """Raise SchemaError if a value is not a journal entry; unknown kinds may have more fields."""
    validate(_Entry, entry)
    if entry["kind"] in ENTRIES:
        validate(ENTRIES[entry["kind"]], entry)


def check_manifest(data: Any) -> None:
    """Raise SchemaError if a value is not the manifest of a project."""
    validate(_Start, data)


def check_image(data: Any) -> None:
    """Raise SchemaError if a value is not the record of an image."""
    validate(_ImageRecord, data)
