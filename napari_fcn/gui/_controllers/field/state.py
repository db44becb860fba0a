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
    """An image under a model, read from the layers before the engine looks at it.

    Attributes
    ----------
    image : LayerImage
        The image.
    binding : Binding
        How the model reads it.
    model : Path
        The model file.
    settings : PredictSettings
        How to run it.
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
        """Of the image axes."""
        return self.axes.image_shape(self.image.shape)


@dataclass(frozen=True, slots=True)
class AxisExtent:
    """The receptive field of a pixel along one axis.

    Attributes
    ----------
    axis : str
        Its name.
    theoretical : int
        Pixels that have any influence, exact at the place of the pixel on the pooling grid.
    first, last : int
        Of those, the ones inside of the image.
    effective : int
        Pixels that hold 90 % of the influence; 0 while nobody knows.
    step : float
        Size of a pixel.
    unit : str
        Of ``step``; empty if nobody knows.
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
    """The distance within which a share of the influence lies: in pixels, and in the unit of the image if known."""

    share: float
    pixels: float
    length: float | None = None


@dataclass(frozen=True, slots=True)
class PixelField:
    """The receptive field of one pixel.

    Attributes
    ----------
    image, model : str
        Names.
    at : tuple of (str, int)
        The pixel: name of each image axis, and index.
    lengths : tuple of Length
        Along each axis of the network.
    outside : float
        Share of the theoretical field that lies outside of the image, 0..1.
    label : str
        The class whose score was asked; empty until the influence was measured, as is all that follows.
    radii : tuple of Radius
        For 50, 90 and 99 %.
    unit : str
        Of the lengths of ``radii``; empty if nobody knows it, or the axes have several.
    used : float
        Share of the theoretical field that counts, 0..1.
    seconds : float
        How long the measurement took.
    """

    image: str
    model: str
    at: tuple[tuple[str, int], ...]
    lengths: tuple[AxisExtent, ...]
    outside: float
    label: str = ""
    radii: tuple[Radius, ...] = ()
    unit: str = ""
    used: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer of the model: name, kind, and per axis what it sees (0: everything), its step and its start."""

    name: str
    kind: str
    size: tuple[int, ...]
    jump: tuple[float, ...]
    start: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LayerGrowth:
    """How the field of a model grows.

    Attributes
    ----------
    model : str
        Its name.
    axes : tuple of str
        Its axes.
    size : tuple of int
        The whole field per axis, at the worst place on the pooling grid.
    layers : tuple of LayerRow
        In the order in which they run.
    unbounded : tuple of str
        Those that look at everything.
    """

    model: str
    axes: tuple[str, ...]
    size: tuple[int, ...]
    layers: tuple[LayerRow, ...]
    unbounded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found: which check, the sentence, on what, how long it took, and whether on earlier pixels."""

    kind: str
    sentence: str
    image: str
    model: str
    seconds: float
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class FieldState:
    """All that the dock shows of the controller.

    Attributes
    ----------
    task : str
        ``"point"``, ``"objects"``, one of `CHECKS`, or empty if nothing goes on.
    done, total : int
        Steps of it.
    seconds_left : float or None
        Estimate; None while nobody knows.
    message, error : str
        What happens or happened, and what went wrong.
    growth : LayerGrowth or None
        Of the chosen model.
    field : PixelField or None
        Of the latest pixel.
    objects : float
        Diameter of the objects, in pixels of the finest axis; 0 if not known.
    advice : str
        What to do about objects of this size.
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
        """Whether something goes on that takes long."""
        return self.task in CHECKS

    def at_rest(self) -> FieldState:
        """Return the state without a task."""
        return replace(self, task="", done=0, total=0, seconds_left=None)

    def with_check(self, result: CheckResult) -> FieldState:
        """Return the state with the result of a check in place of the earlier one of its kind."""
        others = [earlier for earlier in self.check_results if earlier.kind != result.kind]
        return replace(self, check_results=tuple(sorted([*others, result], key=lambda r: CHECKS.index(r.kind))))

    def outdate(self, image: str) -> FieldState:
        """Return the state after the pixels of an image were replaced: without its field, its checks marked."""
        field = None if self.field is not None and self.field.image == image else self.field
        results = tuple(replace(r, is_outdated=r.is_outdated or r.image == image) for r in self.check_results)
        return replace(self, field=field, check_results=results)

    def check_result(self, kind: str) -> CheckResult | None:
        """Return the result of a check."""
        return next((one for one in self.check_results if one.kind == kind), None)


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisReady:
    """The receptive field of a model; ``analysis`` is a `FieldAnalysis` of `receptive_fields.theoretical`."""

    model: Path
    analysis: Any


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceReady:
    """The influence on a pixel is there; ``done`` is `FieldDone`, ``radii`` are in pixels and in units."""

    done: Any
    radii: tuple[Radius, ...] = ()
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ObjectsMeasured:
    """Diameter of the objects in a layer of labels, in pixels of the finest axis."""

    pixels: float
