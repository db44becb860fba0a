"""Schemas of model descriptions and recipes, validated before anything is built from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue

from napari_fcn.storage.schema import MAX_NAME, Colour, Name, Number, Positive, StrictModel, Text

MOST_CLASSES = 255
MOST_SCORES = 1000
MOST_SOURCES = 1000
MOST_COMMITS = 100_000
MOST_AXES = 3


class ClassPart(StrictModel):
    """A class: name and colour."""

    name: Name
    colour: Colour


class NormaliserPart(StrictModel):
    """How intensities are scaled."""

    method: Annotated[str, Field(max_length=100)] = "percentile"
    low: Number = 1.0
    high: Number = 99.8
    limit: Positive = 4.0


class CardPart(StrictModel):
    """Where a model comes from."""

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    summary: Text = ""
    limits: Text = ""
    licence: Text = ""
    data: Annotated[list[dict[str, Text]], Field(max_length=MOST_SOURCES)] = Field(default_factory=list)
    scores: Annotated[dict[Name, Number | None], Field(max_length=MOST_SCORES)] = Field(default_factory=dict)
    recipe: Text = ""
    parent: Text = ""
    commits: Annotated[list[dict[str, JsonValue]], Field(max_length=MOST_COMMITS)] = Field(default_factory=list)


Classes = Annotated[list[ClassPart], Field(max_length=MOST_CLASSES)]
VoxelSize = Annotated[list[Positive], Field(max_length=MOST_AXES)]


class Description(StrictModel, extra="ignore"):
    """The description in a model file; the network is checked by `NetSpec` itself."""

    spec: dict[str, Any]
    normaliser: NormaliserPart
    classes: Classes
    voxel_size: VoxelSize
    card: CardPart
    original: Classes = Field(default_factory=list)
    origin: Annotated[list[Annotated[int, Field(ge=-1, lt=MOST_CLASSES)]], Field(max_length=MOST_CLASSES)] = Field(
        default_factory=list
    )


class Recipe(StrictModel, extra="ignore"):
    """All that the file of a recipe says; a class is a pair of name and colour there."""

    classes: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(max_length=MOST_CLASSES)]
    card: CardPart
    voxel_size: VoxelSize = Field(default_factory=list)
