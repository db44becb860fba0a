"""Descriptions of models: card, classes and spec, read from the header of a file without loading weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ModelError
from napari_fcn.models.description import Description
from napari_fcn.models.header import MAX_HEADER, read_header
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets.size import count_parameters
from napari_fcn.nets.spec import NetSpec
from napari_fcn.nets.validation import is_whole
from napari_fcn.storage import parse_json
from napari_fcn.storage.schema import SchemaError, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.models.description import CardPart

FORMAT = 1
KEY = "napari_fcn"


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """A class: its name and its colour as ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Origin and purpose of a model.

    Attributes
    ----------
    name, summary : str
        Short name, and one sentence for the list of models.
    limits : str
        Images that it is not suitable for, and known errors.
    licence : str
        Licence of the weights (SPDX).
    data : tuple of dict
        Training sets: ``name``, ``licence``, ``credit``.
    scores : mapping of str to (float or None)
        Scores on validation images; None if a score is undefined.
    validation : str
        How the validation images were chosen; empty if unknown.
    recipe : str
        The training command.
    parent : str
        Hash of the model that was fine-tuned; empty if trained from random weights.
    commits : tuple of dict
        The commits from the parent to this model.
    """

    name: str = ""
    summary: str = ""
    limits: str = ""
    licence: str = ""
    data: tuple[dict[str, str], ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)
    validation: str = ""
    recipe: str = ""
    parent: str = ""
    commits: tuple[dict[str, Any], ...] = ()

    @property
    def known_scores(self) -> dict[str, float]:
        """The scores that are numbers."""
        return {name: score for name, score in self.scores.items() if score is not None}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description of a model: everything but its weights.

    Attributes
    ----------
    spec : NetSpec
        The network.
    normaliser : Normaliser
        How intensities are scaled for the network.
    classes : tuple of ClassLabel
        One class per output channel; the first is the background.
    voxel_size : tuple of float
        Pixel size of the training images per axis of the network in micrometres; empty if it varies or is unknown.
    card : ModelCard
        Origin, scores, licences.
    original : tuple of ClassLabel
        The classes of the original head; empty if there is none.
    origin : tuple of int
        Index of each class at the start of teaching; -1 for new classes. Empty if no class has changed.
    object_size : float
        Diameter of objects, in pixels, at which the model works best; 0 if unknown.
    """

    spec: NetSpec
    normaliser: Normaliser
    classes: tuple[ClassLabel, ...]
    voxel_size: tuple[float, ...] = ()
    card: ModelCard = field(default_factory=ModelCard)
    original: tuple[ClassLabel, ...] = ()
    origin: tuple[int, ...] = ()
    object_size: float = 0.0

    def __post_init__(self) -> None:
        for given, needed in ((self.classes, self.spec.classes), (self.original, self.spec.original)):
            if len(given) != needed:
                raise ValueError(f"{len(given)} classes are named for a network with {needed}.")

    def to_json(self) -> str:
        """Return the text for the header of a model file."""
        card = _finite(asdict(self.card))
        data = {"format": FORMAT, **asdict(self), "spec": self.spec.to_dict(), "card": card}
        if not self.object_size:
            del data["object_size"]  # as in early files, whose hashes stay
        if not self.card.validation:
            del card["validation"]  # likewise
        return json.dumps(data, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Return the description from the text of `to_json`.

        Raises
        ------
        ValueError
            If the text is not a valid description.
        """
        data = parse_json(text, MAX_HEADER)
        parsed = validate(Description, data)
        spec = NetSpec.from_dict(parsed.spec)
        for name, values in (("voxel_size", parsed.voxel_size), ("origin", parsed.origin)):
            needed = spec.ndim if name == "voxel_size" else spec.classes
            if len(values) not in (0, needed):
                raise ValueError(f"{name} has {len(values)} entries; it needs {needed}")
        return cls(
            spec=spec,
            normaliser=Normaliser(**parsed.normaliser.model_dump()),
            classes=tuple(ClassLabel(label.name, label.colour) for label in parsed.classes),
            voxel_size=tuple(parsed.voxel_size),
            original=tuple(ClassLabel(label.name, label.colour) for label in parsed.original),
            origin=tuple(parsed.origin),
            object_size=parsed.object_size,
            card=card_of(parsed.card),
        )


def _finite(value: Any) -> Any:
    """Return plain data with None for numbers that are not finite, which JSON does not support."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def card_of(parsed: CardPart) -> ModelCard:
    """Return the card from its parsed description."""
    values = parsed.model_dump()
    return ModelCard(**{**values, "data": tuple(values["data"]), "commits": tuple(values["commits"])})


def read_info(path: str | Path) -> ModelInfo:
    """Return the description in a model file. Nothing in the file is executed.

    Raises
    ------
    ModelError
        If the file is missing, damaged, from another program, or from a newer version of this one.
    """
    path = Path(path)
    text = read_header(path).metadata.get(KEY)
    if not isinstance(text, str):
        raise ModelError(
            f"{path} is a safetensors file of another program: it does not describe the network of its weights. "
            "Choose a model that napari-fcn saved."
        )
    try:
        data = parse_json(text, MAX_HEADER)
        version = data.get("format") if isinstance(data, dict) else None
        if not is_whole(version) or version < 1:
            raise SchemaError("it does not state its format")
        if version > FORMAT:
            raise ModelError(
                f"{path} has model format {version}; this napari-fcn reads up to {FORMAT}. Update napari-fcn."
            )
        return ModelInfo.from_json(text)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: its description cannot be read ({error}). Fetch it again.") from error


def read_whole_info(path: str | Path) -> ModelInfo:
    """Return the description in a model file, after comparing the number of weights with the described network.

    Raises
    ------
    ModelError
        As for `read_info`; also if the number of weights differs.
    """
    info, count = read_info(path), parameter_count(path)
    if count_parameters(info.spec) != count:
        raise ModelError(
            f"The weights in {path} do not belong to the network that it describes, which has "
            f"{count_parameters(info.spec):,}; there are {count:,}. Fetch it again."
        )
    return info


def parameter_count(path: str | Path) -> int:
    """Return the number of weights in a model file, without the running statistics of norms."""
    shapes = read_header(Path(path)).shapes
    return sum(prod(shape) for name, shape in shapes.items() if "running_" not in name and "num_batches" not in name)
