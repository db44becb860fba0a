"""Writes the results of a run to files tile by tile: for the command line and the docks."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_fcn.events import ObjectsStep, ResultsDone, RunDone, TileDone
from napari_fcn.file_names import wrapped
from napari_fcn.io import ResultMeta, open_result
from napari_fcn.io.overwrite import NO_PROTECTION, Protection
from napari_fcn.io.result_kinds import ENCODERS, LANDSCAPE, RESULT_KINDS, encode
from napari_fcn.objects import ObjectRule, Separation, find_objects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from napari_fcn.events import FallbackTaken, PreviewDone, RunPlanned
    from napari_fcn.geometry import Region, TilePlan
    from napari_fcn.io import ResultWriter
    from napari_fcn.io.result_kinds import ResultBlock
    from napari_fcn.runs.resume import UnfinishedRun
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings

    Event = RunPlanned | PreviewDone | TileDone | FallbackTaken | ResultsDone | ObjectsStep | RunDone

    class Predict(Protocol):
        """A function that yields the events of a run without the finished cores, as `Session.predict`."""

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
        The folder of the run until it is complete, from which another run can resume. Without it, a run that fails
        leaves nothing.
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
            The metadata of the files.
        plan : TilePlan, optional
            The tiles; those of `Session.plan` if not given.
        predict : callable, optional
            Called as ``predict(done=..., plan=...)``; yields the events of a run. `Session.predict` if not given.

        Raises
        ------
        InputAtRiskError
            If a file would replace an input.
        OutputError
            If a file exists, cannot be written, or the disk is full.
        """
        self.protection.check_inputs(*self.paths.values())
        with ExitStack() as stack:
            writers = stack.enter_context(self._writers(session, meta))
            kinds = [kind for kind in writers if kind in ENCODERS]
            plan, rule = plan or session.plan(), object_rule(session)
            done = self._finished_cores(plan, {kind: writers[kind] for kind in kinds}, session.area)
            for event in (predict or session.predict)(done=done, plan=plan):
                if isinstance(event, TileDone | ResultsDone):
                    results = event.results if isinstance(event, ResultsDone) else encode(event, kinds, rule)
                    for kind in kinds:
                        writers[kind].write(event.region.relative_to(session.area), results[kind])
                    if self.unfinished is not None:
                        self.unfinished.add(event.region, results)
                if isinstance(event, RunDone) and "objects" in writers:
                    yield from _objects(session, rule, writers)
                yield event
        if self.unfinished is not None:
            self.unfinished.remove()

    @contextmanager
    def _writers(self, session: Session, meta: ResultMeta) -> Iterator[dict[str, ResultWriter]]:
        """Open a writer for each result, and for objects also for their landscape and its pieces."""
        shape, classes = session.area.shape, session.spec.classes
        files = {kind: (path, self.overwrite) for kind, path in self.paths.items()}
        if "objects" in files:
            objects, _ = files["objects"]
            files[LANDSCAPE] = (objects.with_name(wrapped(objects.name, ".", ".landscape.npy")), False)
            files["pieces"] = (objects.with_name(wrapped(objects.name, ".", ".pieces.npy")), False)
        with ExitStack() as stack:
            writers = {}
            for kind in sorted(files):  # objects are closed after probabilities: they can be computed from them
                path, overwrite = files[kind]
                stored_kind = kind if kind in RESULT_KINDS else "objects"
                dtype = ENCODERS[kind][0] if kind in ENCODERS else np.uint32
                array_shape = (classes, *shape) if kind.startswith("probabilities") else shape
                staging = None if self.unfinished is None else self.unfinished.folder / kind
                writer = open_result(path, stored_kind, array_shape, dtype, meta, overwrite, staging, self.protection)
                stack.callback(writer.abort) if kind not in self.paths else stack.enter_context(writer)
                writers[kind] = writer
            yield writers

    def _finished_cores(self, plan: TilePlan, writers: Mapping[str, ResultWriter], area: Region) -> frozenset[Region]:
        """Return the cores that an earlier run has finished; the results cover ``area``."""
        if self.unfinished is None:
            return frozenset()

        def read(region: Region) -> dict[str, ResultBlock | None]:
            return {kind: writer.read(region.relative_to(area)) for kind, writer in writers.items()}

        self.unfinished.begin(plan)
        return frozenset(self.unfinished.stored(plan, read))


def object_rule(session: Session) -> ObjectRule:
    """Return which classes of a model form objects in an image."""
    names = [label.name for label in session.checkpoint.info.classes]
    return ObjectRule.from_class_names(names, session.axes.image, session.axes.space)


def _objects(session: Session, rule: ObjectRule, writers: Mapping[str, ResultWriter]) -> Iterator[ObjectsStep]:
    """Yield progress while the objects in the stored landscape are numbered."""
    stores = (writers[LANDSCAPE], writers["pieces"], writers["objects"])
    separation = Separation.from_settings(session.settings)
    for done, total in enumerate(find_objects(*stores, session.area.shape, rule, separation), start=1):
        yield ObjectsStep(done, total)


def describe(session: Session, source: str, settings: PredictSettings) -> ResultMeta:
    """Return the metadata of result files: axes, pixel sizes, classes and provenance.

    If a region of the image is predicted, the origin of the files is that of the region.

    Parameters
    ----------
    session : Session
        The model on the image.
    source : str
        Path or name of the image.
    settings : PredictSettings
        The settings of the user; those of the session differ on a cluster.
    """
    info = session.checkpoint.info
    provenance: dict[str, object] = {
        "program": "napari-fcn",
        "version": version("napari-fcn"),
        "model": info.card.name,
        "model_hash": session.checkpoint.hash,
        "source": source,
        "device": str(session.device),
        "backend": session.backend_choice.name,
        "precision": str(session.dtype).removeprefix("torch."),
        "settings": asdict(settings),
    }
    if session.measured_size is not None:
        provenance["object_size"] = session.measured_size.identity
    classes = tuple((label.name, label.colour) for label in info.classes)
    calibration = session.binding.calibration.cropped(session.area.start)
    return ResultMeta.from_calibration(session.axes.image, calibration, classes=classes, provenance=provenance)
