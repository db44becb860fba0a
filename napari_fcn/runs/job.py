"""The run of one image to its result files, new or resumed: for the command line and the Batch dock."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Self

from napari_fcn.errors import REPLACE, Advice, OutputExistsError
from napari_fcn.io import disk
from napari_fcn.io.fingerprint import FileSummary
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.result_reader import read_provenance
from napari_fcn.io.run_inputs import IMAGE_INPUT, collect_inputs
from napari_fcn.objects.size_choice import SizeChoice
from napari_fcn.options import AUTO
from napari_fcn.runs.resume import (
    UnfinishedRun,
    folder_of,
    is_finished,
    run_digest,
    run_identity,
    source_of,
    stored_identity,
    with_backend,
)
from napari_fcn.runs.writer import RunWriter, describe
from napari_fcn.settings import OPENVINO, TORCH
from napari_fcn.storage import NO_INPUTS, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.distributed import DistributedPredictor
    from napari_fcn.geometry import TilePlan
    from napari_fcn.io import ImageFile, ImageLocation, ResultMeta
    from napari_fcn.runs.writer import Event
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings


@dataclass(frozen=True, slots=True)
class RunJob:
    """One image and its results.

    Attributes
    ----------
    image : Path
        The image; for a stack of files the folder or pattern that names them.
    out : Path
        The result file, or the folder of several. The folder of an unfinished run lies next to it.
    targets : mapping of str to Path
        A file for each kind of result.
    origin : ImageLocation
        How the image is read, here or on another computer.
    is_named : bool
        Whether the user named the result. If its name was made from that of the image, an existing file is replaced
        only if it is marked as a result.
    note : str
        A sentence for the user on the names of the results; empty if there is nothing to say.
    """

    image: Path
    out: Path
    targets: Mapping[str, Path]
    origin: ImageLocation
    is_named: bool = False
    note: str = ""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders of the image: each file of a stack, and the folder that was named."""
        return (*self.origin.paths, self.image) if self.image.is_dir() else self.origin.paths

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files and folders that are written or removed."""
        return (*self.targets.values(), folder_of(self.out))


@dataclass(frozen=True, slots=True)
class OutputPolicy:
    """How a job is run, and which existing files it may replace.

    Attributes
    ----------
    settings : PredictSettings
        How to run the network.
    resume : bool
        Whether results of the same run are kept, and an unfinished one is resumed.
    overwrite : bool
        Whether other results may be replaced; without ``resume`` all of them.
    renew : bool
        Whether, with ``resume``, an unfinished run with different settings may be removed.
    inputs : Inputs
        Files that must not be replaced, besides the image: the model, and all images of the same command or batch.
    """

    settings: PredictSettings
    resume: bool = False
    overwrite: bool = False
    renew: bool = False
    inputs: Inputs = NO_INPUTS


@dataclass(frozen=True, slots=True, eq=False)
class RunInput:
    """An opened image with a model on it.

    Attributes
    ----------
    image : ImageFile
        The image.
    session : Session
        The model on it.
    files : FileSummary
        The state of its files when it was opened.
    """

    image: ImageFile
    session: Session
    files: FileSummary

    @classmethod
    def of(cls, image: ImageFile, session: Session) -> Self:
        """Return the input of a run with the state of the image files as it is now."""
        return cls(image, session, FileSummary.of(image))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on the image file."""
        return (*self.image.notes, *filter(None, [self.files.note]))


def run_job(
    job: RunJob, run_input: RunInput, policy: OutputPolicy, distributed: DistributedPredictor | None = None
) -> Iterator[Event]:
    """Yield the events of a run that writes the results of a job; nothing if all of them are finished.

    The files appear complete or not at all. If the run is stopped, its finished tiles are kept, and another run can
    resume it.

    Parameters
    ----------
    job : RunJob
        The image and the files of its results.
    run_input : RunInput
        The opened image with the model on it.
    policy : OutputPolicy
        How to run, and what may be replaced.
    distributed : DistributedPredictor, optional
        Workers that predict instead of the session.

    Raises
    ------
    InputAtRiskError
        If a file would replace the image or another input.
    OutputExistsError
        If another result or an unfinished run with different settings exists, and may not be replaced.
    OutputError
        If a file cannot be written.
    """
    for path in job.targets.values():
        disk.check_name_length(path)
    protection = Protection((policy.inputs, collect_inputs({IMAGE_INPUT: job.inputs})), only_results=not job.is_named)
    protection.check_inputs(*job.outputs)
    session = run_input.session
    if distributed is None:
        use_size_of_earlier_run(job, session, policy)
    if policy.resume and distributed is None and policy.settings.backend == AUTO:
        _use_backend_of_earlier_run(job, run_input, policy)
    meta = describe(session, str(run_input.image.path), policy.settings)
    if distributed is not None:
        planned = distributed.planned
        run = {"device": planned.device, "precision": planned.precision, "backend": planned.backend}
        meta = _with_provenance(meta, run)
    identity = run_identity(run_input, meta, job.targets)
    digest = run_digest(identity, run_input.files)
    is_left = [not (policy.resume and is_finished(path, digest)) for path in job.targets.values()]
    targets = dict(compress(job.targets.items(), is_left))
    with closing(UnfinishedRun(job.out, identity, source_of(run_input))) as unfinished:
        if not targets:
            unfinished.clear()
            return
        plan = _plan(session, policy, unfinished, distributed)
        predict = session.predict if distributed is None else partial(distributed.predict, session)
        writer = RunWriter(targets, policy.overwrite, unfinished, protection)
        yield from writer.run(session, _with_provenance(meta, {"run": digest}), plan, predict)


def use_size_of_earlier_run(job: RunJob, session: Session, policy: OutputPolicy) -> None:
    """Use the size of objects that an earlier run of this job, finished or not, has measured, if it is resumed."""
    if not policy.resume or session.settings.object_size != AUTO:
        return
    identity = stored_identity(job.out) or {}
    stored = [identity.get("measured"), *(read_provenance(path).get("object_size") for path in job.targets.values())]
    if choice := next(filter(None, map(SizeChoice.stored, stored)), None):
        session.use_measured_size(choice)


def _use_backend_of_earlier_run(job: RunJob, run_input: RunInput, policy: OutputPolicy) -> None:
    """Choose the other back end if an earlier run of this job, finished or not, used it."""
    session = run_input.session
    identity = run_identity(run_input, describe(session, str(run_input.image.path), policy.settings), job.targets)
    name = TORCH if session.backend_choice.name == OPENVINO else OPENVINO
    other = with_backend(identity, name)
    if not _was_started(job, run_input, identity) and _was_started(job, run_input, other):
        session.use_backend(name)


def _was_started(job: RunJob, run_input: RunInput, identity: Mapping[str, object]) -> bool:
    """Whether a run is unfinished, or has finished one of its results."""
    if stored_identity(job.out) == identity:
        return True
    digest = run_digest(identity, run_input.files)
    return any(is_finished(path, digest) for path in job.targets.values())


def _with_provenance(meta: ResultMeta, facts: Mapping[str, str]) -> ResultMeta:
    return replace(meta, provenance={**meta.provenance, **facts})


def _plan(
    session: Session, policy: OutputPolicy, unfinished: UnfinishedRun, distributed: DistributedPredictor | None
) -> TilePlan:
    """Return the tiles of the run that is resumed, else new ones, for which the folder of the run is emptied.

    Raises
    ------
    OutputExistsError
        If there is an unfinished run that may not be removed, or the user asks for other tiles than those of the run.
    """
    resumed = _along_network(session, _tile_to_resume(policy, unfinished))
    if resumed and not policy.settings.tile:
        return session.plan_with_tile(resumed)
    if distributed is None:
        plan = session.plan()
    else:
        plan = session.plan_with_tile(_along_network(session, distributed.planned.tile))
    tile = _along_network(session, plan.tile)
    if resumed and resumed != tile:
        raise OutputExistsError(
            f"{unfinished.folder} contains an unfinished run",
            Advice(
                f"with --tile {_listed(resumed)}; --tile {_listed(tile)} was given. Leave it out, or start over with "
                "--overwrite instead of --resume.",
                f"with tiles of {_listed(resumed)} px; tiles of {_listed(tile)} px are set. {REPLACE}",
            ),
        )
    if not resumed:
        unfinished.reset()
    return plan


def _tile_to_resume(policy: OutputPolicy, unfinished: UnfinishedRun) -> tuple[int, ...]:
    """Return the tile of the unfinished run if it is resumed, else (): its folder may then be emptied."""
    if policy.resume:
        try:
            return unfinished.resume()
        except OutputExistsError:
            if not policy.renew:
                raise
    elif unfinished.exists and not policy.overwrite:
        raise OutputExistsError(
            f"{unfinished.folder} contains an unfinished run.",
            Advice("Add --resume to resume it, or --overwrite to start over.", REPLACE),
        )
    return ()


def _along_network(session: Session, tile: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of a tile along the axes of the network."""
    return tuple(tile[position] for position in session.axes.space_positions if tile)


def _listed(tile: Sequence[int]) -> str:
    return ",".join(map(str, tile))
