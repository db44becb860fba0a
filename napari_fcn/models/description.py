"""Schemas of model descriptions and recipes, validated before anything is built from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue

from napari_fcn.storage.schema import MAX_NAME, Colour, Name, Number, Positive, StrictModel, Text

MAX_CLASSES = 255
MAX_SCORES = 1000
MAX_SOURCES = 1000
MAX_COMMITS = 100_000
MAX_AXES = 3


class ClassPart(StrictModel):
    """A class: name and colour."""

    name: Name
    colour: Colour


class NormaliserPart(StrictModel):
    """Normalisation of intensities."""

    method: Annotated[str, Field(max_length=100)] = "percentile"
    low: Number = 1.0
    high: Number = 99.8
    limit: Positive = 4.0


class CardPart(StrictModel):
    """Origin and purpose of a model."""

    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    summary: Text = ""
    limits: Text = ""
    licence: Text = ""
    data: Annotated[list[dict[str, Text]], Field(max_length=MAX_SOURCES)] = Field(default_factory=list)
    scores: Annotated[dict[Name, Number | None], Field(max_length=MAX_SCORES)] = Field(default_factory=dict)
    validation: Text = ""
    recipe: Text = ""
    parent: Text = ""
    commits: Annotated[list[dict[str, JsonValue]], Field(max_length=MAX_COMMITS)] = Field(default_factory=list)


Classes = Annotated[list[ClassPart], Field(max_length=MAX_CLASSES)]
VoxelSize = Annotated[list[Positive], Field(max_length=MAX_AXES)]


class Description(StrictModel, extra="ignore"):
    """The description in a model file; `NetSpec` validates the network."""

    spec: dict[str, Any]
    normaliser: NormaliserPart
    classes: Classes
    voxel_size: VoxelSize
    card: CardPart
    object_size: Annotated[Number, Field(ge=0)] = 0.0
    original: Classes = Field(default_factory=list)
    origin: Annotated[list[Annotated[int, Field(ge=-1, lt=MAX_CLASSES)]], Field(max_length=MAX_CLASSES)] = Field(
        default_factory=list
    )


class Recipe(StrictModel, extra="ignore"):
    """The content of a recipe file, in which a class is a pair of name and colour."""

    classes: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(max_length=MAX_CLASSES)]
    card: CardPart
    voxel_size: VoxelSize = Field(default_factory=list)
    object_size: Annotated[Number, Field(ge=0)] = 0.0
