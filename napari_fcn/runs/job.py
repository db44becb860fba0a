"""One image and the files of its results, begun, gone on with, or done already: for the command line and the dock."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

from napari_fcn.errors import REPLACE, Advice, OutputExistsError
from napari_fcn.io import disk
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.run_inputs import IMAGE_INPUT, collect_inputs
from napari_fcn.runs.resume import UnfinishedRun, folder_of, is_finished, run_digest, run_identity, source_of
from napari_fcn.runs.writer import RunWriter, describe
from napari_fcn.storage import NO_INPUTS, Inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.distributed import DistributedPredictor
    from napari_fcn.io import ImageFile, ImageLocation
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
    origin : Origin
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


def run_job(
    job: RunJob,
    image: ImageFile,
    session: Session,
    policy: OutputPolicy,
    distributed: DistributedPredictor | None = None,
) -> Iterator[Event]:
    """Yield the events of a run that writes the results of a job; nothing if all of them are there already.

    The files appear complete or not at all. What a run has done that does not reach its end is kept for another that
    resumes it.

    Parameters
    ----------
    job : Job
        What is to be made.
    image : ImageFile
        The image, opened.
    session : Session
        The model on it.
    terms : Terms
        How to run, and what becomes of what is there.
    hired : Hired, optional
        Workers that answer instead of the session.

    Raises
    ------
    InputAtRiskError
        If a file would replace the image, or something else that is read.
    OutputExistsError
        If another result or another run's work is there, and may not be replaced.
    OutputError
        If a file cannot be written.
    """
    for path in job.targets.values():
        disk.check_name_length(path)
    protection = Protection((policy.inputs, collect_inputs({IMAGE_INPUT: job.inputs})), only_results=not job.is_named)
    protection.check_inputs(*job.outputs)
    told = (
        {}
        if distributed is None
        else {"device": distributed.planned.device, "precision": distributed.planned.precision}
    )
    meta = describe(session, image, policy.settings)
    meta = replace(meta, provenance={**meta.provenance, **told})
    same = run_identity(session, image, meta, job.targets)
    sealed = run_digest(same, image)
    meta = replace(meta, provenance={**meta.provenance, "run": sealed})
    is_left = [not (policy.resume and is_finished(path, sealed)) for path in job.targets.values()]
    targets = dict(compress(job.targets.items(), is_left))
    tile = _along_network(session, session.plan().tile if distributed is None else distributed.planned.tile)
    with closing(UnfinishedRun(job.out, same, source_of(session, image))) as work:
        if not targets:
            work.clear()
            return
        known = _along_network(session, _take(policy, work))
        if known and policy.settings.tile and known != tile:
            work.close()
            raise OutputExistsError(
                f"{work.folder} holds a run",
                Advice(
                    f"with --tile {_listed(known)}; --tile {_listed(tile)} was given. Leave it out, or start anew with "
                    "--overwrite instead of --resume.",
                    f"with tiles of {_listed(known)} px; tiles of {_listed(tile)} px are set. {REPLACE}",
                ),
            )
        session = session.with_tile(known or tile)
        predict = None if distributed is None else partial(distributed.predict, session)
        yield from RunWriter(targets, policy.overwrite, work, protection).run(session, meta, predict=predict)


def _take(terms: OutputPolicy, work: UnfinishedRun) -> tuple[int, ...]:
    """Take the folder of the work; return the tile of the run that lies there and is gone on with, () if none is."""
    if terms.resume:
        try:
            return work.resume()
        except OutputExistsError:
            if not terms.renew:
                raise
    elif work.exists and not terms.overwrite:
        raise OutputExistsError(
            f"{work.folder} holds the work of a run that did not reach its end.",
            Advice("Add --resume to go on with it, or --overwrite to start anew.", REPLACE),
        )
    work.reset()
    return ()


def _along_network(session: Session, tile: Sequence[int]) -> tuple[int, ...]:
    return tuple(tile[position] for position in session.axes.space_positions if tile)


def _listed(tile: Sequence[int]) -> str:
    return ",".join(map(str, tile))
