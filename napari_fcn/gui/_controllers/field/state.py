"""The state of the Receptive field dock and the messages of its worker, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_fcn.geometry import Axes
    from napari_fcn.geometry.calibration import Calibration
    from napari_fcn.gui._layers import LayerImage
    from napari_fcn.models.binding import Binding
    from napari_fcn.settings import PredictSettings

CHECKS = ("certificate", "equivariance", "border")


@dataclass(frozen=True, slots=True, eq=False)
class ImageView:
    """An image as a model reads it, read from the layers before the engine runs.

    Attributes
    ----------
    image : LayerImage
        The image.
    binding : Binding
        How the model reads it.
    model : Path
        The model file.
    settings : PredictSettings
        Settings of the predictions.
    """

    image: LayerImage
    binding: Binding
    model: Path
    settings: PredictSettings

    @property
    def axes(self) -> Axes:
        """Role of each axis of the image."""
        return self.binding.axes

    @property
    def calibration(self) -> Calibration:
        """Size, unit and origin of the pixels along each of the image axes."""
        return self.binding.calibration

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of the image axes."""
        return self.axes.image_shape(self.image.shape)


@dataclass(frozen=True, slots=True)
class AxisExtent:
    """The receptive field of a pixel along one axis.

    Attributes
    ----------
    axis : str
        Name of the axis.
    theoretical : int
        Length of the theoretical receptive field in pixels, exact for the phase of the pooling grid.
    first, last : int
        First and last pixel of it that lie inside the image.
    effective : int
        Length of the part with 90 % of the influence, in pixels; 0 if not measured.
    step : float
        Size of a pixel.
    unit : str
        Unit of ``step``; empty if unknown.
    """

    axis: str
    theoretical: int
    first: int
    last: int
    effective: int = 0
    step: float = 1.0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Radius:
    """The radius that contains a share of the influence: in pixels, and in the unit of the image if known."""

    share: float
    pixels: float
    length: float | None = None


@dataclass(frozen=True, slots=True)
class PixelField:
    """The receptive field of one pixel.

    Attributes
    ----------
    image, model : str
        Names of the image and the model.
    pixel : tuple of (str, int)
        The pixel: name of each image axis, and index.
    extents : tuple of AxisExtent
        The receptive field along each axis of the network.
    outside : float
        Share of the theoretical field outside the image, 0..1.
    label : str
        The class whose score is explained; this and all that follows is empty until the influence is measured.
    radii : tuple of Radius
        Radii that contain 50, 90 and 99 % of the influence.
    unit : str
        Unit of the lengths of ``radii``; empty if unknown, or if the units of the axes differ.
    used : float
        Share of the theoretical field with relevant influence, 0..1.
    seconds : float
        Duration of the measurement.
    """

    image: str
    model: str
    pixel: tuple[tuple[str, int], ...]
    extents: tuple[AxisExtent, ...]
    outside: float
    label: str = ""
    radii: tuple[Radius, ...] = ()
    unit: str = ""
    used: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer of the model: name, kind, and per axis its receptive field (0: unbounded), step and start."""

    name: str
    kind: str
    size: tuple[int, ...]
    jump: tuple[float, ...]
    start: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LayerGrowth:
    """The receptive field of each layer of a model.

    Attributes
    ----------
    model : str
        Name of the model.
    axes : tuple of str
        Axes of the model.
    size : tuple of int
        Receptive field of the model per axis, the largest of all phases of the pooling grid.
    layers : tuple of LayerRow
        The layers, in the order of computation.
    unbounded : tuple of str
        Layers with an unbounded receptive field.
    """

    model: str
    axes: tuple[str, ...]
    size: tuple[int, ...]
    layers: tuple[LayerRow, ...]
    unbounded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check as a sentence, with image, model, duration, and whether the pixels were replaced since."""

    kind: str
    sentence: str
    image: str
    model: str
    seconds: float
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class FieldState:
    """The state of the controller that the dock shows.

    Attributes
    ----------
    task : str
        ``"point"``, ``"objects"``, one of `CHECKS`, or empty if no task runs.
    done, total : int
        Steps of the task.
    seconds_left : float or None
        Estimate; None if unknown.
    message, error : str
        The latest event, and the latest error.
    growth : LayerGrowth or None
        Receptive field by layer of the chosen model.
    field : PixelField or None
        Receptive field of the latest pixel.
    objects : float
        Diameter of the objects, in pixels of the finest axis; 0 if unknown.
    advice : str
        Advice on objects of this size.
    check_results : tuple of CheckResult
        The latest result of each check.
    """

    task: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    error: str = ""
    growth: LayerGrowth | None = None
    field: PixelField | None = None
    objects: float = 0.0
    advice: str = ""
    check_results: tuple[CheckResult, ...] = ()

    @property
    def is_checking(self) -> bool:
        """Whether a check runs."""
        return self.task in CHECKS

    def without_task(self) -> FieldState:
        """Return the state without a task."""
        return replace(self, task="", done=0, total=0, seconds_left=None)

    def with_check(self, result: CheckResult) -> FieldState:
        """Return the state with the result of a check, which replaces the previous one of its kind."""
        others = [other for other in self.check_results if other.kind != result.kind]
        return replace(self, check_results=tuple(sorted([*others, result], key=lambda r: CHECKS.index(r.kind))))

    def mark_outdated(self, image: str) -> FieldState:
        """Return the state after the pixels of an image were replaced: without its field, with its checks marked."""
        field = None if self.field is not None and self.field.image == image else self.field
        results = tuple(replace(r, is_outdated=r.is_outdated or r.image == image) for r in self.check_results)
        return replace(self, field=field, check_results=results)

    def check_result(self, kind: str) -> CheckResult | None:
        """Return the result of a check."""
        return next((result for result in self.check_results if result.kind == kind), None)


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisReady:
    """The receptive field of a model; ``analysis`` is a `FieldAnalysis` of `receptive_fields.theoretical`."""

    model: Path
    analysis: Any


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceReady:
    """The influence on a pixel: ``done`` is a `FieldDone`; ``radii`` are in pixels and in ``unit``."""

    done: Any
    radii: tuple[Radius, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ObjectsMeasured:
    """Diameter of the objects in a labels layer, in pixels of the finest axis."""

    pixels: float
