"""A prediction that writes its results to files as it goes: what the command line and the dock share."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import ObjectsStep, ResultsDone, RunDone, TileDone
from napari_fcn.file_names import wrapped
from napari_fcn.io import ResultMeta, open_result
from napari_fcn.io.overwrite import NO_PROTECTION, Protection
from napari_fcn.io.result_kinds import ENCODERS, encode
from napari_fcn.models.binding import ImageForm, bind
from napari_fcn.objects import ObjectRule, find_objects
from napari_fcn.session import Session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_fcn.events import FallbackTaken, RunPlanned
    from napari_fcn.geometry import Region, TilePlan
    from napari_fcn.io import ImageFile, ResultWriter
    from napari_fcn.io.result_kinds import ResultBlock
    from napari_fcn.models.binding import Binding, NetworkShape
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.runs.resume import UnfinishedRun
    from napari_fcn.settings import PredictSettings

    Event = RunPlanned | TileDone | FallbackTaken | ResultsDone | ObjectsStep | RunDone

    class Predict(Protocol):
        """Yields the events of a run that leaves out the cores which are finished."""

        def __call__(self, *, done: Collection[Region], plan: TilePlan) -> Iterator[Event]:
            """Return the events."""


@dataclass(frozen=True, slots=True)
class RunWriter:
    """Predicts an image and writes each kind of result to its file.

    Attributes
    ----------
    paths : mapping of str to Path
        A file for each kind of result: classes, probabilities, probabilities8, objects.
    overwrite : bool
        Whether existing files may be replaced.
    unfinished : UnfinishedRun, optional
        The folder of the run until it is complete, from which another run can resume. Without it, nothing is kept of a
        run that fails.
    protection : Protection
        Files that must not be replaced.
    """

    paths: Mapping[str, Path]
    overwrite: bool = False
    unfinished: UnfinishedRun | None = None
    protection: Protection = NO_PROTECTION

    def run(
        self,
        session: Session,
        meta: ResultMeta,
        plan: TilePlan | None = None,
        predict: Predict | None = None,
    ) -> Iterator[Event]:
        """Predict, write each tile, yield every event; the files appear complete or not at all.

        Parameters
        ----------
        session : Session
            The model on the image.
        meta : ResultMeta
            What the files say of themselves.
        plan : TilePlan, optional
            The tiles; without it those that `Session.plan` returns.
        predict : callable, optional
            Called as ``predict(done=..., plan=...)``; yields the events of a run. Without it the session predicts.

        Raises
        ------
        InputAtRiskError
            If a file would replace something that is read.
        OutputError
            If a file exists, cannot be written, or the disk is full.
        """
        self.protection.check_inputs(*self.paths.values())
        with ExitStack() as stack:
            writers = stack.enter_context(self._writers(session, meta))
            kinds = [kind for kind in writers if kind in ENCODERS]
            plan = plan or session.plan()
            done = self._finished_cores(plan, {kind: writers[kind] for kind in kinds})
            for event in (predict or session.predict)(done=done, plan=plan):
                if isinstance(event, TileDone | ResultsDone):
                    results = event.results if isinstance(event, ResultsDone) else encode(event.probabilities, kinds)
                    for kind in kinds:
                        writers[kind].write(event.region, results[kind])
                    if self.unfinished is not None:
                        self.unfinished.add(event.region, results)
                if isinstance(event, RunDone) and "objects" in writers:
                    yield from _objects(session, writers)
                yield event
        if self.unfinished is not None:
            self.unfinished.remove()

    @contextmanager
    def _writers(self, session: Session, meta: ResultMeta) -> Iterator[dict[str, ResultWriter]]:
        """Open what is written to: each result, and for objects the classes and a place for their pieces."""
        shape, several = session.source.shape, session.spec.classes
        wanted = {kind: (path, self.overwrite) for kind, path in self.paths.items()}
        if "objects" in wanted:
            beside = wanted["objects"][0]
            wanted.setdefault("classes", (beside.with_name(wrapped(beside.name, ".", ".classes.npy")), False))
            wanted["pieces"] = (beside.with_name(wrapped(beside.name, ".", ".pieces.npy")), False)
        with ExitStack() as stack:
            writers = {}
            for kind in sorted(wanted):  # classes are closed last: objects can be made from them again
                path, overwrite = wanted[kind]
                stored = "objects" if kind == "pieces" else kind
                dtype = ENCODERS[kind][0] if kind in ENCODERS else np.uint32
                whole = (several, *shape) if kind.startswith("probabilities") else shape
                staging = None if self.unfinished is None else self.unfinished.folder / kind
                writer = open_result(path, stored, whole, dtype, meta, overwrite, staging, self.protection)
                stack.callback(writer.abort) if kind not in self.paths else stack.enter_context(writer)
                writers[kind] = writer
            yield writers

    def _finished_cores(self, plan: TilePlan, writers: Mapping[str, ResultWriter]) -> frozenset[Region]:
        """Return the cores of the tiles that an earlier run has finished."""
        if self.unfinished is None:
            return frozenset()

        def read(region: Region) -> dict[str, ResultBlock | None]:
            return {kind: writer.read(region) for kind, writer in writers.items()}

        self.unfinished.begin(plan)
        return frozenset(self.unfinished.stored(plan, read))


def _objects(session: Session, writers: Mapping[str, ResultWriter]) -> Iterator[ObjectsStep]:
    """Make objects from the classes that are stored."""
    names = [label.name for label in session.checkpoint.info.classes]
    rule = ObjectRule.from_class_names(names, session.axes.image, session.axes.space)
    stores = (writers["classes"], writers["pieces"], writers["objects"])
    for done, total in enumerate(find_objects(*stores, session.source.shape, rule), start=1):
        yield ObjectsStep(done, total)


def bind_file(image: ImageFile, network: NetworkShape, names: Sequence[str]) -> Binding:
    """Return how a network reads an image file; ``names`` (as ``tzyx``) overrules the axes that the file states.

    Raises
    ------
    ImageError
        If the axes, the image and the network do not fit each other.
    """
    form = ImageForm(tuple(image.data.shape), image.axes, image.rgb or None, image.calibration)
    try:
        return bind(form, network, names)
    except ImageError as error:
        raise ImageError(f"{image.path}: {error.short}", error.advice) from error


def open_session(image: ImageFile, checkpoint: Checkpoint, names: Sequence[str], settings: PredictSettings) -> Session:
    """Return a session on an image file; ``names`` (as ``tzyx``) overrules the axes that the file states.

    Raises
    ------
    FcnError
        If the axes, the image and the model do not fit each other.
    """
    bound = bind_file(image, checkpoint.info.spec, names)
    return Session(image.data, checkpoint, bound, settings)


def describe(session: Session, image: ImageFile, settings: PredictSettings) -> ResultMeta:
    """Return the metadata of a result file: axes, pixel sizes, classes, and what it was made from and with."""
    info = session.checkpoint.info
    return ResultMeta.from_calibration(
        session.axes.image,
        session.binding.calibration,
        classes=tuple((label.name, label.colour) for label in info.classes),
        provenance=provenance(session, str(image.path), settings),
    )


def provenance(session: Session, source: str, settings: PredictSettings) -> dict[str, Any]:
    """Return where a result comes from, as plain data."""
    return {
        "program": "napari-fcn",
        "version": version("napari-fcn"),
        "model": session.checkpoint.info.card.name,
        "model_hash": session.checkpoint.hash,
        "source": source,
        "device": str(session.device),
        "precision": str(session.dtype).removeprefix("torch."),
        "settings": asdict(settings),
    }
