"""Which images a command means, and where the results of each go."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError, OutputError, UsageError
from napari_fcn.system_errors import explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.io import ImageLocation
    from napari_fcn.runs.job import RunJob

SIGNS = "*?[]"  # of patterns


@dataclass(frozen=True, slots=True)
class _NamedImage:
    """An image: as it was named, how it is read, and what its results are called."""

    path: Path
    origin: ImageLocation
    name: str


def find_images(given: Sequence[str]) -> tuple[dict[str, list[Path]], dict[str, FcnError]]:
    """Return the images that each text stands for, and for each text without one why there is none.

    A folder that may not be entered, or a pattern that nothing fits, must not stop the other images.
    """
    found: dict[str, list[Path]] = {}
    problems: dict[str, FcnError] = {}
    for text in dict.fromkeys(given):
        try:
            with explained():
                found[text] = _images(text)
        except FcnError as error:
            problems[text] = error
    return found, problems


def plan_files(
    given: Sequence[str] | Mapping[str, Sequence[Path]], out: Path, kinds: Sequence[str], stack: str = ""
) -> list[RunJob]:
    """Return a job for each image that is named, lies in a folder that is named, or fits a pattern.

    One image by its name and one kind of result: ``out`` is the file. Several kinds: ``out`` is a folder with a file
    for each. Several images, a folder or a pattern: ``out`` is a folder with one entry for each image, named as the
    image; images of one name get names that tell them apart. With the name of an axis in ``stack``, the files of each
    folder or pattern are one image. An image that is named twice is one. What `find_images` has found is not looked for
    again, and a text without an image is left out.

    Raises
    ------
    UsageError
        If there is no kind of result.
    FcnError
        If there is no image.
    """
    from napari_fcn.io.image_paths import image_stem
    from napari_fcn.io.result_kinds import RESULT_KINDS
    from napari_fcn.io.result_names import UNFINISHED_SUFFIX, distinct_names
    from napari_fcn.io.results import WRITABLE_SUFFIXES

    if not kinds:
        raise UsageError(f"No result is saved; choose among {', '.join(RESULT_KINDS)} for --save.")
    if not isinstance(given, Mapping):
        found_at, problems = find_images(given)
        for error in problems.values():
            raise error
        given = found_at
    groups = list(given.values())
    found = _stacks(list(given), groups, stack) if stack else _single(groups)
    is_file = len(given) == 1 or out.name.lower().endswith(WRITABLE_SUFFIXES)  # several names can be one image
    many = len(found) > 1 or (
        not stack and (any(_is_several(text) for text, group in given.items() if group) or not is_file)
    )
    if (many or len(kinds) > 1) and (out.is_file() or out.name.lower().endswith(WRITABLE_SUFFIXES)):
        raise OutputError(
            f"{out} is one file; several results need a folder, such as --out {out.with_name(image_stem(out))}."
        )
    if not many:
        return [_job(image, _named(out, image, kinds), kinds, "") for image in found]
    paths = [Path(os.path.abspath(image.path)) for image in found]
    ending = UNFINISHED_SUFFIX if len(kinds) > 1 else ""  # results in folders lie beside those of unfinished runs
    names = distinct_names(paths, [image.name for image in found], out, ending)
    return [_job(image, out, kinds, name) for image, name in zip(found, names, strict=True)]


def _named(out: Path, image: _NamedImage, kinds: Sequence[str]) -> Path:
    """Return where the results of the only image go, by a name of its own: ``.`` and ``..`` are none.

    Raises
    ------
    OutputError
        If this is a folder and a file is needed, or the root of a disk.
    """
    if not out.name or out.name == "..":
        out = Path(os.path.abspath(out))
    is_folder = out.is_dir() and out.suffix.lower() != ".zarr"
    if not out.name or (is_folder and len(kinds) == 1):
        raise OutputError(f"{out} is a folder. Name a file in it, such as {out / f'{image.name}.ome.tif'}.")
    return out


def _single(groups: Sequence[Sequence[Path]]) -> list[_NamedImage]:
    """Return each file as an image, and files of one image as one."""
    from napari_fcn.io import ImageLocation
    from napari_fcn.io.image_paths import image_stem
    from napari_fcn.io.ome_sets import unique_images

    named = unique_images(path for group in groups for path in group)
    paths = {os.path.abspath(path): path for path in reversed(named)}
    return [_NamedImage(path, ImageLocation.from_file(path), image_stem(path)) for path in reversed(paths.values())]


def _stacks(given: Sequence[str], groups: Sequence[Sequence[Path]], axis: str) -> list[_NamedImage]:
    """Return each folder or pattern as an image."""
    from napari_fcn.io import ImageLocation

    found = {os.path.abspath(text): (text, group) for text, group in zip(given, groups, strict=True) if group}
    return [
        _NamedImage(Path(text), ImageLocation.from_stack(group, axis), _name_of(text)) for text, group in found.values()
    ]


def _images(text: str) -> list[Path]:
    from napari_fcn.io.image_paths import list_images

    path = Path(text)
    if not _is_pattern(text):
        return list_images(path)
    names = sorted(glob.glob(_pattern(path)))
    if not names:
        raise FcnError(f"No file fits the pattern {text}.")
    return [Path(name) for name in names]


def _is_several(text: str) -> bool:
    """Whether a text is a folder of files or a pattern: results of these go to a folder, even if there is but one."""
    from napari_fcn.io.image_paths import is_zarr

    path = Path(text)
    return not is_zarr(path) if path.is_dir() else _is_pattern(text)


def _is_pattern(text: str) -> bool:
    """Whether signs in a name are those of a pattern, rather than of a file that is called so."""
    return any(sign in text for sign in SIGNS[:-1]) and not os.path.lexists(text)


def _pattern(path: Path) -> str:
    """Return a pattern in which the signs of folders that are called so stand for themselves."""
    for folder in path.parents:
        if folder.exists():
            return os.path.join(glob.escape(str(folder)), *path.relative_to(folder).parts)
    return str(path)


def _job(image: _NamedImage, out: Path, kinds: Sequence[str], name: str) -> RunJob:
    """Return the job of an image whose results go into ``out`` under a name, or, if that is empty, to ``out``."""
    from napari_fcn.io.image_paths import result_suffix
    from napari_fcn.runs.job import RunJob

    suffix = ".ome.zarr" if image.origin.stack else result_suffix(image.path)
    note = f"Another image of this run is called {image.name} too; the results of this one are called {name}."
    note = "" if name in ("", image.name) else note
    if len(kinds) > 1:
        entry = out / name
        return RunJob(image.path, entry, {kind: entry / f"{kind}{suffix}" for kind in kinds}, image.origin, note=note)
    file = out / f"{name}{suffix}" if name else out
    return RunJob(image.path, file, {kinds[0]: file}, image.origin, is_named=not name, note=note)


def _name_of(text: str) -> str:
    """Return the name of a folder without its suffix; of a pattern what is left of it without the signs."""
    from napari_fcn.io.image_paths import image_stem

    path = Path(text)
    if not _is_pattern(text):
        return image_stem(Path(os.path.abspath(path)))
    name = image_stem(path)
    for sign in SIGNS:
        name = name.replace(sign, "")
    return name.strip("_-. ") or path.parent.name or "stack"
