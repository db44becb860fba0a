"""What a model says of itself, read from the head of its file without loading a weight."""

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
    """A class as people see it: its name, and its colour as ``#rrggbb``."""

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Where a model comes from and what it is good for.

    Attributes
    ----------
    name, summary : str
        Short name, and one sentence for the list of models.
    limits : str
        What it was not trained on and is known to get wrong.
    licence : str
        Licence of the weights (SPDX).
    data : tuple of dict
        Training sets: ``name``, ``licence``, ``credit``.
    scores : mapping of str to (float or None)
        Scores on images that it was not trained on; None where a score is not defined on them.
    recipe : str
        The command that made the weights.
    parent : str
        Hash of the model that it was taught from; empty if it was trained from nothing.
    commits : tuple of dict
        The updates that led from the parent to this model.
    """

    name: str = ""
    summary: str = ""
    limits: str = ""
    licence: str = ""
    data: tuple[dict[str, str], ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)
    recipe: str = ""
    parent: str = ""
    commits: tuple[dict[str, Any], ...] = ()

    @property
    def known_scores(self) -> dict[str, float]:
        """The scores that are numbers."""
        return {name: score for name, score in self.scores.items() if score is not None}


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """All of a model but its weights.

    Attributes
    ----------
    spec : NetSpec
        The network.
    normaliser : Normaliser
        How intensities are scaled before the network sees them.
    classes : tuple of ClassLabel
        One for each output channel; the first is the background.
    voxel_size : tuple of float
        Pixel size of the training images per axis of the network in micrometres; empty if it varies or is unknown.
    card : ModelCard
        Origin, scores, licences.
    original : tuple of ClassLabel
        The classes that it had before it was taught, if it keeps the head for them.
    origin : tuple of int
        For each class, which one it was when teaching began; -1 for a new one. Empty: all are as they were.
    """

    spec: NetSpec
    normaliser: Normaliser
    classes: tuple[ClassLabel, ...]
    voxel_size: tuple[float, ...] = ()
    card: ModelCard = field(default_factory=ModelCard)
    original: tuple[ClassLabel, ...] = ()
    origin: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for given, needed in ((self.classes, self.spec.classes), (self.original, self.spec.original)):
            if len(given) != needed:
                raise ValueError(f"{len(given)} classes are named for a network with {needed}.")

    def to_json(self) -> str:
        """Return the text that stands in the head of a model file."""
        card = _finite(asdict(self.card))
        return json.dumps({"format": FORMAT, **asdict(self), "spec": self.spec.to_dict(), "card": card}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no such description; nothing is built from what it describes.
        """
        data = parse_json(text, MAX_HEADER)
        said = validate(Description, data)
        spec = NetSpec.from_dict(said.spec)
        for name, values in (("voxel_size", said.voxel_size), ("origin", said.origin)):
            needed = spec.ndim if name == "voxel_size" else spec.classes
            if len(values) not in (0, needed):
                raise ValueError(f"{name} has {len(values)} entries; it needs {needed}")
        return cls(
            spec=spec,
            normaliser=Normaliser(**said.normaliser.model_dump()),
            classes=tuple(ClassLabel(label.name, label.colour) for label in said.classes),
            voxel_size=tuple(said.voxel_size),
            original=tuple(ClassLabel(label.name, label.colour) for label in said.original),
            origin=tuple(said.origin),
            card=card_of(said.card),
        )


def _finite(value: Any) -> Any:
    """Return plain data with None where a number is not finite: JSON has no such numbers."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def card_of(said: CardPart) -> ModelCard:
    """Return the card that a file describes."""
    values = said.model_dump()
    return ModelCard(**{**values, "data": tuple(values["data"]), "commits": tuple(values["commits"])})


def read_info(path: str | Path) -> ModelInfo:
    """Return what a model file says of itself. Nothing in the file is executed.

    Raises
    ------
    ModelError
        If the file is missing, damaged, from another program, or from a newer version of this one.
    """
    path = Path(path)
    text = read_header(path).metadata.get(KEY)
    if not isinstance(text, str):
        raise ModelError(
            f"{path} is a safetensors file of another program: it does not say which network its weights belong to. "
            "Choose a model that napari-fcn saved."
        )
    try:
        data = parse_json(text, MAX_HEADER)
        version = data.get("format") if isinstance(data, dict) else None
        if not is_whole(version) or version < 1:
            raise SchemaError("it does not say which format it has")
        if version > FORMAT:
            raise ModelError(
                f"{path} has model format {version}; this napari-fcn reads up to {FORMAT}. Update napari-fcn."
            )
        return ModelInfo.from_json(text)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: its description cannot be read ({error}). Fetch it again.") from error


def read_whole_info(path: str | Path) -> ModelInfo:
    """Return what a model file says of itself, if it has as many weights as the network that it describes.

    Raises
    ------
    ModelError
        As `read_info`; also if the weights are those of another network.
    """
    info, count = read_info(path), parameter_count(path)
    if count_parameters(info.spec) != count:
        raise ModelError(
            f"The weights in {path} do not belong to the network that it describes, which has "
            f"{count_parameters(info.spec):,}; there are {count:,}. Fetch it again."
        )
    return info


def parameter_count(path: str | Path) -> int:
    """Return the number of weights in a model file, the running statistics of its norms not counted."""
    shapes = read_header(Path(path)).shapes
    return sum(prod(shape) for name, shape in shapes.items() if "running_" not in name and "num_batches" not in name)
