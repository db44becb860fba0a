"""What a model says of itself, read from the head of its file without loading a weight."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from napari_fcn.errors import ModelError
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets.spec import NetSpec

FORMAT = 1
KEY = "napari_fcn"
LONGEST_HEADER = 100_000_000  # bytes; what the safetensors library accepts


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
    scores : dict of str to float
        Scores on images that it was not trained on.
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
    scores: dict[str, float] = field(default_factory=dict)
    recipe: str = ""
    parent: str = ""
    commits: tuple[dict[str, Any], ...] = ()


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
        return json.dumps({"format": FORMAT, **asdict(self), "spec": self.spec.to_dict()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the text is not such a description.
        """
        data = json.loads(text)
        card = data["card"]
        return cls(
            spec=NetSpec.from_dict(data["spec"]),
            normaliser=Normaliser(**data["normaliser"]),
            classes=tuple(ClassLabel(**entry) for entry in data["classes"]),
            voxel_size=tuple(data["voxel_size"]),
            original=tuple(ClassLabel(**entry) for entry in data.get("original", ())),
            origin=tuple(data.get("origin", ())),
            card=ModelCard(**{**card, "data": tuple(card["data"]), "commits": tuple(card["commits"])}),
        )


def read_info(path: str | Path) -> ModelInfo:
    """Return what a model file says of itself. Nothing in the file is executed.

    Raises
    ------
    ModelError
        If the file is missing, damaged, from another program, or from a newer version of this one.
    """
    path = Path(path)
    metadata = _header(path).get("__metadata__", {})
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if text is None:
        raise ModelError(
            f"{path} is a safetensors file of another program: it does not say which network its weights belong to. "
            "Choose a model that napari-fcn saved."
        )
    try:
        version = json.loads(text).get("format")
        if not isinstance(version, int) or version > FORMAT:
            raise ModelError(
                f"{path} has model format {version}; this napari-fcn reads up to {FORMAT}. Update napari-fcn."
            )
        return ModelInfo.from_json(text)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged: its description cannot be read ({error}). Fetch it again.") from error


def parameter_count(path: str | Path) -> int:
    """Return the number of weights in a model file, the running statistics of its norms not counted."""
    tensors = {k: v for k, v in _header(Path(path)).items() if k != "__metadata__"}
    return sum(prod(v["shape"]) for k, v in tensors.items() if "running_" not in k and "num_batches" not in k)


def _header(path: Path) -> dict[str, Any]:
    """Return the JSON head of a safetensors file: eight bytes of length, little-endian, then the text."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            text = file.read(length) if len(start) == 8 and length <= LONGEST_HEADER else b""
    except FileNotFoundError:
        raise ModelError(f"There is no model file {path}.") from None
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.") from error
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict) and start[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise ModelError(
            f"{path} is a pickle (a PyTorch .pt or .pth file), whatever its name says. Opening one can run any program "
            "on your computer, so napari-fcn reads only safetensors. Save the weights as safetensors first."
        )
    if not isinstance(header, dict):
        raise ModelError(f"{path} is not a safetensors file, or is cut off. Fetch it again, or choose another model.")
    return header
