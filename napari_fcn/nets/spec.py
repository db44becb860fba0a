"""`NetSpec`: the description from which a network is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, Self

from napari_fcn.nets.sigmas import factors
from napari_fcn.nets.validation import (
    MAX_RATES,
    MAX_SCALES,
    as_whole,
    check_family,
    check_head,
    check_levels,
    check_names_and_numbers,
    check_reach,
    shortened,
)

if TYPE_CHECKING:
    from torch import Generator

    from napari_fcn.nets.build import Net

Levels = tuple[tuple[int, ...], ...]

# missing in early files; omitted if they are the default
LATER_FIELDS = ("hidden", "dilate", "skips", "rates", "time", "distance", "colours")


@dataclass(frozen=True, slots=True)
class NetSpec:
    """Describes a network.

    ``kernel`` and ``pool`` may be given as one number, one number per axis, or one such tuple per level; they are
    stored in full. Anisotropic stacks pool the fine axes first: ``pool=((1, 2, 2), (2, 2, 2))``.

    Attributes
    ----------
    family : str
        Architecture: see `validation.FAMILIES`.
    ndim : int
        Number of convolved axes, 1 to 3.
    channels, classes : int
        Input channels and output classes.
    width : int
        Channels of the first level; doubled at each deeper level.
    depth : int
        Number of steps down.
    kernel : tuple of tuple of int
        Kernel length per level (``depth + 1`` of them) and axis, odd.
    pool : tuple of tuple of int
        Pooling factor per step down (``depth`` of them) and axis: 1, 2, 4 or 8. With powers of two the
        weights of linear upsampling are exact in float32 at any position, which exact tiling needs.
    up : str
        ``"linear"`` or ``"transposed"`` (a transposed convolution with weights: in U-Nets its kernel is as long as its
        stride, in an FCN it starts as linear upsampling); empty for that published for the family.
    norm : str
        ``"batch"`` (statistics frozen at inference) or ``"none"``.
    padding : str
        Padding of convolutions at the image border: ``"zeros"``, ``"reflect"`` or ``"replicate"``.
    filters : tuple of tuple of float
        Sigma per scale and axis, in pixels, of the fixed filter bank added to the network; empty for none.
    head : str
        ``"score"``: class logits from the finest features only, as published; ``"levels"``: from the features of all
        levels, the filter bank and the image, for teaching with strokes.
    hidden : int
        Number of hidden units of a head of kind ``"levels"``; 0 for a linear head.
    original : int
        Number of classes of the original score layer, which is kept in addition to the taught head; 0 for none.
    dilate : int or None
        Number of steps, from the deepest, that multiply the dilation of deeper kernels instead of pooling; None for
        that published for the family (all in ``dilated``, half in ``deeplab``, none in others).
    skips : int
        Number of levels above the deepest whose scores ``fcn`` adds, without the first level; at a depth of 5, 0, 1 and
        2 are FCN-32s, 16s and 8s.
    rates : tuple of int
        Dilation of each branch of the pyramid of ``deeplab``, in pixels of the grid that results if all steps pool.
    time : int or None
        Index of the time axis; None if all axes are in space. The default for ``video`` is the first axis.
    distance : bool
        Whether the network also predicts the distance to the border of the object, for the separation of objects.
    colours : bool
        Whether the three channels are red, green and blue: they are scaled together, and a grey image is read as three
        equal channels.

    Raises
    ------
    ValueError
        If a value is out of its range, or the number of levels does not fit the depth.
    """

    family: str = "unet"
    ndim: int = 2
    channels: int = 1
    classes: int = 2
    width: int = 16
    depth: int = 3
    kernel: Levels = ((3,),)
    pool: Levels = ((2,),)
    up: str = ""
    norm: str = "batch"
    padding: str = "zeros"
    filters: tuple[tuple[float, ...], ...] = ()
    head: str = "score"
    hidden: int = 0
    original: int = 0
    dilate: int | None = None
    skips: int = 2
    rates: tuple[int, ...] = (2, 4, 6)
    time: int | None = None
    distance: bool = False
    colours: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "up", self.up or ("transposed" if self.family == "fcn" else "linear"))
        check_names_and_numbers(self)
        object.__setattr__(self, "kernel", _levels("kernel", self.kernel, self.depth + 1, self.ndim))
        object.__setattr__(self, "pool", _levels("pool", self.pool, self.depth, self.ndim))
        object.__setattr__(self, "filters", _scales_of(self.filters))
        object.__setattr__(self, "rates", _as_short_list("rates", self.rates, MAX_RATES))
        if self.time is None and self.family == "video" and self.ndim > 1:
            object.__setattr__(self, "time", 0)
        check_levels(self)
        check_head(self)
        check_family(self)
        check_reach(self)

    @property
    def strides(self) -> Levels:
        """Pooling factor of each step down, per axis: ``pool``, but 1 for steps that dilate."""
        default_dilated = {"dilated": self.depth, "deeplab": self.depth // 2}.get(self.family, 0)
        pooled = self.depth - (default_dilated if self.dilate is None else self.dilate)
        return tuple(step if i < pooled else (1,) * self.ndim for i, step in enumerate(self.pool))

    @property
    def dilations(self) -> Levels:
        """Dilation per level and axis, in pixels of the grid of that level."""
        return tuple(
            tuple(p // s for p, s in zip(_product(self.pool[:i], self.ndim), grid, strict=True))
            for i, grid in enumerate(self.grids)
        )

    @property
    def grids(self) -> Levels:
        """Downsampling of the grid of each level relative to the image, per axis."""
        return tuple(_product(self.strides[:i], self.ndim) for i in range(self.depth + 1))

    @property
    def multiple(self) -> tuple[int, ...]:
        """Period of the pooling grid per axis, in pixels."""
        pooling = self.grids[-1]
        downsampling = zip(*([1] * self.ndim, *map(factors, self.filters)), strict=True)
        return tuple(max(m, *scales) for m, scales in zip(pooling, downsampling, strict=True))

    @property
    def minimum(self) -> tuple[int, ...]:
        """Shortest input per axis; shorter inputs are padded by repeating their last pixel."""
        if self.padding != "reflect":
            return self.multiple
        lengths = list(self.multiple)  # on each grid, reflection needs more pixels than half a kernel
        largest_rate = max(self.rates) if self.family == "deeplab" else 1
        for level, (kernel, rate, grid) in enumerate(zip(self.kernel, self.dilations, self.grids, strict=True)):
            pyramid_rate = largest_rate if level == self.depth else 1
            for axis, (k, r, g, m) in enumerate(zip(kernel, rate, grid, self.multiple, strict=True)):
                lengths[axis] = max(lengths[axis], -(-g * (k // 2 * r * pyramid_rate + 1) // m) * m)
        return tuple(lengths)

    def axis_spec(self, axis: int) -> NetSpec:
        """Return the 1-D network of one channel with the kernels and pools of one axis."""
        return replace(
            self,
            ndim=1,
            channels=1,
            classes=1,
            width=1,
            kernel=tuple((level[axis],) for level in self.kernel),
            pool=tuple((level[axis],) for level in self.pool),
            filters=tuple((scale[axis],) for scale in self.filters),
            hidden=0,
            original=min(1, self.original),  # in an FCN, the scores are one of the levels
            distance=False,
            colours=False,
            time=0 if axis == self.time else None,
        )

    @property
    def trunk_spec(self) -> NetSpec:
        """The network below the taught head, with its original score layer."""
        return replace(self, classes=self.original or self.classes, filters=(), head="score", hidden=0, original=0)

    def build(self, generator: Generator | None = None) -> Net:
        """Return a new network with random weights drawn from ``generator``."""
        from napari_fcn.nets.build import build

        return build(self, generator)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data for JSON; `LATER_FIELDS` only if they are not the default."""
        defaults = {f.name: f.default for f in fields(self)}
        return {k: v for k, v in asdict(self).items() if k not in LATER_FIELDS or v != defaults[k]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the spec from the data of `to_dict`.

        Raises
        ------
        ValueError
            If a key is unknown or a value does not fit.
        """
        if not isinstance(data, dict):
            raise ValueError(f"A network is described by names and values, not by {shortened(data)}.")
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            raise ValueError(f"This network has options that are not known here: {names[:200]}.")
        return cls(**data)

    @classmethod
    def suggest(
        cls,
        voxel_size: float | Sequence[float],
        object_size: float | None = None,
        ndim: int = 2,
        channels: int = 1,
        classes: int = 2,
        shape: Sequence[int] = (),
        **known: Any,
    ) -> Self:
        """Return a network for an image with these pixel and object sizes.

        The finest axes are pooled first, until voxels are nearly isotropic (Isensee et al. 2021). The depth is chosen
        so that the receptive field is at least twice as large as an object, because networks mainly use the middle of
        their receptive field (Luo et al. 2016).

        Parameters
        ----------
        voxel_size : float or sequence of float
            Pixel size, for all axes or for each, in any unit; that of time is ignored.
        object_size : float, optional
            Typical diameter of the objects in the same unit; if not given, the depth is the default of the family.
        ndim, channels, classes : int
            Number of axes, input channels and classes of the network.
        shape : sequence of int
            Length of each axis in pixels, which limits pooling; unlimited if not given.
        **known
            Other fields of the spec, such as ``family``, ``width`` and ``time``.

        Raises
        ------
        ValueError
            If a size is not positive, their number does not fit ``ndim``, or a field is out of its range.
        """
        from napari_fcn.nets.planner import plan_network

        given = {"ndim": ndim, "channels": channels, "classes": classes, **known}
        return cls.from_dict(plan_network(cls.from_dict, voxel_size, object_size, given, shape))


def _product(steps: Levels, ndim: int) -> tuple[int, ...]:
    """Return the product of the steps along each axis."""
    return tuple(prod(step[axis] for step in steps) for axis in range(ndim))


def _levels(name: str, value: Any, count: int, ndim: int) -> Levels:
    """Return one tuple of ``ndim`` numbers for each of ``count`` levels."""
    if not _is_list(value):
        value = (value,)
    if not any(_is_list(level) for level in value):
        value = (value,) * max(count, 1)
    if len(value) == 1:
        value = tuple(value) * count
    levels = tuple(value)[:count]  # further levels are ignored
    if len(levels) != count or any(not _is_list(level) or len(level) not in (1, ndim) for level in levels):
        raise ValueError(f"{name} is {shortened(value)}; it needs {count} levels of {ndim} numbers.")
    return tuple(tuple(as_whole(name, n) for n in level) * (ndim if len(level) == 1 else 1) for level in levels)


def _scales_of(value: Any) -> tuple[tuple[float, ...], ...]:
    """Return the sigmas of each scale as numbers."""
    scales = _as_short_list("filters", value, MAX_SCALES)
    if any(not _is_list(scale) or len(scale) > 3 or any(not _is_number(s) for s in scale) for scale in scales):
        raise ValueError(f"filters is {shortened(value)}; it needs one sigma for each axis of each scale.")
    return tuple(tuple(float(s) for s in scale) for scale in scales)


def _as_short_list(name: str, value: Any, max_length: int) -> tuple[Any, ...]:
    """Return the entries of a list of limited length."""
    if not _is_list(value) or len(value) > max_length:
        raise ValueError(f"{name} is {shortened(value)}; it needs a list of at most {max_length} entries.")
    return tuple(value)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)
