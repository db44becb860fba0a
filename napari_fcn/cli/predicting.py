"""``napari-fcn predict``."""

from __future__ import annotations

import glob
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.cli.flags import collect, say
from napari_fcn.errors import FcnError, OutputError
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from napari_fcn.io import ImageFile
    from napari_fcn.models.checkpoint import Checkpoint


def predict(arguments: argparse.Namespace) -> None:
    """Segment the images that were named; one that fails does not stop the others."""
    from napari_fcn.models import zoo
    from napari_fcn.models.checkpoint import Checkpoint

    images = list(_images(arguments.image))
    kinds = arguments.save.split(",")
    checkpoint = Checkpoint.load(zoo.path_of(arguments.model))
    failed = []
    for path in images:
        out = arguments.out if len(images) == 1 else arguments.out / _stem(path)
        try:
            report = _predict_one(arguments, checkpoint, path, _targets(out, path, kinds, len(images) > 1))
        except FcnError as error:
            if len(images) == 1:
                raise
            say(f"napari-fcn: {path}: {error}")
            failed.append(path)
            continue
        say(f"{path}: {report['seconds']:.1f} s on {report['device']} in {report['precision']} -> {report['out']}")
        if arguments.json:
            print(json.dumps(report), flush=True)
    if failed:
        raise FcnError(f"{len(failed)} of {len(images)} images failed; the others are done.")


def _predict_one(
    arguments: argparse.Namespace, checkpoint: Checkpoint, path: Path, targets: dict[str, Path]
) -> dict[str, Any]:
    """Predict one image into its files and return the report on it."""
    from tqdm import tqdm

    from napari_fcn.inference.memory import process_peak
    from napari_fcn.io import read_image
    from napari_fcn.recording import Recording, describe, open_session

    settings = collect(PredictSettings, arguments)
    image = _measured(read_image(path), arguments.voxel_size)
    session = open_session(image, checkpoint, arguments.axes, settings)
    report: dict[str, Any] = {
        "image": str(path),
        "out": str(arguments.out if len(targets) > 1 else next(iter(targets.values()))),
    }
    notes = [*image.notes]
    with tqdm(unit="tile", desc=path.name, file=sys.stderr, leave=False, disable=arguments.quiet) as bar:
        for event in Recording(targets, arguments.overwrite).run(session, describe(session, image, settings)):
            if isinstance(event, RunPlanned):
                bar.reset(event.tiles)
                report |= {"tiles": event.tiles, "halo": event.halo, "predicted_bytes": event.peak_bytes}
                notes += event.notes
            elif isinstance(event, TileDone):
                bar.update()
            elif isinstance(event, RunDone):
                report |= {
                    "seconds": round(event.seconds, 3),
                    "device": event.device,
                    "precision": event.precision,
                }
    for note in notes:
        say(f"{path}: {note}")
    return {**report, "peak_bytes": process_peak(), "model_hash": checkpoint.hash}


def _measured(image: ImageFile, voxel_size: str) -> ImageFile:
    """Return the image with the voxel size that the user knows better than the file, in micrometres."""
    if not voxel_size:
        return image
    try:
        sizes = [float(size) for size in voxel_size.split(",")]
    except ValueError:
        sizes = []
    names = image.axes or ("z", "y", "x")[-image.data.ndim :]
    space = [i for i, name in enumerate(names) if name in ("z", "y", "x")]
    if len(sizes) != len(space) or not all(0 < size < float("inf") for size in sizes):
        wanted = ",".join(names[i].upper() for i in space)
        raise FcnError(f"--voxel-size is {voxel_size!r}; needed are positive numbers in micrometres for {wanted}.")
    scale, units = list(image.scale), list(image.units)
    for position, size in zip(space, sizes, strict=True):
        scale[position], units[position] = size, "micrometer"
    return replace(image, scale=tuple(scale), units=tuple(units))


def _images(given: Sequence[str]) -> Iterator[Path]:
    """Yield the image files that are named, are in the folders named, or fit the patterns named."""
    from napari_fcn.io import READABLE

    for text in given:
        path = Path(text)
        if path.is_dir() and path.suffix.lower() != ".zarr" and not _is_zarr(path):
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE)
            if not found:
                raise FcnError(f"The folder {path} holds no image. Readable are {', '.join(READABLE)}.")
            yield from found
        elif any(sign in text for sign in "*?[") and not path.exists():
            names = sorted(glob.glob(text))
            if not names:
                raise FcnError(f"No file fits the pattern {text}.")
            yield from map(Path, names)
        else:
            yield path


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _targets(out: Path, image: Path, kinds: Sequence[str], many: bool) -> dict[str, Path]:
    """Return the file of each kind of result.

    One image and one kind: ``out`` itself. Several kinds: ``out`` is a folder. Several images: a folder with one
    entry for each image.
    """
    from napari_fcn.recording import FORMS

    unknown = [kind for kind in kinds if kind not in FORMS]
    if unknown:
        raise FcnError(f"{', '.join(unknown)} cannot be saved; choose among {', '.join(FORMS)}.")
    suffix = ".ome.zarr" if image.is_dir() else ".ome.tif"
    if len(kinds) > 1:
        if out.is_file():
            raise OutputError(f"{out} is a file; several results need a folder. Choose another --out.")
        return {kind: out / f"{kind}{suffix}" for kind in kinds}
    return {kinds[0]: out.with_name(out.name + suffix) if many else out}
