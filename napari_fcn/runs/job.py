"""One image and the files of its results, begun, gone on with, or done already: for the command line and the dock."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

from napari_fcn.errors import REPLACE, Advice, OutputExistsError
from napari_fcn.io import disk
from napari_fcn.io.fingerprint import FileSummary
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.run_inputs import IMAGE_INPUT, collect_inputs
from napari_fcn.runs.resume import UnfinishedRun, folder_of, is_finished, run_digest, run_identity, source_of
from napari_fcn.runs.writer import RunWriter, describe, open_session
from napari_fcn.storage import NO_INPUTS, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.distributed import DistributedPredictor
    from napari_fcn.geometry import TilePlan
    from napari_fcn.io import ImageFile, ImageLocation, ResultMeta
    from napari_fcn.models.checkpoint import Checkpoint
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
        Where its results are: a file, or a folder if there are several. Unfinished work lies beside it.
    targets : mapping of str to Path
        A file for each kind of result.
    origin : ImageLocation
        How the image is read, here or on another computer.
    is_named : bool
        Whether the user named the result itself. Where its name was made from that of the image, a file that is there
        is replaced only if it says that it is a result.
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
        """Files and folders of the image: of a stack each of its files, and the folder that was named."""
        return (*self.origin.paths, self.image) if self.image.is_dir() else self.origin.paths

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files and folders that are written or removed."""
        return (*self.targets.values(), folder_of(self.out))


@dataclass(frozen=True, slots=True)
class OutputPolicy:
    """How a job is done, and what becomes of what is there already.

    Attributes
    ----------
    settings : PredictSettings
        How to run the network.
    resume : bool
        Whether results of the very same run are kept, and unfinished ones gone on with.
    overwrite : bool
        Whether other results may be replaced; without ``resume`` all of them.
    renew : bool
        Whether, under ``resume``, the unfinished work of another run gives way too.
    inputs : Inputs
        What must survive besides the image: the model, and all images of the same command or batch.
    """

    settings: PredictSettings
    resume: bool = False
    overwrite: bool = False
    renew: bool = False
    inputs: Inputs = NO_INPUTS


@dataclass(frozen=True, slots=True, eq=False)
class RunInput:
    """An image that is open, and the model on it.

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

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on the image file."""
        return (*self.image.notes, *filter(None, [self.files.note]))


def open_input(image: ImageFile, checkpoint: Checkpoint, names: Sequence[str], settings: PredictSettings) -> RunInput:
    """Return an image with a model on it; ``names`` (as ``tzyx``) overrules the axes that the file states.

    Raises
    ------
    FcnError
        If the axes, the image and the model do not fit each other.
    """
    return RunInput(image, open_session(image, checkpoint, names, settings), FileSummary.of(image))


def run_job(
    job: RunJob, given: RunInput, policy: OutputPolicy, distributed: DistributedPredictor | None = None
) -> Iterator[Event]:
    """Yield the events of a run that writes the results of a job; nothing if all of them are finished already.

    The files appear complete or not at all. The work of a run that does not reach its end is kept, and another run can
    resume it.

    Parameters
    ----------
    job : RunJob
        The image and the files of its results.
    given : RunInput
        The image, opened, with the model on it.
    policy : OutputPolicy
        How to run, and what may be replaced.
    distributed : DistributedPredictor, optional
        Workers that predict instead of the session.

    Raises
    ------
    InputAtRiskError
        If a file would replace the image, or something else that is read.
    OutputExistsError
        If another result or the unfinished work of another run exists, and may not be replaced.
    OutputError
        If a file cannot be written.
    """
    for path in job.targets.values():
        disk.check_name_length(path)
    protection = Protection((policy.inputs, collect_inputs({IMAGE_INPUT: job.inputs})), only_results=not job.is_named)
    protection.check_inputs(*job.outputs)
    session = given.session
    meta = describe(session, given.image, policy.settings)
    if distributed is not None:
        planned = distributed.planned
        meta = _with_provenance(meta, {"device": planned.device, "precision": planned.precision})
    identity = run_identity(given, meta, job.targets)
    digest = run_digest(identity, given.files)
    is_left = [not (policy.resume and is_finished(path, digest)) for path in job.targets.values()]
    targets = dict(compress(job.targets.items(), is_left))
    with closing(UnfinishedRun(job.out, identity, source_of(given))) as work:
        if not targets:
            work.clear()
            return
        plan = session.plan() if distributed is None else session.plan_with_tile(_along_network(session, planned.tile))
        plan = _resumed_plan(session, plan, policy, work)
        predict = None if distributed is None else partial(distributed.predict, session)
        writer = RunWriter(targets, policy.overwrite, work, protection)
        yield from writer.run(session, _with_provenance(meta, {"run": digest}), plan, predict)


def _with_provenance(meta: ResultMeta, facts: Mapping[str, str]) -> ResultMeta:
    return replace(meta, provenance={**meta.provenance, **facts})


def _resumed_plan(session: Session, plan: TilePlan, policy: OutputPolicy, work: UnfinishedRun) -> TilePlan:
    """Take the folder of the work; return the plan of the run that is resumed there, else the given one.

    Raises
    ------
    OutputExistsError
        If the user asks for other tiles than those of the run.
    """
    resumed, tile = _along_network(session, _take(policy, work)), _along_network(session, plan.tile)
    if not resumed or resumed == tile:
        return plan
    if policy.settings.tile:
        work.close()
        raise OutputExistsError(
            f"{work.folder} contains an unfinished run",
            Advice(
                f"with --tile {_listed(resumed)}; --tile {_listed(tile)} was given. Leave it out, or start over with "
                "--overwrite instead of --resume.",
                f"with tiles of {_listed(resumed)} px; tiles of {_listed(tile)} px are set. {REPLACE}",
            ),
        )
    return session.plan_with_tile(resumed)


def _take(policy: OutputPolicy, work: UnfinishedRun) -> tuple[int, ...]:
    """Take the folder of the work; return the tile of the run in it that is resumed, () if none is."""
    if policy.resume:
        try:
            return work.resume()
        except OutputExistsError:
            if not policy.renew:
                raise
    elif work.exists and not policy.overwrite:
        raise OutputExistsError(
            f"{work.folder} contains an unfinished run.",
            Advice("Add --resume to resume it, or --overwrite to start over.", REPLACE),
        )
    work.reset()
    return ()


def _along_network(session: Session, tile: Sequence[int]) -> tuple[int, ...]:
    return tuple(tile[position] for position in session.axes.space_positions if tile)


def _listed(tile: Sequence[int]) -> str:
    return ",".join(map(str, tile))
