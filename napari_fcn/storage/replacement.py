"""A file that takes its place in one step, and names that are free."""

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
    """Give a file new content as a whole or not at all: what is written to the name yielded becomes the file.

    A link in its place is replaced, and not what it leads to.

    Parameters
    ----------
    target : Path
        The file.
    inputs : Inputs, optional
        What must survive; looked at before anything is written, and again at the end.

    Raises
    ------
    InputAtRiskError
        If the file is an input, lies in one or holds one.
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
    """Return a path that is not there: with a number from 2 on where the name is taken, by a link without end too."""
    names = (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}" for number in count(1))
    return next(folder / name for name in names if not os.path.lexists(folder / name))
