"""Recipes: descriptions of models to be trained, and networks given as text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil

from napari_fcn.errors import FcnError
from napari_fcn.models.card import ClassLabel, ModelCard, ModelInfo, card_of
from napari_fcn.models.description import ClassPart, Recipe
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets.size import count_parameters
from napari_fcn.nets.spec import NetSpec
from napari_fcn.storage import parse_json, read_json
from napari_fcn.storage.schema import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_WORD_BYTES = 10_000  # of a value in a text that describes a network
BYTES_PER_WEIGHT = 20  # in training: weight, gradient, two moments and running average

PALETTE = (
    "#000000",
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#0072b2",
    "#f0e442",
)  # Okabe & Ito 2008


def parse_spec(text: str, **defaults: Any) -> NetSpec:
    """Return the network described by a text such as ``unet ndim=3 width=8 pool=[[1,2,2],[2,2,2]] depth=2``.

    Missing values are taken from ``defaults``, else from `NetSpec`.

    Raises
    ------
    FcnError
        If a word is not ``name=value`` or a value does not fit.
    """
    return _built(text, NetSpec.from_dict, {**defaults, **parse_words(text)})


def fitting_spec(text: str, voxel_size: Sequence[float], shape: Sequence[int], channels: int) -> NetSpec:
    """Return the network described by a text; missing values are derived from an image (`NetSpec.suggest`).

    Parameters
    ----------
    text : str
        As for `parse_spec`.
    voxel_size, shape : sequence
        Pixel size (equal if empty) and length of the image along its axes in space; a network with fewer axes uses the
        last ones.
    channels : int
        Number of channels of the image.

    Raises
    ------
    FcnError
        If a word is not ``name=value`` or a value does not fit.
    """
    given = {"ndim": len(shape), "channels": channels, **parse_words(text)}
    convolved = slice(-given["ndim"], None) if given["ndim"] in range(1, len(shape)) else slice(None)
    fit = partial(NetSpec.suggest, tuple(voxel_size)[convolved] or 1.0, shape=tuple(shape)[convolved])
    return _built(text, lambda values: fit(**values), given)


def parse_words(text: str) -> dict[str, Any]:
    """Return the family and the values in a text such as ``unet width=8``.

    Raises
    ------
    FcnError
        If a word is not ``name=value``.
    """
    family, *words = text.split() or ["unet"]
    values: dict[str, Any] = {"family": family}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            values[name] = value if value.isalpha() else parse_json(value, MAX_WORD_BYTES)  # up=transposed, width=16
        except ValueError:
            name = ""
        if not (name and equals):
            raise FcnError(f"In the network {text!r}, {word!r} is not name=value. Write for example width=16.")
    return values


def _built(text: str, create: Callable[[dict[str, Any]], NetSpec], values: dict[str, Any]) -> NetSpec:
    try:
        spec = create(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise FcnError(f"The network {text!r} cannot be built: {error}") from error
    needed, available = count_parameters(spec) * BYTES_PER_WEIGHT, psutil.virtual_memory().available
    if needed > available:
        raise FcnError(
            f"The network {text!r} cannot be trained here: its {count_parameters(spec):,} weights need "
            f"{needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are free. Choose a smaller width or depth."
        )
    return spec


def read_recipe(path: Path, spec: NetSpec, command: str) -> ModelInfo:
    """Return the description of a model to be trained, from a JSON file with ``classes``, ``voxel_size`` and ``card``.

    Raises
    ------
    FcnError
        If the file is missing or not a recipe, or has another number of classes than the network.
    """
    parsed, labels = _parse_recipe(path)
    card = replace(card_of(parsed.card), recipe=command)
    voxel_size, size = tuple(parsed.voxel_size), parsed.object_size
    try:
        return ModelInfo(spec, Normaliser(), labels, voxel_size, card, object_size=size)
    except ValueError as error:
        raise FcnError(f"The recipe {path} does not fit: {error}") from error


def recipe_shape(path: Path) -> tuple[int, tuple[float, ...]]:
    """Return the number of classes of a recipe, and its voxel size, which is empty if it states none.

    Raises
    ------
    FcnError
        If the file is missing or not a recipe.
    """
    parsed, labels = _parse_recipe(path)
    return len(labels), tuple(parsed.voxel_size)


def _parse_recipe(path: Path) -> tuple[Recipe, tuple[ClassLabel, ...]]:
    """Return the content of a recipe file, and its classes."""
    try:
        parsed = validate(Recipe, read_json(path))
        classes = [validate(ClassPart, {"name": name, "colour": colour}) for name, colour in parsed.classes]
    except OSError as error:
        raise FcnError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise FcnError(f"The recipe {path} does not fit: {error}") from error
    return parsed, tuple(ClassLabel(label.name, label.colour) for label in classes)


def plain_recipe(name: str, spec: NetSpec, command: str) -> ModelInfo:
    """Return a description with numbered classes in the default colours."""
    colours = (PALETTE[0], *(PALETTE[1 + i % (len(PALETTE) - 1)] for i in range(spec.classes - 1)))
    classes = tuple(ClassLabel(f"class {i}" if i else "background", colour) for i, colour in enumerate(colours))
    return replace(ModelInfo(spec, Normaliser(), classes), card=ModelCard(name=name, recipe=command))
