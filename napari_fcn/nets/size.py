"""Size of a network, computed from its spec without building it, so that untrusted specs can be checked."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.nets.spec import NetSpec

# of the levels of `mbconv`, as in EfficientNet-Lite0 (Tan & Le 2019): blocks, factor by which they expand, and channels
REPEATS = (0, 1, 2, 2, 3, 3, 4, 1)
EXPANSIONS = (1, 1, 6, 6, 6, 6, 6, 6)
ENCODER_WIDTHS = (8, 16, 24, 40, 80, 112, 192, 320)
DECODER_WIDTHS = (16, 24, 32, 40, 64, 80, 96)
STEM_WIDTH = 32
KNOT_COUNT = 3  # the length of `filters.BRIGHTNESS_KNOTS`; that module needs torch


def count_parameters(spec: NetSpec) -> int:
    """Return the number of trainable weights of a network, without the statistics of norms."""
    if spec.head == "score":
        return _body(spec) + _score(spec)
    out = spec.classes + spec.hidden
    features = spec.channels + _bank(spec)
    below = 0
    if spec.family != "filters":
        features += _trunk_features(spec)
        below = _body(spec) + (_score(spec.trunk_spec) if spec.original else 0)  # a new network has no original head
    return below + features * out + out + spec.hidden * spec.classes


def min_receptive_field(spec: NetSpec) -> tuple[int, ...]:
    """Return the receptive field to each side per axis, from the kernels alone: a lower bound.

    Pools and upsampling add a little; `receptive_fields.theoretical` is exact, but builds the network.
    """
    sides = [0] * spec.ndim
    for level, (kernel, rate, grid) in enumerate(zip(spec.kernel, spec.dilations, spec.grids, strict=True)):
        for axis, (k, r, g) in enumerate(zip(kernel, rate, grid, strict=True)):
            sides[axis] += _convolutions(spec, level) * (k // 2) * r * g
    return tuple(sides)


def _convolutions(spec: NetSpec, level: int) -> int:
    """Return the number of successive convolutions on a level; a pyramid counts as its largest rate."""
    is_deepest = level == spec.depth
    if spec.family == "filters":
        return 0
    if spec.family == "dilated":
        return 1 if level else 5
    if spec.family == "deeplab":
        return 2 + (max(spec.rates) if is_deepest else 0)
    if spec.family == "mbconv":  # without the first of a level, which convolves the finer grid
        return max(REPEATS[level] - (level > 1), 0) + (not is_deepest or not level)
    return 2 if is_deepest or spec.family == "fcn" else 4


def pyramid_width(spec: NetSpec) -> int:
    """Return the channels of a branch of the pyramid of ``deeplab``: half of the channels of the deepest stage."""
    return max(1, (spec.width << spec.depth) // 2)


def encoder_widths(spec: NetSpec) -> list[int]:
    """Return the channels of each level of the encoder of ``mbconv``."""
    return [_scaled(spec, width) for width in ENCODER_WIDTHS[: spec.depth + 1]]


def decoder_widths(spec: NetSpec) -> list[int]:
    """Return the channels of each level of the decoder of ``mbconv``; the last is the deepest of the encoder."""
    return [*(_scaled(spec, width) for width in DECODER_WIDTHS[: spec.depth]), encoder_widths(spec)[-1]]


def stem_width(spec: NetSpec) -> int:
    """Return the channels of the first convolution of ``mbconv``."""
    return _scaled(spec, STEM_WIDTH)


def strided_kernel(kernel: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """Return the kernel of a convolution with a stride: one tap more where that is even, so that it is centred."""
    return tuple(max(k + (k - s) % 2, s) for k, s in zip(kernel, stride, strict=True))


def _scaled(spec: NetSpec, width: int) -> int:
    """Return channels of EfficientNet-Lite0, whose first stage has 16, at the width of a network."""
    return max(1, round(width * spec.width / ENCODER_WIDTHS[1]))


def factorise(
    spec: NetSpec, inputs: int, outputs: int, kernel: Sequence[int]
) -> tuple[tuple[int, ...], int, tuple[int, ...]] | None:
    """Return the spatial kernel, intermediate channels and temporal kernel of a factorised convolution of ``video``.

    The intermediate channels give the two together as many weights as the plain convolution (Tran et al. 2018, section
    3.5); they are at least the output channels, so that weights of a 2-D network fit in. None if the kernel has no
    extent in time or none in space.
    """
    space = tuple(1 if axis == spec.time else k for axis, k in enumerate(kernel))
    time = tuple(k if axis == spec.time else 1 for axis, k in enumerate(kernel))
    area, frames = prod(space), prod(time)
    if area == 1 or frames == 1:
        return None
    between = max(outputs, frames * area * inputs * outputs // (area * inputs + frames * outputs))
    return space, between, time


def _body(spec: NetSpec) -> int:
    """Return the weights below the score layer."""
    widths = _widths(spec)
    inputs = [spec.channels, *widths]
    levels = range(spec.depth + 1)
    if spec.family == "mbconv":
        return _inverted_residuals(spec)
    if spec.family == "dilated":
        width, kernels = spec.width, [spec.kernel[0], *spec.kernel, spec.kernel[0]]
        return _block(spec, spec.channels, width, 0) + sum(_step(spec, width, width, k) for k in kernels)
    encoder = sum(_block(spec, inputs[i], widths[i], i) for i in levels)
    if spec.family == "fcn":
        return encoder
    if spec.family == "deeplab":
        narrow, ones = pyramid_width(spec), (1,) * spec.ndim
        kernels = [ones, *(spec.kernel[-1] for _ in spec.rates)]
        pyramid = sum(_step(spec, widths[-1], narrow, kernel) for kernel in kernels)
        return encoder + pyramid + _step(spec, narrow * len(kernels), narrow, ones)
    ups = sum(_up(spec, widths[i + 1], widths[i], spec.strides[i]) for i in range(spec.depth))
    return encoder + ups + sum(_block(spec, 2 * widths[i], widths[i], i) for i in range(spec.depth))


def _score(spec: NetSpec) -> int:
    """Return the weights of the score layer; for an FCN, of all score layers and their upsampling."""
    if spec.family == "fcn":
        fused = range(max(spec.depth - spec.skips, min(1, spec.depth)), spec.depth)
        inputs = [spec.width << spec.depth, *(spec.width << (level - 1) for level in fused)]
        taps = [prod(2 * f if f > 1 else 1 for f in spec.strides[level]) for level in fused]
        upsampling = spec.classes**2 * sum(taps) if spec.up == "transposed" else 0
        return sum(_one(n, spec.classes) for n in inputs) + upsampling
    return _one(_finest_width(spec), spec.classes + spec.distance)


def _finest_width(spec: NetSpec) -> int:
    """Return the number of features below the score layer."""
    if spec.family == "mbconv":
        return decoder_widths(spec)[0]
    return pyramid_width(spec) if spec.family == "deeplab" else spec.width


def _inverted_residuals(spec: NetSpec) -> int:
    """Return the weights of ``mbconv`` below the score layer."""
    ones, encoder, decoder = (1,) * spec.ndim, encoder_widths(spec), decoder_widths(spec)
    total = _step(spec, spec.channels, encoder[0], spec.kernel[0])
    for level in range(1, spec.depth + 1):
        inputs, stride = (encoder[level - 1], spec.strides[level - 1])
        if level == 1:
            total += _step(spec, spec.channels, stem_width(spec), strided_kernel(spec.kernel[1], stride))
            inputs, stride = stem_width(spec), ones
        for _ in range(REPEATS[level]):
            wide = inputs * EXPANSIONS[level]
            total += _step(spec, inputs, wide, ones) if wide != inputs else 0
            total += _step(spec, 1, wide, strided_kernel(spec.kernel[level], stride))
            total += _step(spec, wide, encoder[level], ones)
            inputs, stride = encoder[level], ones
    for level in range(spec.depth):
        total += _up(spec, decoder[level + 1], decoder[level], spec.strides[level])
        total += _one(encoder[level], decoder[level]) + _step(spec, decoder[level], decoder[level], spec.kernel[level])
    return total


def _bank(spec: NetSpec) -> int:
    """Return the features of the filter bank."""
    return len(spec.filters) * spec.channels * (2 + KNOT_COUNT + 2 * spec.ndim)


def _trunk_features(spec: NetSpec) -> int:
    """Return the number of features of all levels of the trunk, the input of the head."""
    if spec.family == "dilated":
        return 3 * spec.width
    if spec.family == "mbconv":
        return sum(encoder_widths(spec)) + sum(decoder_widths(spec)[:-1])
    column = sum(_widths(spec))
    if spec.family == "fcn":
        return column + spec.original
    if spec.family == "deeplab":
        return column + pyramid_width(spec)
    return column + (spec.width if spec.depth else 0)


def _widths(spec: NetSpec) -> list[int]:
    return [spec.width << level for level in range(spec.depth + 1)]


def _one(inputs: int, outputs: int) -> int:
    """Return the weights of a 1x1 convolution."""
    return (inputs + 1) * outputs


def _step(spec: NetSpec, inputs: int, outputs: int, kernel: Sequence[int]) -> int:
    """Return the weights of a convolution with its norm or bias."""
    return prod(kernel) * inputs * outputs + outputs * (2 if spec.norm == "batch" else 1)


def _up(spec: NetSpec, inputs: int, outputs: int, factor: Sequence[int]) -> int:
    return prod(factor) * inputs * outputs + outputs if spec.up == "transposed" else _one(inputs, outputs)


def _block(spec: NetSpec, inputs: int, outputs: int, level: int) -> int:
    """Return the weights of the block of a level."""
    kernel = spec.kernel[level]
    if spec.family == "video":
        return _factorised(spec, inputs, outputs, kernel) + _factorised(spec, outputs, outputs, kernel)
    plain = _step(spec, inputs, outputs, kernel) + _step(spec, outputs, outputs, kernel)
    is_residual = spec.family in ("resunet", "deeplab")
    return plain + (_one(inputs, outputs) if is_residual and inputs != outputs else 0)


def _factorised(spec: NetSpec, inputs: int, outputs: int, kernel: Sequence[int]) -> int:
    """Return the weights of a convolution of ``video``, along space and then time."""
    factors = factorise(spec, inputs, outputs, kernel)
    if factors is None:
        return _step(spec, inputs, outputs, kernel)
    space, between, time = factors
    return _step(spec, inputs, between, space) + _step(spec, between, outputs, time)
