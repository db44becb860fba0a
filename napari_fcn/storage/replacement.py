"""Atomic replacement of files, and unused names."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

from napari_fcn.file_names import wrapped
from napari_fcn.storage.inputs import NO_INPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_fcn.storage.inputs import Inputs


@contextmanager
def replace_file(target: Path, inputs: Inputs = NO_INPUTS) -> Iterator[Path]:
    """Yield a temporary path; the file written there replaces the target at the end.

    A link at the target is replaced, not followed.

    Parameters
    ----------
    target : Path
        The file.
    inputs : Inputs, optional
        Files that must not be overwritten; checked at the start and at the end.

    Raises
    ------
    InputAtRiskError
        If the target is an input, or inside or around one.
    OSError
        If the system refuses; the old content stays.
    """
    inputs.check_file(target)
    part = target.with_name(wrapped(target.name[:80], ".", f"-{secrets.token_hex(6)}.part"))
    try:
        yield part
        inputs.check_file(target)
        os.replace(part, target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def unused_path(folder: Path, stem: str, suffix: str) -> Path:
    """Return an unused path, numbered from 2 on if the name exists, even as a broken link."""
    names = (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}" for number in count(1))
    return next(folder / name for name in names if not os.path.lexists(folder / name))
