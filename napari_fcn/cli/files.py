"""Which images a command means, and where the results of each go."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fcn.errors import FcnError, OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.io import Origin
    from napari_fcn.jobs import Job


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
    from napari_fcn.io.finding import stem
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
            f"{out} is one file; several results need a folder, such as --out {out.with_name(stem(out))}."
        )
    jobs = [_job(place, out, kinds, many) for place in found]
    _check_apart(jobs)
    return jobs


def _images(text: str) -> list[Path]:
    from napari_fcn.io.finding import images_at

    path = Path(text)
    if any(sign in text for sign in "*?[") and not path.exists():
        names = sorted(glob.glob(text))
        if not names:
            raise FcnError(f"No file fits the pattern {text}.")
        return [Path(name) for name in names]
    return images_at(path)


def _job(place: tuple[Path, Origin], out: Path, kinds: Sequence[str], many: bool) -> Job:
    from napari_fcn.io.finding import result_suffix
    from napari_fcn.jobs import Job

    image, origin = place
    suffix = ".ome.zarr" if origin.stack else result_suffix(image)
    entry = out / _name(image) if many else out
    if len(kinds) > 1:
        return Job(image, entry, {kind: entry / f"{kind}{suffix}" for kind in kinds}, origin)
    file = entry.with_name(entry.name + suffix) if many else entry
    return Job(image, file, {kinds[0]: file}, origin)


def _name(image: Path) -> str:
    """Return the name of an image without its suffix; of a pattern what is left of it without the signs."""
    from napari_fcn.io.finding import stem

    name = stem(image)
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
