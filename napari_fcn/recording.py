"""A prediction that writes its results to files as it goes: what the command line and the dock share."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import TileDone
from napari_fcn.geometry import Axes
from napari_fcn.io import ResultMeta, open_result
from napari_fcn.io.units import micrometres
from napari_fcn.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import RunDone, RunPlanned, SteppedDown
    from napari_fcn.geometry import Region
    from napari_fcn.io import ImageFile
    from napari_fcn.models.checkpoint import Checkpoint
    from napari_fcn.settings import PredictSettings

    Block = npt.NDArray[np.generic]


def _classes(probabilities: npt.NDArray[np.float32]) -> Block:
    answer: Block = probabilities.argmax(0).astype(np.uint8)
    return answer


def _probabilities(probabilities: npt.NDArray[np.float32]) -> Block:
    return probabilities


FORMS: Mapping[str, tuple[type[np.generic], Callable[[npt.NDArray[np.float32]], Block]]] = {
    "classes": (np.uint8, _classes),
    "probabilities": (np.float32, _probabilities),
    "probabilities8": (np.uint8, _probabilities),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """Which results go to which files.

    Attributes
    ----------
    paths : mapping of str to Path
        A file for each kind of result: classes, probabilities, probabilities8.
    overwrite : bool
        Whether files that exist may be replaced.
    """

    paths: Mapping[str, Path]
    overwrite: bool = False

    def run(
        self, session: Session, meta: ResultMeta, first: Region | None = None
    ) -> Iterator[RunPlanned | TileDone | SteppedDown | RunDone]:
        """Predict, write each tile, pass every event on; the files appear complete or not at all.

        Raises
        ------
        OutputError
            If a file exists, cannot be written, or the disk is full.
        """
        with ExitStack() as stack:
            writers = []
            for kind, path in self.paths.items():
                dtype, form = FORMS[kind]
                channels = () if kind == "classes" else (session.spec.classes,)
                shape = (*channels, *session.source.shape)
                writer = stack.enter_context(open_result(path, kind, shape, dtype, meta, self.overwrite))
                writers.append((writer, form))
            for event in session.predict(first):
                if isinstance(event, TileDone):
                    for writer, form in writers:
                        writer.write(event.region, form(event.probabilities))
                yield event


def open_session(image: ImageFile, checkpoint: Checkpoint, names: str, settings: PredictSettings) -> Session:
    """Return a session on an image file; ``names`` (as ``tzyx``) overrules the axes that the file states.

    Raises
    ------
    FcnError
        If the axes, the image and the model do not fit each other.
    """
    try:
        given = tuple(names.lower()) or image.axes or None
        spec = checkpoint.info.spec
        axes = Axes.guess(image.data.shape, spec.ndim, given, image.rgb, spec.time)
    except ValueError as error:
        raise ImageError(f"{image.path}: {error}") from error
    return Session(image.data, checkpoint, axes, settings, image.rgb, spacing(image, axes))


def spacing(image: ImageFile, axes: Axes) -> tuple[float, ...]:
    """Return the pixel size per axis of the network in micrometres, 0 for axes without a length; empty if none has."""
    places = [axes.names.index(name) for name in axes.space]
    sizes = tuple(micrometres(image.scale[i], image.units[i]) for i in places)
    return sizes if any(sizes) else ()


def describe(session: Session, image: ImageFile, settings: PredictSettings) -> ResultMeta:
    """Return what a result file says of itself: axes, spacing, classes, and what it was made from and with."""
    info = session.checkpoint.info
    kept = [i for i, name in enumerate(session.axes.names) if name != session.axes.channel]
    return ResultMeta(
        axes=session.axes.image,
        scale=tuple(image.scale[i] for i in kept),
        units=tuple(image.units[i] for i in kept),
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
