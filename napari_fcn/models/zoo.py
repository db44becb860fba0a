"""The shipped models, and models given by the path of their file."""

from __future__ import annotations

from pathlib import Path

from napari_fcn.errors import ModelError
from napari_fcn.models.card import ModelInfo, read_whole_info

WEIGHTS = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


def names() -> tuple[str, ...]:
    """Return the names of the shipped models, the default first."""
    return tuple(sorted((p.stem for p in WEIGHTS.glob(f"*{SUFFIX}")), key=lambda name: (name != "nuclei", name)))


def path_of(model: str | Path) -> Path:
    """Return the file of a model given by its name or its path.

    Raises
    ------
    ModelError
        If it is neither a shipped name nor a file.
    """
    if str(model) in names():
        return WEIGHTS / f"{model}{SUFFIX}"
    path = Path(model)
    if not path.is_file():
        raise ModelError(
            f"There is no model {str(model)!r}. Give one of the shipped models ({', '.join(names())}) "
            f"or the path of a {SUFFIX} file that napari-fcn saved."
        )
    return path


def info(model: str | Path) -> ModelInfo:
    """Return the description of a model, without loading its weights.

    Raises
    ------
    ModelError
        If there is no such model or its file cannot be read.
    """
    return read_whole_info(path_of(model))
