"""Rules for overwriting: never inputs or foreign folders, and results only if the user allows it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import REPLACE, Advice, FcnError, OutputError, OutputExistsError
from napari_fcn.io.result_kinds import RESULT_KINDS
from napari_fcn.io.result_reader import read_result_meta
from napari_fcn.storage import JsonError, foreign_files, is_link, read_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_fcn.storage import Inputs

PARTIAL_CHUNK = re.compile(r"\.[0-9a-f]{32}\.partial$")  # ends the name of a chunk that is being written
MAX_NAMES_SHOWN = 3  # names of files in a message


@dataclass(frozen=True, slots=True)
class Protection:
    """Files that must not be overwritten by results.

    Attributes
    ----------
    inputs : sequence of Inputs
        The files that are read: never replaced.
    only_results : bool
        Whether existing files may be replaced only if they are results of napari-fcn, for names that the user has not
        chosen. Folders must be results in any case.
    """

    inputs: Sequence[Inputs] = ()
    only_results: bool = False

    def check_inputs(self, *outputs: Path) -> None:
        """Raise InputAtRiskError if an output would replace, contain or lie inside an input."""
        for inputs in self.inputs:
            for path in outputs:
                inputs.check_file(path)

    def check(self, path: Path, overwrite: bool) -> None:
        """Raise an error if a result may not have this name.

        Raises
        ------
        InputAtRiskError
            If it would overwrite an input.
        OutputExistsError
            If the result exists and ``overwrite`` is not set.
        OutputError
            If the target is something else that is never replaced.
        """
        self.check_inputs(path)
        _check_file_type(path)
        if path.is_dir():
            check_replaceable_zarr(path)
        if os.path.lexists(path) and not overwrite:
            advice = "Pass --overwrite to replace it, or choose another name."
            raise OutputExistsError(f"{path} exists.", Advice(advice, REPLACE))
        if self.only_results and path.is_file() and not is_result(path):
            raise OutputError(
                f"{path} is not a result of napari-fcn, or another program changed it: it is not replaced.",
                "Move it away, or choose another folder for the results.",
            )


NO_PROTECTION = Protection()


def is_zarr_entry(parts: Sequence[str], is_folder: bool) -> bool:
    """Whether an entry, given by its path inside the folder, belongs to an OME-Zarr written by napari-fcn."""
    *above, name = parts
    if not is_folder and PARTIAL_CHUNK.search(name):
        name = PARTIAL_CHUNK.sub(".json" if name.startswith("zarr.") else "", name)
    if name == "zarr.json" and not is_folder:
        return len(above) < 2 and all(part.isdecimal() for part in above)
    names = [*above, name]
    return names[0].isdecimal() and (
        is_folder if len(names) == 1 else names[1] == "c" and all(part.isdecimal() for part in names[2:])
    )


def check_replaceable_zarr(folder: Path) -> None:
    """Raise OutputError unless a folder is empty or an OME-Zarr of napari-fcn without foreign files."""
    if not os.listdir(folder):
        return
    if not _zarr_record(folder):
        raise OutputError(
            f"{folder} is a folder that napari-fcn did not write: it is not replaced.",
            "Choose another name, or move it away.",
        )
    if found := foreign_files(folder, is_zarr_entry):
        raise OutputError(
            f"{folder} is a result, but also holds {join_paths(folder, found)}, which napari-fcn did not write and "
            "which would be lost.",
            "Move that away, or choose another name.",
        )


def join_paths(folder: Path, paths: Sequence[Path]) -> str:
    """Return the names of the first files, relative to a folder, for a message."""
    names = [str(path.relative_to(folder)) for path in paths[:MAX_NAMES_SHOWN]]
    return ", ".join(names) + (f" and {len(paths) - MAX_NAMES_SHOWN} more" if len(paths) > MAX_NAMES_SHOWN else "")


def _check_file_type(path: Path) -> None:
    is_zarr = path.suffix.lower() == ".zarr"
    if path.is_dir() and not is_zarr:
        raise OutputError(f"{path} is a folder. Choose another name, such as {path / 'result.ome.tif'}.")
    if path.is_file() and is_zarr:
        raise OutputError(f"{path} is a file where a zarr folder would go. Choose another name or remove it.")
    if path.is_dir() and is_link(path):
        raise OutputError(
            f"{path} is a link to the folder {os.path.realpath(path)}, which is not replaced.",
            "Choose another name, or remove the link.",
        )


def _zarr_record(folder: Path) -> dict[str, Any]:
    """Return the record of a result folder; empty if it has none."""
    path = folder / "zarr.json"
    try:
        if is_link(path):
            return {}
        record = read_json(path)["attributes"]["napari_fcn"]
    except (OSError, JsonError, LookupError, TypeError):
        return {}
    return record if isinstance(record, dict) and record.get("kind") in RESULT_KINDS else {}


def is_result(path: Path) -> bool:
    """Whether a file or folder has the record of a result; False for npy and unreadable files."""
    if path.is_dir():
        return bool(_zarr_record(path))
    try:
        return read_result_meta(path).get("kind") in RESULT_KINDS
    except FcnError:
        return False
