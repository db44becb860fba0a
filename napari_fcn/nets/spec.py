"""All that is needed to build a network again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Generator

    from napari_fcn.nets.build import Net

Levels = tuple[tuple[int, ...], ...]

FAMILIES = ("unet", "filters")
HEADS = ("score", "levels")
UPSAMPLINGS = ("linear", "transposed")
NORMS = ("batch", "none")
PADDINGS = ("zeros", "reflect", "replicate")
POOLS = (1, 2, 4, 8)
LATER = ("hidden",)  # fields that models of earlier versions do not have
LEAST = 0.5  # smallest sigma whose derivatives a pixel grid can hold


@dataclass(frozen=True, slots=True)
class NetSpec:
    """A network as a value.

    ``kernel`` and ``pool`` may be given as one number, as one number per axis, or as one such tuple per level; they
    are stored in full. Anisotropic stacks pool the fine axes first: ``pool=((1, 2, 2), (2, 2, 2))``.

    Attributes
    ----------
    family : str
        Which architecture: see `FAMILIES`.
    ndim : int
        Number of axes that are convolved, 1 to 3.
    channels, classes : int
        Channels that go in, class logits that come out.
    width : int
        Channels of the first level; each deeper level has twice as many.
    depth : int
        Number of times that the network pools.
    kernel : tuple of tuple of int
        Kernel length per level (``depth + 1`` of them) and axis, odd.
    pool : tuple of tuple of int
        Pooling factor per step down (``depth`` of them) and axis: 1, 2, 4 or 8. Powers of two keep the weights
        of linear upsampling exact in float32 at any distance from the origin, on which exact tiling rests.
    up : str
        ``"linear"`` or ``"transposed"`` (a learnt transposed convolution whose kernel is its stride).
    norm : str
        ``"batch"`` (statistics frozen at inference) or ``"none"``.
    padding : str
        What convolutions see beyond the image border: ``"zeros"``, ``"reflect"`` or ``"replicate"``.
    filters : tuple of tuple of float
        Sigma per scale and axis, in pixels, of the fixed filter bank that stands beside the network; empty: none.
    head : str
        ``"score"``: class logits from the finest features alone, as the family was published; ``"levels"``: from the
        features of all levels, the filter bank and the image, which is what strokes teach.
    hidden : int
        Units with which a head of kind ``"levels"`` can bend; 0: it is linear.
    original : int
        Classes of the network before it was taught, whose score layer is kept beside the taught head; 0: none.

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
    up: str = "linear"
    norm: str = "batch"
    padding: str = "zeros"
    filters: tuple[tuple[float, ...], ...] = ()
    head: str = "score"
    hidden: int = 0
    original: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("family", FAMILIES),
            ("up", UPSAMPLINGS),
            ("norm", NORMS),
            ("padding", PADDINGS),
            ("head", HEADS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(allowed)}.")
        for name, low, high in (
            ("ndim", 1, 3),
            ("channels", 1, 4096),
            ("classes", 1, 255),
            ("width", 1, 4096),
            ("depth", 0, 8),
            ("hidden", 0, 4096),
            ("original", 0, 255),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name} is {value}; it can be {low} to {high}, a whole number.")
        object.__setattr__(self, "kernel", _levels("kernel", self.kernel, self.depth + 1, self.ndim))
        object.__setattr__(self, "pool", _levels("pool", self.pool, self.depth, self.ndim))
        if any(k < 1 or k % 2 == 0 for level in self.kernel for k in level):
            raise ValueError(f"kernel is {self.kernel}; lengths must be odd and positive.")
        if any(p not in POOLS for level in self.pool for p in level):
            raise ValueError(f"pool is {self.pool}; factors can be {', '.join(map(str, POOLS))}.")
        object.__setattr__(self, "filters", tuple(tuple(float(s) for s in scale) for scale in self.filters))
        self._check_head()

    def _check_head(self) -> None:
        if any(len(scale) != self.ndim or min(scale) <= 0 for scale in self.filters):
            raise ValueError(f"filters is {self.filters}; each scale needs {self.ndim} positive numbers.")
        if self.head == "score" and (self.filters or self.hidden or self.original or self.family == "filters"):
            raise ValueError("Filters, hidden units and an original head go with a head of kind levels, not score.")
        if self.family == "filters" and (self.depth or self.original or not self.filters):
            raise ValueError("A network of filters alone has depth 0, scales of filters, and no original head.")

    @property
    def multiple(self) -> tuple[int, ...]:
        """Period of the pooling grid per axis, in pixels."""
        pooled = (prod(level[axis] for level in self.pool) for axis in range(self.ndim))
        reduced = zip(*([1] * self.ndim, *map(factors, self.filters)), strict=True)
        return tuple(max(m, *scales) for m, scales in zip(pooled, reduced, strict=True))

    @property
    def minimum(self) -> tuple[int, ...]:
        """Shortest input per axis; shorter ones are filled up by repeating their last pixel."""
        if self.padding != "reflect":
            return self.multiple
        deepest = (max(level[axis] for level in self.kernel) // 2 + 1 for axis in range(self.ndim))
        return tuple(m * n for m, n in zip(self.multiple, deepest, strict=True))

    def twin(self, axis: int) -> NetSpec:
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
            original=0,
        )

    @property
    def untaught(self) -> NetSpec:
        """The network below the head that strokes teach: what it was, or would be, with its own score layer."""
        return replace(self, classes=self.original or self.classes, filters=(), head="score", hidden=0, original=0)

    def build(self, generator: Generator | None = None) -> Net:
        """Return a new network with random weights drawn from ``generator``."""
        from napari_fcn.nets.build import build

        return build(self, generator)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data for JSON; what came later is left out where it is not used, for old hashes."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the spec that `to_dict` described.

        Raises
        ------
        ValueError
            If a key is unknown or a value does not fit.
        """
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"This network has options that are not known here: {', '.join(sorted(unknown))}.")
        return cls(**data)


def factors(sigma: Sequence[float]) -> tuple[int, ...]:
    """Return by how much an image is reduced per axis before it is filtered with this sigma (in pixels)."""
    return tuple(max(f for f in POOLS if f <= max(1.0, s)) for s in sigma)


def scales(sigmas: Sequence[float], spacing: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """Return each sigma, in pixels of the finest axis, as one sigma per axis in pixels of that axis.

    Parameters
    ----------
    sigmas : sequence of float
        One for each scale, in pixels of the finest axis.
    spacing : sequence of float
        Pixel size per axis, in any one unit.
    """
    finest = min(spacing)
    return tuple(tuple(round(max(LEAST, s * finest / step), 4) for step in spacing) for s in sigmas)


def _levels(name: str, value: Any, count: int, ndim: int) -> Levels:
    """Return one tuple of ``ndim`` numbers for each of ``count`` levels."""
    if not isinstance(value, Sequence):
        value = (value,)
    if not any(isinstance(level, Sequence) for level in value):
        value = (value,) * max(count, 1)
    if len(value) == 1:
        value = tuple(value) * count
    levels = tuple(tuple(int(n) for n in level) * (ndim if len(level) == 1 else 1) for level in value)[: max(count, 0)]
    if len(levels) != count or any(len(level) != ndim for level in levels):
        raise ValueError(f"{name} is {value}; it needs {count} levels of {ndim} numbers.")
    return levels
