"""Files with the weights of commits."""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ModelError
from napari_fcn.models.card import KEY, read_info
from napari_fcn.storage import parse_json
from napari_fcn.storage.atomic import write_file

if TYPE_CHECKING:
    from pathlib import Path

    from napari_fcn.learning.history import Delta

FOLDER = "commits"
SOURCES = "sources"
MAX_HEADER = 2**26  # bytes


class CommitFolder:
    """A `DeltaStore` that writes each commit atomically to a file of its own.

    Weights stay in memory until `flush`, which may run on another thread, so that teaching does not wait for the disk.
    Weights that cannot be written stay in memory, so that teaching continues when the disk is full.

    Parameters
    ----------
    folder : Path
        The project's folder.
    is_writable : bool
        Whether files may be written; if not, new commits stay in memory.
    """

    def __init__(self, folder: Path, is_writable: bool = True) -> None:
        self._folder, self._is_writable = folder / FOLDER, is_writable
        self._waiting: dict[int, Delta] = {}
        self._mutex = Lock()  # several threads may flush

    def path(self, number: int) -> Path:
        """Return the file of a commit."""
        return self._folder / f"{number:04d}.safetensors"

    @property
    def waiting(self) -> int:
        """Number of commits that are not on the disk."""
        return len(self._waiting)

    def put(self, number: int, delta: Delta) -> None:
        """Store the weights of a commit in memory until `flush`."""
        self._waiting[number] = delta

    def flush(self) -> None:
        """Write the waiting commits; stop at the first one that cannot be written."""
        if not self._waiting or not self._is_writable:
            return
        from safetensors.torch import save

        with self._mutex:
            for number, delta in list(self._waiting.items()):
                metadata = {KEY: delta.info.to_json(), SOURCES: json.dumps(dict(delta.sources))}
                try:
                    write_file(self.path(number), save(dict(delta.tensors), metadata=metadata))
                except OSError:
                    return
                if self._waiting[number] is delta:
                    del self._waiting[number]

    def get(self, number: int) -> Delta:
        """Return the weights of a commit.

        Raises
        ------
        ModelError
            If its file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        from napari_fcn.learning.history import Delta

        waiting = self._waiting.get(number)
        if waiting is not None:
            return waiting
        path = self.path(number)
        info = read_info(path)
        try:
            tensors, sources = load(path.read_bytes()), _sources(_read_header(path))
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"The weights in {path} cannot be read ({error}). Go to another commit.") from error
        return Delta(info, tensors, sources)

    def is_whole(self, number: int) -> bool:
        """Whether all files of a commit exist and have the length in their headers. Does not load torch.

        Raises
        ------
        OSError
            If a file exists and cannot be read.
        """
        try:
            sources = _sources(_read_header(self.path(number)))
            for source in set(sources.values()):
                _read_header(self.path(source))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        return True


def _sources(header: dict[str, Any]) -> dict[str, int]:
    """Return the number of the commit that stores each tensor."""
    return {str(name): int(number) for name, number in parse_json(header["__metadata__"][SOURCES], MAX_HEADER).items()}


def _read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a safetensors file.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is not such a file, or does not have the length in its header.
    OSError
        If it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise ValueError(f"{path} is cut off")
        header = parse_json(file.read(min(length, MAX_HEADER + 1)), MAX_HEADER)
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        raise ValueError(f"{path} is cut off")
    return dict(header)
