"""Convolution, pooling and upsampling in one, two or three dimensions; no other module distinguishes dimensions."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_fcn.nets.spec import NetSpec

CONV: dict[int, type[nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOL: dict[int, type[nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d]] = {
    1: nn.MaxPool1d,
    2: nn.MaxPool2d,
    3: nn.MaxPool3d,
}
BATCH_NORM: dict[int, type[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
AVERAGE_POOL: dict[int, Callable[..., Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONVOLVE_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
INTERPOLATION_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


_trimmed_sides: ContextVar[tuple[bool, bool]] = ContextVar("trimmed_sides", default=(False, False))


@contextmanager
def trimmed_planes(before: bool, after: bool) -> Iterator[None]:
    """Let folded 3-D convolutions of this thread leave out planes that padding makes wrong, on these sides."""
    token = _trimmed_sides.set((before, after))
    try:
        yield
    finally:
        _trimmed_sides.reset(token)


def trimmed_sides() -> tuple[bool, bool]:
    """Return on which sides planes are left out."""
    return _trimmed_sides.get()


def trim(x: Tensor, planes: int) -> Tensor:
    """Return ``x`` (N, C, *space) without the outer planes that other features of the same place lack."""
    extra = x.shape[2] - planes
    if not extra:
        return x
    before, after = trimmed_sides()
    start = extra * before // (before + after)
    return x[:, :, start : start + planes]


def join(skip: Tensor, x: Tensor) -> Tensor:
    """Return the channels of both, for the planes of ``x``."""
    return torch.cat([trim(skip, x.shape[2]), x], dim=1)


class Level(NamedTuple):
    """Features ``(N, C, *space)`` on a grid that is coarser than the image by ``factor`` along each axis."""

    factor: tuple[int, ...]
    features: Tensor


def conv(
    spec: NetSpec, inputs: int, outputs: int, kernel: Sequence[int], dilation: Sequence[int] | None = None
) -> nn.Module:
    """Return a convolution that keeps the size of its input, with the padding of the spec and a dilation."""
    rate = (1,) * spec.ndim if dilation is None else tuple(dilation)
    return CONV[spec.ndim](
        inputs,
        outputs,
        tuple(kernel),  # type: ignore[arg-type]  # one length per axis fits every dimension
        dilation=rate,  # type: ignore[arg-type]
        padding=tuple(k // 2 * r for k, r in zip(kernel, rate, strict=True)),  # type: ignore[arg-type]
        padding_mode=spec.padding,  # type: ignore[arg-type]  # checked by the spec
        bias=spec.norm == "none",
    )


def score(spec: NetSpec, inputs: int) -> nn.Module:
    """Return the 1x1 convolution from features to class logits (Long et al. 2015)."""
    return CONV[spec.ndim](inputs, spec.classes, 1)


def distance(spec: NetSpec, inputs: int) -> nn.Module | None:
    """Return the 1x1 convolution from features to the distance to the border of the object, if the network has it."""
    return CONV[spec.ndim](inputs, 1, 1) if spec.distance else None


def step(
    spec: NetSpec, inputs: int, outputs: int, kernel: Sequence[int], dilation: Sequence[int] | None = None
) -> list[nn.Module]:
    """Return one convolution with its norm and ReLU."""
    norm = [BATCH_NORM[spec.ndim](outputs)] if spec.norm == "batch" else []
    return [conv(spec, inputs, outputs, kernel, dilation), *norm, nn.ReLU(inplace=True)]


def block(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return two convolutions, each with norm and ReLU."""
    kernel, dilation = spec.kernel[level], spec.dilations[level]
    return nn.Sequential(
        *step(spec, inputs, outputs, kernel, dilation), *step(spec, outputs, outputs, kernel, dilation)
    )


def pool(spec: NetSpec, level: int) -> nn.Module:
    """Return the max pooling below a level."""
    return MAX_POOL[spec.ndim](spec.strides[level])


def up(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Module:
    """Return the upsampling to a level, from ``inputs`` to ``outputs`` channels."""
    factor = spec.strides[level]
    if spec.up == "transposed":
        return TRANSPOSED[spec.ndim](inputs, outputs, factor, stride=factor)  # type: ignore[arg-type]
    return LinearUp(spec.ndim, inputs, outputs, factor)


class LinearUp(nn.Module):
    """A 1x1 convolution, then linear upsampling: they commute, and convolution is cheaper on the coarse grid."""

    def __init__(self, ndim: int, inputs: int, outputs: int, factor: Sequence[int]) -> None:
        super().__init__()
        self.mix = CONV[ndim](inputs, outputs, 1)
        self.factor = [float(f) for f in factor]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (N, C, *space) after convolution and upsampling."""
        return enlarge(self.mix(x), self.factor)


def enlarge(x: Tensor, factor: Sequence[float]) -> Tensor:
    """Return ``x`` (N, C, *space) linearly upsampled by a factor per axis."""
    if all(f == 1 for f in factor):
        return x
    return F.interpolate(x, scale_factor=list(factor), mode=INTERPOLATION_MODES[len(factor)], align_corners=False)


def is_tracing() -> bool:
    """Whether torch records the operations of a network, to convert it."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def fill(x: Tensor, multiple: Sequence[int], minimum: Sequence[int]) -> Tensor:
    """Return ``x`` (N, C, *space) padded by repeating the last pixels, so that each length is on the pooling grid.

    Only the far end is padded, so the grid starts at the first pixel, and a tile that starts on the grid is padded like
    the whole image.
    """
    if is_tracing():
        return x  # a trace would store the padding of one shape: its inputs are padded already
    missing = [max(lo, -(-n // m) * m) - n for n, m, lo in zip(x.shape[2:], multiple, minimum, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [n for m in reversed(missing) for n in (0, m)], mode="replicate")
