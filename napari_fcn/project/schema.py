"""What the files of a project may say: types and limits, checked before anything is built from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_AXES = 16
LARGEST = 2**31 - 1  # a number of turns, strokes or pixels along an axis, where not said otherwise

Count = Annotated[int, Field(ge=0, le=LARGEST)]
Length = Annotated[int, Field(ge=0, le=2**40)]
Word = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=2**12)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Place = Annotated[list[Length], Field(max_length=MOST_AXES)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
ClassIndex = Annotated[int, Field(ge=0, le=254)]


class _Strict(BaseModel):
    """Types as they stand in JSON: no text for a number, no number for yes or no; unknown keys are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Region(_Strict):
    start: Place
    stop: Place


class _Label(_Strict):
    name: Text
    colour: Colour


class _Options(_Strict):
    keep: Annotated[float, Field(ge=0, le=1)] = 0.5
    network: Word = "automatic"
    judge_every: Annotated[int, Field(ge=1, le=LARGEST)] = 1
    attempts: Annotated[int, Field(ge=1, le=LARGEST)] = 1
    rate: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    patch: Annotated[int, Field(ge=1, le=2**20)] | None = None
    device: Word = "auto"
    precision: Word = "auto"
    channel: Count | None = None
    colour: Word = "luminance"
    memory: Annotated[float, Field(ge=0, le=1e9)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0


class _Entry(_Strict):
    n: Annotated[int, Field(ge=0, le=2**53)]
    kind: Word
    time: Word = ""


class _Painted(_Entry):
    region: _Region
    shape: Place = []
    block: Annotated[str, Field(max_length=2**18)] | None = None
    file: Word | None = None
    file_sum: Word | None = None


class _Stroke(_Painted):
    stroke: Annotated[int, Field(ge=1, le=LARGEST)]


class _Pin(_Painted):
    name: Text


class _Unpin(_Entry):
    name: Text


class _Turn(_Entry):
    turn: Count = 0
    strokes: Count = 0
    reference: Place = []
    steps: Count = 0


class _Commit(_Strict):
    number: Count
    parent: Count | None
    kind: Word
    turn: Count
    strokes: Count
    hash: Word
    scores: Annotated[dict[Word, Number | None], Field(max_length=100)] = {}
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
    names: Annotated[list[Word], Field(max_length=MOST_AXES)]
    space: Annotated[list[Word], Field(max_length=MOST_AXES)]
    channel: Word | None


class _Image(_Strict):
    name: Text
    path: Annotated[str, Field(max_length=2**15)]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=2**40)]], Field(min_length=1, max_length=MOST_AXES)]
    dtype: Annotated[str, Field(pattern=r"^(bool|(u?int|float|complex)[0-9]{1,3})$")]
    axes: _Axes
    scale: Annotated[list[Number], Field(max_length=MOST_AXES)]
    units: Annotated[list[Word], Field(max_length=MOST_AXES)]
    rgb: bool
    hash: Word


def check_entry(entry: Any) -> None:
    """Raise ValueError, in a short phrase, if a value is no entry of a journal; unknown kinds may say more."""
    _check(_Entry, entry)
    _check(ENTRIES.get(entry["kind"], _Entry), entry)


def check_start(data: Any) -> None:
    """Raise ValueError, in a short phrase, if a value is not how a project began."""
    _check(_Start, data)


def check_image(data: Any) -> None:
    """Raise ValueError, in a short phrase, if a value is no description of an image."""
    _check(_Image, data)


def _check(model: type[BaseModel], data: Any) -> None:
    try:
        model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:80]
        raise ValueError(f"{place or 'it'}: {first['msg']}") from None
