"""The ledger of a run: a file with a line for each finished block, each with its own checksum."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class DoneBlock:
    """A part of the image whose results are stored.

    Attributes
    ----------
    region : Region
        The region, on the image axes.
    source : str
        Fingerprint of the image files that were read for it.
    sums : mapping of str to str
        Checksum of each result, by its kind.
    """

    region: Region
    source: str
    sums: Mapping[str, str]


class RunLedger:
    r"""A file with the identity of a run in its first line, and a line for each finished block.

    ::

        {"check": "5f...", "run": {...}}\n
        {"check": "a0...", "start": [0, 0], "stop": [512, 512], "source": "9c...", "sums": {"classes": "77..."}}\n
        {"check": "e1...", "start": [0, 51          <- a crash: a line without a valid check is ignored

    Neither lines nor pixels are flushed to the disk. Whatever a crash loses, a block counts only if its line is
    complete and the stored pixels have the checksum in the line.

    Parameters
    ----------
    path : Path
        The file.
    run : mapping
        Identity and tile of the run: JSON-like values.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self._path = path
        self.run = dict(run)
        self.blocks: dict[Region, DoneBlock] = {}

    @classmethod
    def create(cls, path: Path, run: Mapping[str, Any]) -> Self:
        """Return the ledger of a new run; its first line is flushed to the disk.

        Raises
        ------
        OSError
            If the system refuses.
        """
        with path.open("wb") as file:
            file.write(_line({"run": dict(run)}))
            file.flush()
            os.fsync(file.fileno())
        return cls(path, run)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Return the ledger in a file; None if there is none, or its first line is damaged.

        Raises
        ------
        OSError
            If the system refuses.
        """
        try:
            entries = [_parse(line) for line in path.read_bytes().splitlines()]
        except FileNotFoundError:
            return None
        if not entries or entries[0] is None or "run" not in entries[0]:
            return None
        ledger = cls(path, entries[0]["run"])
        for entry in filter(None, entries[1:]):
            region = Region(tuple(entry["start"]), tuple(entry["stop"]))
            ledger.blocks[region] = DoneBlock(region, entry["source"], entry["sums"])
        return ledger

    def add(self, block: DoneBlock) -> None:
        """Record that a block is stored.

        Raises
        ------
        OSError
            If the system refuses.
        """
        region = block.region
        entry = {"start": region.start, "stop": region.stop, "source": block.source, "sums": dict(block.sums)}
        with self._path.open("ab") as file:
            file.write(b"\n" + _line(entry))  # the line break ends an incomplete line before it
        self.blocks[region] = block


def checksum(block: npt.NDArray[np.generic]) -> str:
    """Return the checksum of an array: of its values, dtype and shape, whatever its memory layout."""
    digest = hashlib.blake2b(f"{block.dtype.str} {block.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, sort_keys=True)
    return json.dumps({"check": _check(text), **json.loads(text)}).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry in a line; None if the line is incomplete or damaged."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    check = entry.pop("check", "") if isinstance(entry, dict) else ""
    return entry if check and check == _check(json.dumps(entry, sort_keys=True)) else None


def _check(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
