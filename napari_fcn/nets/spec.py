"""All that is needed to build a network again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Generator

    from napari_fcn.nets.unet import UNet

Levels = tuple[tuple[int, ...], ...]

FAMILIES = ("unet",)
UPSAMPLINGS = ("linear", "transposed")
NORMS = ("batch", "none")
PADDINGS = ("zeros", "reflect", "replicate")
POOLS = (1, 2, 4, 8)


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

    def __post_init__(self) -> None:
        for name, allowed in (
            ("family", FAMILIES),
            ("up", UPSAMPLINGS),
            ("norm", NORMS),
            ("padding", PADDINGS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it can be {', '.join(allowed)}.")
        for name, low, high in (
            ("ndim", 1, 3),
            ("channels", 1, 4096),
            ("classes", 1, 255),
            ("width", 1, 4096),
            ("depth", 0, 8),
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

    @property
    def multiple(self) -> tuple[int, ...]:
        """Period of the pooling grid per axis, in pixels."""
        return tuple(prod(level[axis] for level in self.pool) for axis in range(self.ndim))

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
        )

    def build(self, generator: Generator | None = None) -> UNet:
        """Return a new network with random weights drawn from ``generator``."""
        from napari_fcn.nets.build import build

        return build(self, generator)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data for JSON."""
        return asdict(self)

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
