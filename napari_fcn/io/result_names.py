"""Distinct names for the results of several images."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    NameKey = Callable[[str], str]

UNFINISHED_SUFFIX = ".unfinished"  # ends the name of the folder of an unfinished run


def distinct_names(images: Sequence[Path], names: Sequence[str], folder: Path, ending: str = "") -> list[str]:
    """Return a unique name in one folder for the results of each image.

    A unique name is kept. Images of the same name get the shortest part of their paths that differs: the suffix
    (``a.tif``, ``a.png``) or the folders (``day1_a``, ``day2_a``), whatever the order of the images. Images of the same
    path, such as layers from one file, are numbered.

    Parameters
    ----------
    images : sequence of Path
        Absolute paths.
    names : sequence of str
        The preferred names: those of the images without suffix.
    folder : Path
        Folder of the results.
    ending : str
        Suffix with which the names must be unique as well, for other folders in the same place.
    """
    key, level = _name_key(folder, ending), [0] * len(images)
    while True:
        longer = [_lengthen(*arguments) for arguments in zip(images, names, level, strict=True)]
        owners: dict[str, set[Path]] = defaultdict(set)
        for image, name in zip(images, longer, strict=True):
            owners[key(name)].add(image)
        repeated = [
            i for i, name in enumerate(longer) if len(owners[key(name)]) > 1 and level[i] < _level_count(images[i])
        ]
        if not repeated:
            return _add_numbers(longer, key)
        for i in repeated:
            level[i] += 1


def is_case_sensitive(folder: Path) -> bool:
    """Whether ``a`` and ``A`` are different files in a folder, judged by its parent folders without writing."""
    path = os.path.abspath(folder)
    while path != os.path.dirname(path):
        parent, name = os.path.split(path)
        swapped = os.path.join(parent, name.swapcase())
        if name.swapcase() != name and os.path.exists(path):
            return not (os.path.exists(swapped) and os.path.samefile(path, swapped))
        path = parent
    return sys.platform not in ("win32", "darwin")


def _name_key(folder: Path, ending: str) -> NameKey:
    """Return a function that maps names to one key if they are the same file there, with or without the ending."""
    is_exact = is_case_sensitive(folder)

    def key(name: str) -> str:
        name = name if is_exact else unicodedata.normalize("NFC", name).casefold()
        while ending and name.endswith(ending):
            name = name.removesuffix(ending)
        return name

    return key


def _level_count(image: Path) -> int:
    return 2 * len(_parent_names(image)) + 1


def _parent_names(image: Path) -> tuple[str, ...]:
    return tuple(part for part in image.parent.parts if part != image.anchor)


def _lengthen(image: Path, name: str, level: int) -> str:
    """Return a name with a part of the path: the suffix at odd levels, one more folder at each even level."""
    folders = _parent_names(image)
    chosen = folders[len(folders) - level // 2 :]
    return "_".join((*chosen, image.name if level % 2 else name))


def _add_numbers(names: Sequence[str], key: NameKey) -> list[str]:
    """Return names with numbers added to repeated ones."""
    taken, unique = {key(name) for name in names}, []
    seen: set[str] = set()
    for name in names:
        number, numbered = 1, name
        while key(numbered) in (seen if number == 1 else taken):
            number += 1
            numbered = f"{name}-{number}"
        seen.add(key(numbered))
        taken.add(key(numbered))
        unique.append(numbered)
    return unique
