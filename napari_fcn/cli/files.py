"""Images and results of a command: files, folders and patterns to jobs."""

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

WILDCARDS = "*?[]"


@dataclass(frozen=True, slots=True)
class _NamedImage:
    """An image with its path as in the arguments, its location, and the name of its results."""

    path: Path
    origin: ImageLocation
    name: str


def find_images(arguments: Sequence[str]) -> tuple[dict[str, list[Path]], dict[str, FcnError]]:
    """Return the images of each argument, and the errors of the arguments that have none.

    An unreadable folder, or a pattern without a match, does not stop the other images.
    """
    found: dict[str, list[Path]] = {}
    errors: dict[str, FcnError] = {}
    for argument in dict.fromkeys(arguments):
        try:
            with explained():
                found[argument] = _images(argument)
        except FcnError as error:
            errors[argument] = error
    return found, errors


def plan_files(
    images: Sequence[str] | Mapping[str, Sequence[Path]], out: Path, kinds: Sequence[str], stack: str = ""
) -> list[RunJob]:
    """Return a job for each image; an image that is given twice has one job.

    Parameters
    ----------
    images : sequence of str, or mapping of str to sequence of Path
        Files, folders and patterns; or these with their images as returned by `find_images`.
    out : Path
        For one image and one kind of result, the result file. For one image and several kinds, a folder with a file for
        each kind. For several images, a folder or a pattern, a folder with an entry for each image, named after the
        image; images of the same name get distinct names.
    kinds : sequence of str
        Kinds of results.
    stack : str
        Name of an axis along which the files of each folder or pattern are the planes of one image.

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
    if not isinstance(images, Mapping):
        images, errors = find_images(images)
        for error in errors.values():
            raise error
    groups = list(images.values())
    found = _stacks(list(images), groups, stack) if stack else _single(groups)
    is_file = len(images) == 1 or out.name.lower().endswith(WRITABLE_SUFFIXES)  # several files can be one image
    many = len(found) > 1 or (
        not stack and (any(_is_several(argument) for argument, group in images.items() if group) or not is_file)
    )
    if (many or len(kinds) > 1) and (out.is_file() or out.name.lower().endswith(WRITABLE_SUFFIXES)):
        raise OutputError(
            f"{out} is one file; several results need a folder, such as --out {out.with_name(image_stem(out))}."
        )
    if not many:
        return [_job(image, _named_path(out, image, kinds), kinds, "") for image in found]
    paths = [Path(os.path.abspath(image.path)) for image in found]
    ending = UNFINISHED_SUFFIX if len(kinds) > 1 else ""  # result folders are next to those of unfinished runs
    names = distinct_names(paths, [image.name for image in found], out, ending)
    return [_job(image, out, kinds, name) for image, name in zip(found, names, strict=True)]


def _named_path(out: Path, image: _NamedImage, kinds: Sequence[str]) -> Path:
    """Return the path of the results of the only image, with a name instead of ``.`` or ``..``.

    Raises
    ------
    OutputError
        If the path is a folder and a file is needed, or the root of a disk.
    """
    if not out.name or out.name == "..":
        out = Path(os.path.abspath(out))
    is_folder = out.is_dir() and out.suffix.lower() != ".zarr"
    if not out.name or (is_folder and len(kinds) == 1):
        raise OutputError(f"{out} is a folder. Name a file in it, such as {out / f'{image.name}.ome.tif'}.")
    return out


def _single(groups: Sequence[Sequence[Path]]) -> list[_NamedImage]:
    """Return an image for each file, or for each set of files that form one image."""
    from napari_fcn.io import ImageLocation
    from napari_fcn.io.image_paths import image_stem
    from napari_fcn.io.ome_sets import unique_images

    named = unique_images(path for group in groups for path in group)
    paths = {os.path.abspath(path): path for path in reversed(named)}
    return [_NamedImage(path, ImageLocation.from_file(path), image_stem(path)) for path in reversed(paths.values())]


def _stacks(arguments: Sequence[str], groups: Sequence[Sequence[Path]], axis: str) -> list[_NamedImage]:
    """Return an image for each folder or pattern."""
    from napari_fcn.io import ImageLocation

    unique = {os.path.abspath(text): (text, group) for text, group in zip(arguments, groups, strict=True) if group}
    return [
        _NamedImage(Path(text), ImageLocation.from_stack(group, axis), _stack_name(text))
        for text, group in unique.values()
    ]


def _images(argument: str) -> list[Path]:
    from napari_fcn.io.image_paths import list_images

    path = Path(argument)
    if not _is_pattern(argument):
        return list_images(path)
    names = sorted(glob.glob(_escape_folders(path)))
    if not names:
        raise FcnError(f"No file fits the pattern {argument}.")
    return [Path(name) for name in names]


def _is_several(argument: str) -> bool:
    """Whether an argument is a folder of files or a pattern; its results go to a folder even if it is one image."""
    from napari_fcn.io.image_paths import is_zarr

    path = Path(argument)
    return not is_zarr(path) if path.is_dir() else _is_pattern(argument)


def _is_pattern(argument: str) -> bool:
    """Whether an argument contains wildcards and is not the name of an existing file."""
    return any(wildcard in argument for wildcard in WILDCARDS[:-1]) and not os.path.lexists(argument)


def _escape_folders(path: Path) -> str:
    """Return a pattern in which wildcards in the names of existing folders are escaped."""
    for folder in path.parents:
        if folder.exists():
            return os.path.join(glob.escape(str(folder)), *path.relative_to(folder).parts)
    return str(path)


def _job(image: _NamedImage, out: Path, kinds: Sequence[str], name: str) -> RunJob:
    """Return the job of an image with results in ``out / name``; in ``out`` if the name is empty."""
    from napari_fcn.io.image_paths import result_suffix
    from napari_fcn.runs.job import RunJob

    suffix = ".ome.zarr" if image.origin.stack else result_suffix(image.path)
    note = f"Another image of this run is also named {image.name}; the results of this one are named {name}."
    note = "" if name in ("", image.name) else note
    if len(kinds) > 1:
        entry = out / name
        return RunJob(image.path, entry, {kind: entry / f"{kind}{suffix}" for kind in kinds}, image.origin, note=note)
    file = out / f"{name}{suffix}" if name else out
    return RunJob(image.path, file, {kinds[0]: file}, image.origin, is_named=not name, note=note)


def _stack_name(argument: str) -> str:
    """Return the name of a folder without its suffix, or of a pattern without its wildcards."""
    from napari_fcn.io.image_paths import image_stem

    path = Path(argument)
    if not _is_pattern(argument):
        return image_stem(Path(os.path.abspath(path)))
    name = image_stem(path)
    for wildcard in WILDCARDS:
        name = name.replace(wildcard, "")
    return name.strip("_-. ") or path.parent.name or "stack"
