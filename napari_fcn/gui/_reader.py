"""Reader of result files of napari-fcn: classes with their names and colours, objects as labels.

Only files with our metadata are accepted, and napari offers only files with names of our results. OME-Zarr is excluded,
because napari would offer every folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fcn.gui._layers import read_result_layer, result_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return the reader of these files; None if one of them is not a result of napari-fcn."""
    return read_layers if all(map(result_kind, _as_list(path))) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return a layer for each result."""
    return [read_result_layer(file) for file in _as_list(path)]


def _as_list(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
