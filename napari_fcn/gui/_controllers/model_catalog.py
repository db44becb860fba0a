"""The models that a dock offers: shipped models and model files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fcn.models import zoo
from napari_fcn.models.card import ModelInfo, read_whole_info

if TYPE_CHECKING:
    from pathlib import Path

    from napari_fcn.models.checkpoint import Checkpoint

CACHE_SIZE = 2  # loaded models


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be chosen: its display name, its file, and its description."""

    name: str
    path: Path
    info: ModelInfo


def shipped_paths() -> tuple[Path, ...]:
    """Return the files of the models that ship with the package."""
    return tuple(zoo.path_of(name) for name in zoo.names())


def read_entry(path: Path) -> ModelEntry:
    """Return the entry of a model file without loading its weights.

    Raises
    ------
    ModelError
        If it cannot be read.
    """
    info = read_whole_info(path)
    return ModelEntry(info.card.name or path.stem, path, info)


class ModelCache:
    """Loaded models by file and modification time; for the worker thread only."""

    def __init__(self) -> None:
        self._checkpoints: dict[tuple[Path, int], Checkpoint] = {}

    def load(self, path: Path) -> Checkpoint:
        """Return the model in a file, from the cache if the file has not changed.

        Raises
        ------
        ModelError
            If it cannot be read.
        """
        from napari_fcn.models.checkpoint import Checkpoint

        key = (path, path.stat().st_mtime_ns if path.is_file() else 0)
        if key not in self._checkpoints:
            checkpoint = Checkpoint.load(path)
            while len(self._checkpoints) >= CACHE_SIZE:
                self._checkpoints.pop(next(iter(self._checkpoints)))
            self._checkpoints[key] = checkpoint
        return self._checkpoints[key]
