"""Which images a command means, and where the results of each go."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_fcn.io import Origin

LABELS = "_label"  # how the truth beside a training image is named


@dataclass(frozen=True, slots=True)
class Job:
    """One image and its results.

    Attributes
    ----------
    image : Path
        The image; for a stack of files the folder or pattern that names them.
    out : Path
        Where its results are: a file, or a folder if there are several.
    targets : mapping of str to Path
        A file for each kind of result.
    origin : Origin
        How the image is read, here or on another computer.
    """

    image: Path
    out: Path
    targets: Mapping[str, Path]
    origin: Origin


def plan_files(given: Sequence[str], out: Path, kinds: Sequence[str], stack: str = "") -> list[Job]:
    """Return a job for each image that is named, lies in a folder that is named, or fits a pattern.

    One image by its name and one kind of result: ``out`` is the file. Several kinds: ``out`` is a folder with a file
    for each. Several images, a folder or a pattern: ``out`` is a folder with one entry for each image. With the name
    of an axis in ``stack``, the files of each folder or pattern are one image.

    Raises
    ------
    UsageError
        If there is no such kind of result.
    FcnError
        If there is no image, or two images would be written to one file.
    """
    from napari_fcn.io import Origin
    from napari_fcn.io.results import WRITABLE
    from napari_fcn.recording import SAVED

    unknown = [kind for kind in kinds if kind not in SAVED]
    if unknown:
        raise UsageError(f"{', '.join(unknown)} cannot be saved; choose among {', '.join(SAVED)}.")
    groups = [_images(text) for text in given]
    if stack:
        found = [(Path(text), Origin.of_stack(group, stack)) for text, group in zip(given, groups, strict=True)]
        many = len(found) > 1
    else:
        found = [(image, Origin.of(image)) for group in groups for image in group]
        many = len(found) > 1 or [str(image) for image, _ in found] != [str(Path(text)) for text in given]
    if (many or len(kinds) > 1) and (out.is_file() or out.name.lower().endswith(WRITABLE)):
        raise OutputError(
            f"{out} is one file; several results need a folder, such as --out {out.with_name(_stem(out))}."
        )
    jobs = [_job(place, out, kinds, many) for place in found]
    _check_apart(jobs)
    return jobs


def _images(text: str) -> list[Path]:
    from napari_fcn.io import READABLE

    path = Path(text)
    if path.is_dir() and path.suffix.lower() != ".zarr" and not _is_zarr(path):
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE)
        found = [p for p in found if not _is_truth(p, found)]
        if not found:
            raise FcnError(f"The folder {path} holds no image. Readable are {', '.join(READABLE)}.")
        return found
    if any(sign in text for sign in "*?[") and not path.exists():
        names = sorted(glob.glob(text))
        if not names:
            raise FcnError(f"No file fits the pattern {text}.")
        return [Path(name) for name in names]
    return [path]


def _is_truth(path: Path, beside: Sequence[Path]) -> bool:
    """Whether a file holds the labels of an image beside it."""
    name = _stem(path)
    return name.endswith(LABELS) and any(_stem(p) == name.removesuffix(LABELS) + "_image" for p in beside)


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _job(place: tuple[Path, Origin], out: Path, kinds: Sequence[str], many: bool) -> Job:
    image, origin = place
    suffix = ".ome.zarr" if origin.stack or image.is_dir() else ".ome.tif"
    entry = out / _name(image) if many else out
    if len(kinds) > 1:
        return Job(image, entry, {kind: entry / f"{kind}{suffix}" for kind in kinds}, origin)
    file = entry.with_name(entry.name + suffix) if many else entry
    return Job(image, file, {kinds[0]: file}, origin)


def _name(image: Path) -> str:
    """Return the name of an image without its suffix; of a pattern what is left of it without the signs."""
    name = _stem(image)
    for sign in "*?[]":
        name = name.replace(sign, "")
    return name.strip("_-. ") or image.parent.name or "stack"


def _check_apart(jobs: Sequence[Job]) -> None:
    owners: dict[Path, Path] = {}
    for job in jobs:
        other = owners.setdefault(job.out, job.image)
        if other is not job.image:
            raise OutputError(
                f"{other} and {job.image} would both be written to {job.out}. Rename one, or run them apart."
            )
