"""The command ``napari-fcn predict``."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any

import psutil

from napari_fcn.cli.files import find_images, plan_files
from napari_fcn.cli.flags import collect
from napari_fcn.cli.progress import ProgressBar
from napari_fcn.cli.terminal import put_json, say
from napari_fcn.errors import FcnError, MemoryShortage
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.runs.progress import RunProgress, advance
from napari_fcn.settings import MIN_MEMORY, OutputSettings, PredictSettings
from napari_fcn.system_errors import explained
from napari_fcn.typed import is_ambiguous, read_numbers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from napari_fcn.distributed import Cluster, DistributedPredictor
    from napari_fcn.io import ImageFile
    from napari_fcn.models.binding import Binding
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.runs.job import OutputPolicy, RunInput, RunJob


@dataclass(frozen=True, slots=True)
class Run:
    """Arguments, model, settings and cluster of a command, the same for all of its images."""

    arguments: argparse.Namespace
    checkpoint: Checkpoint
    output: OutputSettings
    policy: OutputPolicy
    cluster: Cluster | None

    def open(self, image: ImageFile, job: RunJob) -> tuple[RunInput, DistributedPredictor | None]:
        """Return the input of a run and, with a cluster, the predictor."""
        from napari_fcn.runs.job import RunInput, use_size_of_earlier_run
        from napari_fcn.session import Session

        settings = within_total(self.policy.settings)
        binding = image.bind(self.checkpoint.info.spec, self.output.axis_names)
        binding = _with_pixel_size(binding, self.arguments.voxel_size)
        if self.cluster is None:
            return RunInput.of(image, Session(image.data, self.checkpoint, binding, settings)), None
        # only planning runs on this computer
        local = replace(settings, device="cpu", precision="float32", backend="torch")
        session = Session(image.data, self.checkpoint, binding, local)
        use_size_of_earlier_run(job, session, self.policy)
        kinds = {*job.targets} - {"objects"} | ({"landscape"} if "objects" in job.targets else set())
        run_input = RunInput.of(image, session)
        return run_input, self.cluster.predictor_for(session, job.origin, self.policy.settings, kinds)


def predict(arguments: argparse.Namespace) -> None:
    """Segment images; one that fails does not stop the others."""
    from napari_fcn.io.run_inputs import IMAGE_INPUT, MODEL_INPUT, collect_inputs
    from napari_fcn.models import zoo
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.runs.job import OutputPolicy

    found, errors = find_images(arguments.image)
    if len(errors) == len(found) + len(errors) == 1:
        raise next(iter(errors.values()))
    settings, output = collect(PredictSettings, arguments), collect(OutputSettings, arguments)
    images = {argument: found.get(argument, []) for argument in arguments.image} if found else arguments.image
    jobs = plan_files(images, arguments.out, output.save, arguments.stack)
    for argument, error in errors.items():
        say(f"napari-fcn: {argument}: {error}")
    model = zoo.path_of(arguments.model)
    inputs = collect_inputs({IMAGE_INPUT: [path for job in jobs for path in job.inputs], MODEL_INPUT: [model]})
    policy = OutputPolicy(settings, arguments.resume, output.overwrite, inputs=inputs)
    checkpoint = Checkpoint.load(model)
    with _cluster(arguments) as cluster:
        run = Run(arguments, checkpoint, output, policy, cluster)
        failed = [job for number, job in enumerate(jobs, start=1) if not _attempt(run, job, (number, len(jobs)))]
    if failed or errors:
        count = len(failed) + len(errors)
        raise FcnError(f"{count} of {len(jobs) + len(errors)} images failed; the others are done.")


def _cluster(arguments: argparse.Namespace) -> AbstractContextManager[Cluster | None]:
    """Return the cluster of ``--scheduler`` as a context manager; its value is None without one."""
    if not arguments.scheduler:
        return nullcontext()
    from napari_fcn.distributed import connect

    return connect(arguments.scheduler, arguments.device)


def _attempt(run: Run, job: RunJob, position: tuple[int, int]) -> bool:
    """Predict one image, print the report or the error, and return whether it succeeded; the only image raises."""
    number, total = position
    try:
        with explained():
            report = _predict_one(run, job, f"{number}/{total} " if total > 1 else "")
    except FcnError as error:
        text = " ".join(filter(None, [str(error), _resume_note(job)]))
        if total == 1:
            raise FcnError(text) from error
        say(f"napari-fcn: {job.image}: {text}")
        return False
    except KeyboardInterrupt:
        say(_resume_note(job))
        raise
    if run.arguments.json:
        put_json(report)
    return True


def _resume_note(job: RunJob) -> str:
    """Return a sentence on the unfinished run of an image; empty if there is none."""
    from napari_fcn.runs.resume import folder_of, is_kept

    with suppress(OSError):
        return f"Finished tiles are kept in {folder_of(job.out)}: add --resume to continue." if is_kept(job.out) else ""
    return ""


def _predict_one(run: Run, job: RunJob, position: str) -> dict[str, Any]:
    """Predict one image, write its results, and return the report."""
    from napari_fcn.inference.memory import process_peak
    from napari_fcn.runs.job import run_job

    image = job.origin.read(run.policy.settings.memory)
    run_input, predictor = run.open(image, job)
    notes = (*run_input.notes, *filter(None, [job.note, _pixel_size_note(run.arguments.voxel_size)]))
    progress = RunProgress(notes=notes)
    with ProgressBar(position + job.image.name, run.arguments.quiet) as bar:
        for event in run_job(job, run_input, run.policy, predictor):
            progress = advance(progress, event, monotonic())
            bar.show(progress)
    for note in progress.notes:
        say(f"{job.image}: {note}")
    say(f"{job.image}: {progress.result_line or 'already done'} -> {job.out}")
    binding = run_input.session.binding
    report: dict[str, Any] = {"image": str(job.image), "out": str(job.out), "model_hash": run.checkpoint.hash}
    report |= {"axes": binding.axis_text, "axes_guessed": binding.is_guessed}
    return {**report, **_run_report(progress), "notes": progress.notes, "peak_bytes": process_peak()}


def _run_report(progress: RunProgress) -> dict[str, Any]:
    """Return the part of a report on the run; empty if the results were complete before."""
    plan, end = progress.plan, progress.result
    if plan is None or end is None:
        return {}
    return {
        "tiles": plan.tiles,
        "resumed": plan.done,
        "halo": plan.halo,
        "predicted_bytes": plan.peak_bytes,
        "seconds": round(end.seconds, 3),
        "device": end.device,
        "precision": end.precision,
    }


def within_total(settings: PredictSettings) -> PredictSettings:
    """Return settings whose memory limit is that of the run, from one of the whole program; on a GPU it stays.

    Raises
    ------
    MemoryShortage
        If the program itself leaves nothing of the limit.
    """
    from napari_fcn.inference.device import pick_device

    if settings.memory is None or pick_device(settings.device).type != "cpu":
        return settings
    used = psutil.Process().memory_info().rss / 2**30
    left = settings.memory - used
    if left < MIN_MEMORY:
        raise MemoryShortage(
            f"--memory {settings.memory:g} is too small: the program itself takes {used:.2f} GiB, and a run needs at "
            f"least {MIN_MEMORY:g} GiB.",
            f"Give at least --memory {ceil(10 * (used + MIN_MEMORY)) / 10:g}.",
        )
    return replace(settings, memory=left)


def _pixel_size_note(voxel_size: str) -> str:
    """Return a sentence on how an ambiguous pixel size was read; empty if it is not ambiguous."""
    if not is_ambiguous(voxel_size):
        return ""
    sizes = _joined(read_numbers(voxel_size))
    return f"--voxel-size {voxel_size} was read as {sizes} µm; decimal commas need 0,5;0,2."


def _joined(sizes: Sequence[float]) -> str:
    return " and ".join(f"{size:g}" for size in sizes)


def _with_pixel_size(binding: Binding, voxel_size: str) -> Binding:
    """Return the binding with the pixel size of ``--voxel-size``, in micrometres; unchanged if it is empty."""
    if not voxel_size:
        return binding
    try:
        sizes = read_numbers(voxel_size)
    except ValueError:
        sizes = ()
    names = binding.axes.image
    space = [position for position, name in enumerate(names) if name in ("z", "y", "x")]
    if len(sizes) != len(space) or not all(0 < size < float("inf") for size in sizes):
        letters = ",".join(names[position].upper() for position in space)
        reading = f", and these are {len(sizes)} numbers: {_joined(sizes)}" if is_ambiguous(voxel_size) else ""
        raise FcnError(
            f"--voxel-size is {voxel_size!r}{reading}; needed are positive numbers in micrometres for {letters}.",
            "Commas separate numbers; with decimal commas, separate them with semicolons, as in 0,5;0,2.",
        )
    axes = list(binding.calibration.axes)
    for position, size in zip(space, sizes, strict=True):
        axes[position] = axes[position].resized(size, "micrometer")
    return replace(binding, calibration=Calibration(tuple(axes)))
