"""``napari-fcn predict``."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_fcn.cli.files import find_images, plan_files
from napari_fcn.cli.flags import collect
from napari_fcn.cli.progress import Progress
from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import FcnError
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.settings import OutputSettings, PredictSettings
from napari_fcn.system_errors import explained
from napari_fcn.typed import is_ambiguous, read_numbers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from napari_fcn.distributed import Cluster, DistributedPredictor
    from napari_fcn.geometry import Axes
    from napari_fcn.io import ImageFile
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.runs.job import OutputPolicy, RunJob
    from napari_fcn.runs.writer import Event
    from napari_fcn.session import Session
    from napari_fcn.storage import Inputs


@dataclass(frozen=True, slots=True)
class Run:
    """What all images of a command have in common."""

    arguments: argparse.Namespace
    checkpoint: Checkpoint
    cluster: Cluster | None
    inputs: Inputs

    @property
    def settings(self) -> PredictSettings:
        """How to run."""
        return collect(PredictSettings, self.arguments)

    @property
    def output(self) -> OutputSettings:
        """What to save."""
        return collect(OutputSettings, self.arguments)

    @property
    def terms(self) -> OutputPolicy:
        """How each image is done, and what must survive of all."""
        from napari_fcn.runs.job import OutputPolicy

        return OutputPolicy(self.settings, self.arguments.resume, self.output.overwrite, inputs=self.inputs)

    def open(self, image: ImageFile, job: RunJob) -> tuple[Session, DistributedPredictor | None]:
        """Return the model on an image, and the workers that answer instead of it, if there are some."""
        from napari_fcn.runs.writer import open_session

        axes = self.output.axis_names
        if self.cluster is None:
            return open_session(image, self.checkpoint, axes, self.settings), None
        here = replace(self.settings, device="cpu", precision="float32")  # it looks, and computes nothing
        session = open_session(image, self.checkpoint, axes, here)
        kinds = {*job.targets} - {"objects"} | ({"classes"} if "objects" in job.targets else set())
        return session, self.cluster.predictor_for(session, job.origin, self.settings, kinds)


def predict(arguments: argparse.Namespace) -> None:
    """Segment the images that were named; one that fails does not stop the others."""
    from napari_fcn.io.run_inputs import IMAGE_INPUT, MODEL_INPUT, collect_inputs
    from napari_fcn.models import zoo
    from napari_fcn.models.checkpoint import Checkpoint

    images, problems = find_images(arguments.image)
    if len(problems) == len(images) + len(problems) == 1:
        raise next(iter(problems.values()))
    given = {text: images.get(text, []) for text in arguments.image} if images else arguments.image
    jobs = plan_files(given, arguments.out, collect(OutputSettings, arguments).save, arguments.stack)
    for text, error in problems.items():
        say(f"napari-fcn: {text}: {error}")
    model = zoo.path_of(arguments.model)
    inputs = collect_inputs({IMAGE_INPUT: [path for job in jobs for path in job.inputs], MODEL_INPUT: [model]})
    checkpoint = Checkpoint.load(model)
    with _cluster(arguments) as cluster:
        run = Run(arguments, checkpoint, cluster, inputs)
        failed = [job for number, job in enumerate(jobs, start=1) if not _attempt(run, job, (number, len(jobs)))]
    if failed or problems:
        count = len(failed) + len(problems)
        raise FcnError(f"{count} of {len(jobs) + len(problems)} images failed; the others are done.")


def _cluster(arguments: argparse.Namespace) -> AbstractContextManager[Cluster | None]:
    """Return the connection to the cluster that was asked for."""
    if not arguments.scheduler:
        return nullcontext()
    from napari_fcn.distributed import connect

    return connect(arguments.scheduler, arguments.device)


def _attempt(run: Run, job: RunJob, place: tuple[int, int]) -> bool:
    """Predict one image and report; return whether that went well. The only image raises what went wrong."""
    number, total = place
    try:
        with explained():
            report = _predict_one(run, job, f"{number}/{total} " if total > 1 else "")
    except FcnError as error:
        text = " ".join(filter(None, [str(error), _kept(job)]))
        if total == 1:
            raise FcnError(text) from error
        say(f"napari-fcn: {job.image}: {text}")
        return False
    except KeyboardInterrupt:
        say(_kept(job))
        raise
    if run.arguments.json:
        put_json(report)
    return True


def _kept(job: RunJob) -> str:
    """Return where the work on an image lies that did not reach its end; "" if there is none."""
    from napari_fcn.runs.resume import folder_of, is_kept

    with suppress(OSError):
        return f"What is done is kept in {folder_of(job.out)}: add --resume to go on." if is_kept(job.out) else ""
    return ""


def _predict_one(run: Run, job: RunJob, place: str) -> dict[str, Any]:
    """Predict one image into its files and return the report on it."""
    from napari_fcn.inference.memory import process_peak
    from napari_fcn.io.fingerprint import missing_chunks_note
    from napari_fcn.runs.writer import bind_file

    image = job.origin.read(run.settings.memory)
    bound = bind_file(image, run.checkpoint.info.spec, run.output.axis_names)
    image = _measured(image, bound.axes, run.arguments.voxel_size)
    report: dict[str, Any] = {"image": str(job.image), "out": str(job.out), "model_hash": run.checkpoint.hash}
    report |= {"axes": bound.axis_text, "axes_guessed": bound.is_guessed}
    notes, ending = [*image.notes, *filter(None, [missing_chunks_note(image), job.note])], "was done already"
    if is_ambiguous(run.arguments.voxel_size):
        read = _joined(read_numbers(run.arguments.voxel_size))
        notes.append(f"--voxel-size {run.arguments.voxel_size} was read as {read} µm; decimal commas need 0,5;0,2.")
    with Progress(place + job.image.name, run.arguments.quiet) as progress:
        for event in _events(run, job, image):
            progress.show(event)
            if isinstance(event, RunPlanned):
                report |= {"tiles": event.tiles, "resumed": event.done, "halo": event.halo}
                report["predicted_bytes"] = event.peak_bytes
                notes += event.notes
                if event.done:
                    notes.append(f"{event.done} of {event.tiles} tiles were already done.")
            elif isinstance(event, FallbackTaken):
                notes.append(event.line)
            elif isinstance(event, RunDone):
                report |= {"seconds": round(event.seconds, 3), "device": event.device, "precision": event.precision}
                ending = f"{event.seconds:.1f} s on {event.device} in {event.precision}"
                notes += event.notes
    for note in notes:
        say(f"{job.image}: {note}")
    say(f"{job.image}: {ending} -> {job.out}")
    return {**report, "notes": notes, "peak_bytes": process_peak()}


def _events(run: Run, job: RunJob, image: ImageFile) -> Iterator[Event]:
    """Run, or go on with a run; yield nothing if all is done already."""
    from napari_fcn.runs.job import run_job

    session, hired = run.open(image, job)
    yield from run_job(job, image, session, run.terms, hired)


def _joined(sizes: Sequence[float]) -> str:
    return " and ".join(f"{size:g}" for size in sizes)


def _measured(image: ImageFile, axes: Axes, voxel_size: str) -> ImageFile:
    """Return the image with the voxel size that the user knows better than the file, in micrometres."""
    if not voxel_size:
        return image
    try:
        sizes = read_numbers(voxel_size)
    except ValueError:
        sizes = ()
    space = [i for i, name in enumerate(axes.names) if name in ("z", "y", "x")]
    if len(sizes) != len(space) or not all(0 < size < float("inf") for size in sizes):
        wanted = ",".join(axes.names[i].upper() for i in space)
        found = f", and these are {len(sizes)} numbers: {_joined(sizes)}" if is_ambiguous(voxel_size) else ""
        raise FcnError(
            f"--voxel-size is {voxel_size!r}{found}; needed are positive numbers in micrometres for {wanted}.",
            "A comma stands between numbers; with decimal commas write semicolons between them, as 0,5;0,2.",
        )
    known = list(image.calibration.axes)
    for position, size in zip(space, sizes, strict=True):
        known[position] = known[position].resized(size, "micrometer")
    return replace(image, calibration=Calibration(tuple(known)))
