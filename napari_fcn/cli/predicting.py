"""``napari-fcn predict``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_fcn.cli.files import plan_files
from napari_fcn.cli.flags import collect, say
from napari_fcn.errors import FcnError
from napari_fcn.events import RunDone, RunPlanned, SteppedDown, TileDone
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    import argparse

    from napari_fcn.cli.files import Job
    from napari_fcn.io import ImageFile
    from napari_fcn.models.checkpoint import Checkpoint


def predict(arguments: argparse.Namespace) -> None:
    """Segment the images that were named; one that fails does not stop the others."""
    from napari_fcn.models import zoo
    from napari_fcn.models.checkpoint import Checkpoint

    jobs = plan_files(arguments.image, arguments.out, arguments.save.split(","))
    checkpoint = Checkpoint.load(zoo.path_of(arguments.model))
    failed = 0
    for job in jobs:
        try:
            report = _predict_one(arguments, checkpoint, job)
        except FcnError as error:
            if len(jobs) == 1:
                raise
            say(f"napari-fcn: {job.image}: {error}")
            failed += 1
            continue
        say(f"{job.image}: {report['seconds']:.1f} s on {report['device']} in {report['precision']} -> {job.out}")
        if arguments.json:
            print(json.dumps(report), flush=True)
    if failed:
        raise FcnError(f"{failed} of {len(jobs)} images failed; the others are done.")


def _predict_one(arguments: argparse.Namespace, checkpoint: Checkpoint, job: Job) -> dict[str, Any]:
    """Predict one image into its files and return the report on it."""
    from tqdm import tqdm

    from napari_fcn.inference.memory import process_peak
    from napari_fcn.io import read_image
    from napari_fcn.recording import Recording, describe, open_session

    settings = collect(PredictSettings, arguments)
    image = _measured(read_image(job.image), arguments.voxel_size)
    session = open_session(image, checkpoint, arguments.axes, settings)
    report: dict[str, Any] = {"image": str(job.image), "out": str(job.out)}
    notes = [*image.notes]
    with tqdm(unit="tile", desc=job.image.name, file=sys.stderr, leave=False, disable=arguments.quiet) as bar:
        for event in Recording(job.targets, arguments.overwrite).run(session, describe(session, image, settings)):
            if isinstance(event, RunPlanned):
                bar.reset(event.tiles)
                report |= {"tiles": event.tiles, "halo": event.halo, "predicted_bytes": event.peak_bytes}
                notes += event.notes
            elif isinstance(event, TileDone):
                bar.update()
            elif isinstance(event, SteppedDown):
                notes.append(event.line)
                bar.total = event.total
            elif isinstance(event, RunDone):
                report |= {
                    "seconds": round(event.seconds, 3),
                    "device": event.device,
                    "precision": event.precision,
                }
    for note in notes:
        say(f"{job.image}: {note}")
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
