"""The jobs of the Receptive field dock on the worker thread."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fcn.gui._controllers.field.state import AnalysisReady, ImageView, InfluenceReady, ObjectsMeasured, Radius
from napari_fcn.gui._layers import LayerImage, preload_layer_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.events import FieldDone
    from napari_fcn.geometry import Region
    from napari_fcn.gui._controllers.model_catalog import ModelCache
    from napari_fcn.session import Session

SHARES = (0.5, 0.9, 0.99)


class FieldWorker:
    """Runs the analyses; keeps the latest model and image open, so that the next pixel is fast."""

    def __init__(self, loaded: ModelCache) -> None:
        self._loaded = loaded
        self._key: tuple[object, ...] = ()
        self._session: Session | None = None

    def analyze(self, model: Path) -> Iterator[AnalysisReady | None]:
        """Yield the receptive field of a model, then run it on the smallest image to warm up."""
        preload_layer_modules()
        yield None
        checkpoint = self._loaded.load(model)
        spec = checkpoint.info.spec
        from napari_fcn.receptive_fields.theoretical import analyze
        from napari_fcn.session import Session

        analysis = analyze(spec)
        yield AnalysisReady(model, analysis)
        if analysis.unbounded:
            return
        blank = np.zeros((spec.channels, *spec.minimum), np.uint8)
        axes = LayerImage("", blank, ("c", *"zyx"[-spec.ndim :]), False).axes(spec.ndim)
        session = Session(blank, checkpoint, axes)
        yield None
        for _ in session.influence_at([0] * spec.ndim):
            yield None

    def measure_at(
        self, view: ImageView, index: Sequence[int], label: int | None
    ) -> Iterator[AnalysisReady | InfluenceReady]:
        """Yield the receptive field of the model, then the influence on a pixel.

        Raises
        ------
        FcnError
            If the image, the model or the pixel is not suitable, or the receptive field is unbounded.
        """
        session = self._open(view)
        yield AnalysisReady(view.model, session.analysis)
        for done in session.influence_at(index, label):
            yield _influence_ready(view, done)

    def run_check(self, kind: str, view: ImageView, region: Region) -> Iterator[Any]:
        """Yield the progress of a check of a region, then its result."""
        session = self._open(view)
        checks = {
            "certificate": session.certify,
            "equivariance": session.equivariance,
            "border": session.border_trust,
        }
        with closing(checks[kind](region)) as events:  # type: ignore[type-var]  # generators can be closed
            yield from events

    def _open(self, view: ImageView) -> Session:
        from napari_fcn.session import Session

        checkpoint = self._loaded.load(view.model)
        key = (view.image.data, checkpoint, view.binding, view.settings)
        is_same = len(key) == len(self._key) and key[0] is self._key[0] and key[1] is self._key[1]
        if self._session is None or not is_same or key[2:] != self._key[2:]:
            self._session = Session(view.image.data, checkpoint, view.binding, view.settings)
            self._key = key
        return self._session

    def clear(self) -> None:
        """Release the image; the next measurement reads it again."""
        self._key, self._session = (), None


def measure_objects(labels: npt.NDArray[Any], spacing: Sequence[float]) -> Iterator[ObjectsMeasured]:
    """Yield the typical diameter of the objects in a labels array, in pixels of the finest axis."""
    from napari_fcn.receptive_fields.advice import object_size

    yield ObjectsMeasured(object_size(np.asarray(labels), spacing))


def _influence_ready(view: ImageView, done: FieldDone) -> InfluenceReady:
    """Return the influence, with radii in the unit of the image if its space axes share one."""
    from napari_fcn.receptive_fields.effective import EffectiveField

    space = view.calibration.take(view.axes.space_positions).axes
    units = {axis.unit for axis in space}
    unit = next(iter(units)) if len(units) == 1 and all(axis.is_known for axis in space) else ""
    field = EffectiveField(done.region, done.heat, done.index, done.label)
    steps = view.calibration.scale
    pixels = (done.r50, done.r90, done.r99)
    lengths = [field.radius(share, steps) if unit else None for share in SHARES]
    radii = tuple(Radius(*values) for values in zip(SHARES, pixels, lengths, strict=True))
    return InfluenceReady(done, radii, unit)
