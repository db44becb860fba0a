"""Measures the receptive fields of the layers of a network by back-propagation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise, product
from math import ceil, lcm
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from napari_fcn.errors import FORWARD_ERRORS
from napari_fcn.nets.filters import Support
from napari_fcn.receptive_fields.positive_net import (
    AveragingConv,
    AveragingLinear,
    LinearizedOps,
    all_channels,
    single_channel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GROWTH_STEPS = (960, 15360)  # growth of the input to measure the jumps of layers; multiples of many grids
OUTPUT_JUMP = Fraction(1)
MAX_NESTING = 8  # of lists and dicts in which a tensor is searched
PROBE_LENGTHS = (256, 1024, 4096)  # tried in turn until the receptive field fits
PROBE_BREADTHS = (1, 8, 32, 256)  # length of the other axes: short is cheap, but unpadded kernels need more
BATCH_NUMBERS = 2**18  # maximum number of values in a batch of probes, to fit in the processor cache
RECORDED_LAYERS = (AveragingConv, AveragingLinear, Support, nn.Upsample)
POOLING_LAYERS = (_AvgPoolNd, _MaxPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)


@dataclass(frozen=True, slots=True)
class LayerExtent:
    """The receptive field of one layer along one axis.

    Attributes
    ----------
    name, kind : str
        Of the layer.
    jump : Fraction
        Input pixels between neighbouring outputs of the layer; 0 if its output lacks the axis.
    spans : tuple of (int, int, int)
        For each phase of the pooling grid: index of an output, and first and last input pixel on which it depends.
    is_cropped : bool
        Whether outputs are missing at the border, because of kernels without padding.
    is_whole : bool
        Whether it depends on the whole input, of any length.
    """

    name: str
    kind: str
    jump: Fraction
    spans: tuple[tuple[int, int, int], ...]
    is_cropped: bool = False
    is_whole: bool = False

    @property
    def size(self) -> int:
        """Length of the receptive field at its worst phase."""
        return max(last - first + 1 for _, first, last in self.spans)

    @property
    def start(self) -> float:
        """Centre of the receptive field of the first output, in input pixels, mean over the phases."""
        centres = [(first + last) / 2 - index * self.jump for index, first, last in self.spans]
        return float(sum(centres) / len(centres))


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """The output of a layer in one run."""

    name: str
    kind: str
    output: Tensor


class LayerRecorder:
    """Records the outputs of the layers of a surrogate network.

    Parameters
    ----------
    net : Module
        A network made by `single_channel` or `all_channels`.
    kinds : dict of str to str
        Original type of each layer, by name.
    """

    def __init__(self, net: nn.Module, kinds: dict[str, str]) -> None:
        self.net, self.kinds = net, kinds
        self.outputs: list[LayerOutput] = []
        self._depth = 0  # of nested layers; only the outermost output is recorded
        for name, layer in net.named_modules():
            if isinstance(layer, (*RECORDED_LAYERS, *POOLING_LAYERS)):
                layer.register_forward_pre_hook(self._enter)
                layer.register_forward_hook(self._hook(name))

    def run(self, x: Tensor) -> list[LayerOutput]:
        """Return the output of each layer, that of the network last."""
        self.outputs, self._depth = [], 0
        with LinearizedOps(self._pooled):
            out = self.net(x)
            return [*self.outputs, LayerOutput("output", type(self.net).__name__, first_tensor(out))]

    def _enter(self, *_: Any) -> None:
        self._depth += 1

    def _pooled(self, function: str, out: Tensor) -> Tensor:
        """Record the result of a pooling function outside of layers, because its grid may be unique."""
        if not self._depth:
            self.outputs.append(LayerOutput(function, "function", out))
            return out.clone()
        return out

    def _hook(self, name: str) -> Callable[..., Any]:
        def record(layer: nn.Module, inputs: Any, out: Any) -> Any:
            self._depth -= 1
            kind = self.kinds.get(name, type(layer).__name__)
            if isinstance(out, Tensor):
                channels_first = out.movedim(-1, 1) if isinstance(layer, AveragingLinear) and out.ndim > 2 else out
                self.outputs.append(LayerOutput(name, kind, channels_first))
                return out.clone()  # so that later in-place operations do not change the record
            self.outputs += [LayerOutput(f"{name}.{i}", kind, level.features) for i, level in enumerate(out)]
            return None

        return record


def first_tensor(out: Any) -> Tensor:
    """Return the first tensor in the output of a network.

    Raises
    ------
    TypeError
        If there is none.
    """
    value, depth = out, 0
    while not isinstance(value, Tensor):
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        value, depth = next(iter(inside), None), depth + 1
        if value is None or depth > MAX_NESTING:
            raise TypeError(f"it returns a {type(out).__name__} without a tensor in it")
    return value


def probe(net: nn.Module, ndim: int, channels: int, axis: int) -> tuple[LayerExtent, ...]:
    """Return the receptive field of each layer along one axis, in the order of execution, the output last.

    Weights are positive and inputs are one, so that nothing cancels (see `single_channel`). The distance between
    outputs of a layer follows from the growth of the layer with the input; the receptive field of an output is the
    support of its gradient. After upsampling, each phase of the pooling grid is measured.

    Raises
    ------
    RuntimeError
        If the network does not run on inputs of other shapes.
    """
    kinds = {name: type(layer).__name__ for name, layer in net.named_modules()}
    failures = []
    recorder_of = cache(lambda copy: LayerRecorder(copy(net), kinds))
    for breadth, copy in product(PROBE_BREADTHS[: 1 if ndim == 1 else None], (single_channel, all_channels)):
        shape = partial(_shape, channels, ndim, axis, breadth)
        try:
            recorder = recorder_of(copy)
            extents = _extents(recorder, shape, axis, _jumps(recorder, shape, axis))
            if extents[-1].size > 0:
                return extents
            failures.append("its output depends on no pixel")
        except FORWARD_ERRORS as error:
            failures.append((str(error).splitlines() or [type(error).__name__])[0])
    raise RuntimeError(failures[-1])


def _shape(channels: int, ndim: int, axis: int, breadth: int, length: int) -> list[int]:
    return [channels, *(length if a == axis else breadth for a in range(ndim))]


def _jumps(recorder: LayerRecorder, shape: Callable[[int], list[int]], axis: int) -> list[Fraction]:
    """Return the distance between neighbouring outputs of each layer, from its growth with the input."""
    for step in GROWTH_STEPS:
        with torch.no_grad():
            short, long = (recorder.run(torch.ones(1, *shape(n), dtype=torch.float64)) for n in (step, 2 * step))
        growth = [
            b.output.shape[2 + axis] - a.output.shape[2 + axis] if a.output.ndim > 2 else 0
            for a, b in zip(short, long, strict=True)
        ]
        jumps = [Fraction(step, n) if n > 0 else Fraction(0) for n in growth]
        nonzero = filter(None, [*jumps, OUTPUT_JUMP])
        if all(1 in ((a / b).denominator, (b / a).denominator) for a, b in pairwise(nonzero)):
            break  # else the coarsest grid does not divide the step, and the jump is rounded
    return jumps


def _extents(
    recorder: LayerRecorder, shape: Callable[[int], list[int]], axis: int, jumps: Sequence[Fraction]
) -> tuple[LayerExtent, ...]:
    """Return the receptive field of each layer, measured on an input that is long enough for finite fields."""
    counts, coarsest = [], Fraction(1)
    for jump in jumps:  # outputs have the period of the coarsest grid so far
        counts.append(ceil(coarsest / jump) if jump else 1)
        coarsest = max(coarsest, jump)
    extents: list[LayerExtent] = []
    for length in PROBE_LENGTHS:
        wide = max(length, 8 * ceil(coarsest))
        extents = list(_spans(recorder, shape(wide), axis, jumps, counts))
        if not any(_touches(extent, wide) for extent in extents):
            break
    else:
        extents = [replace(extent, is_whole=_touches(extent, wide)) for extent in extents]
    return tuple(extents)


def _touches(extent: LayerExtent, length: int) -> bool:
    """Whether a receptive field touches an end of the input."""
    return any(first <= 0 or last >= length - 1 for _, first, last in extent.spans)


def _spans(
    recorder: LayerRecorder, shape: Sequence[int], axis: int, jumps: Sequence[Fraction], counts: Sequence[int]
) -> Iterator[LayerExtent]:
    """Yield the receptive field of each layer; each row of a batch probes one layer and phase."""
    probes = [(layer, phase) for layer, count in enumerate(counts) for phase in range(count)]
    batch_size = max(1, BATCH_NUMBERS // torch.Size(shape).numel())
    spans: list[list[tuple[int, int, int]]] = [[] for _ in counts]
    for start in range(0, len(probes), batch_size):
        rows = probes[start : start + batch_size]
        x = torch.ones(len(rows), *shape, dtype=torch.float64, requires_grad=True)
        outputs = recorder.run(x)
        target = x.new_zeros(())
        for row, (layer, phase) in enumerate(rows):
            out = outputs[layer].output[row]
            if jumps[layer]:
                out = out.select(1 + axis, _middle(out.shape[1 + axis], counts[layer]) + phase)
            target = target + out.sum()
        (gradient,) = torch.autograd.grad(target, x)
        sums = gradient.sum([a for a in range(1, gradient.ndim) if a != 2 + axis])  # none is negative
        for row, (layer, phase) in enumerate(rows):
            support = sums[row].nonzero()[:, 0]
            length = outputs[layer].output.shape[2 + axis] if jumps[layer] else 1
            index = _middle(length, counts[layer]) + phase
            first, last = (int(support[0]), int(support[-1])) if len(support) else (shape[1 + axis], -1)
            spans[layer].append((index, first, last))
    for output, jump, layer_spans in zip(outputs, jumps, spans, strict=True):
        is_cropped = bool(jump) and output.output.shape[2 + axis] * jump < shape[1 + axis]
        yield LayerExtent(output.name, output.kind, jump, tuple(layer_spans), is_cropped)


def _middle(length: int, count: int) -> int:
    """Return the first of ``count`` outputs in the middle of a layer, on the pooling grid."""
    return length // 2 // count * count


def period(extents: Sequence[LayerExtent]) -> int:
    """Return the period of the pooling grid in pixels."""
    return lcm(*(extent.jump.numerator for extent in extents if extent.jump))
