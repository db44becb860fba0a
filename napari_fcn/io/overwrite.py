"""What a result may replace: nothing that is read, no folder that is none of ours, nothing without leave."""

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

PARTIAL_CHUNK = re.compile(r"\.[0-9a-f]{32}\.partial$")  # of a chunk that a store had not renamed yet
MAX_NAMES_SHOWN = 3  # names of files in a message


@dataclass(frozen=True, slots=True)
class Protection:
    """What must survive when results are written.

    Attributes
    ----------
    inputs : sequence of Inputs
        What is read: never replaced, whoever asks for it.
    only_results : bool
        Whether, of files that exist, only those may be replaced that say they are results of napari-fcn: where nobody
        has named the file itself. Folders may only be replaced if they say so in any case.
    """

    inputs: Sequence[Inputs] = ()
    only_results: bool = False

    def check_inputs(self, *outputs: Path) -> None:
        """Raise InputAtRiskError if one of these files or folders would replace or hold what is read, or lie in it."""
        for inputs in self.inputs:
            for path in outputs:
                inputs.check_file(path)

    def check(self, path: Path, overwrite: bool) -> None:
        """Raise an error if a result may not have this name.

        Raises
        ------
        InputAtRiskError
            If that would do away with something that is read.
        OutputExistsError
            If there is a result already, and ``overwrite`` is not set.
        OutputError
            If there is something else that is not replaced.
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
                f"{path} is no result of napari-fcn, or was changed by another program since: it is not replaced.",
                "Move it away, or choose another folder for the results.",
            )


NO_PROTECTION = Protection()


def is_zarr_entry(parts: Sequence[str], is_folder: bool) -> bool:
    """Whether an entry, by the names from the folder down to it, is one of an OME-Zarr as napari-fcn writes them."""
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
    """Raise OutputError if a folder is no OME-Zarr of ours, or holds what is not; one that is empty is free."""
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
    """Return the first of some files in a folder, for a message."""
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
    """Return what a folder says of itself as a result of ours; empty if it does not."""
    path = folder / "zarr.json"
    try:
        if is_link(path):
            return {}
        record = read_json(path)["attributes"]["napari_fcn"]
    except (OSError, JsonError, LookupError, TypeError):
        return {}
    return record if isinstance(record, dict) and record.get("kind") in RESULT_KINDS else {}


def is_result(path: Path) -> bool:
    """Whether a file or folder says that it is a result of ours; npy and what cannot be read say nothing."""
    if path.is_dir():
        return bool(_zarr_record(path))
    try:
        return read_result_meta(path).get("kind") in RESULT_KINDS
    except FcnError:
        return False
