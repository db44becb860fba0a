"""How far each layer of a network sees, asked of the network by back-propagation."""

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

GROWTH_STEPS = (960, 15360)  # pixels by which an input is lengthened to see how much each layer follows; many grids fit
OUTPUT_JUMP = Fraction(1)
MAX_NESTING = 8  # lists in lists in which a tensor is looked for
PROBE_LENGTHS = (256, 1024, 4096)  # tried in turn until the field has an end
PROBE_BREADTHS = (1, 8, 32, 256)  # length of the other axes: short ones cost less, unpadded kernels need more
BATCH_NUMBERS = 2**18  # most numbers in one batch of probes: what a processor keeps in its cache
RECORDED_LAYERS = (AveragingConv, AveragingLinear, Support, nn.Upsample)
POOLING_LAYERS = (_AvgPoolNd, _MaxPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)


@dataclass(frozen=True, slots=True)
class LayerExtent:
    """What one layer sees along one axis.

    Attributes
    ----------
    name, kind : str
        Of the layer.
    jump : Fraction
        Input pixels between two neighbours of the layer's output; 0 if it has no such axis any more.
    spans : tuple of (int, int, int)
        Index of an output, first and last input pixel that it sees; one for each phase of the pooling grid.
    is_cropped : bool
        Whether the layer has fewer outputs than the input has places for them: kernels without padding.
    is_whole : bool
        Whether it sees everything, however long the input is.
    """

    name: str
    kind: str
    jump: Fraction
    spans: tuple[tuple[int, int, int], ...]
    is_cropped: bool = False
    is_whole: bool = False

    @property
    def size(self) -> int:
        """Pixels that it sees at its worst phase."""
        return max(last - first + 1 for _, first, last in self.spans)

    @property
    def start(self) -> float:
        """Centre of the field of its first output, in input pixels, the mean over the phases."""
        centres = [(first + last) / 2 - index * self.jump for index, first, last in self.spans]
        return float(sum(centres) / len(centres))


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """An output of a layer while a network runs."""

    name: str
    kind: str
    output: Tensor


class LayerRecorder:
    """A transparent network whose layers can be watched while it runs.

    Parameters
    ----------
    net : Module
        Made by `thin` or `thick`.
    kinds : dict of str to str
        Type of each layer by its name, before it was replaced.
    """

    def __init__(self, net: nn.Module, kinds: dict[str, str]) -> None:
        self.net, self.kinds = net, kinds
        self.outputs: list[LayerOutput] = []
        self._depth = 0  # of layers of which only the whole is kept
        for name, layer in net.named_modules():
            if isinstance(layer, (*RECORDED_LAYERS, *POOLING_LAYERS)):
                layer.register_forward_pre_hook(self._enter)
                layer.register_forward_hook(self._hook(name))

    def run(self, x: Tensor) -> list[LayerOutput]:
        """Return what each layer answered, the network itself last."""
        self.outputs, self._depth = [], 0
        with LinearizedOps(self._pooled):
            out = self.net(x)
            return [*self.outputs, LayerOutput("output", type(self.net).__name__, first_tensor(out))]

    def _enter(self, *_: Any) -> None:
        self._depth += 1

    def _pooled(self, function: str, out: Tensor) -> Tensor:
        """Keep what a function pooled that no layer calls: it may have a grid that no layer shows."""
        if not self._depth:
            self.outputs.append(LayerOutput(function, "function", out))
            return out.clone()
        return out

    def _hook(self, name: str) -> Callable[..., Any]:
        def keep(layer: nn.Module, inputs: Any, out: Any) -> Any:
            self._depth -= 1
            kind = self.kinds.get(name, type(layer).__name__)
            if isinstance(out, Tensor):
                moved = out.movedim(-1, 1) if isinstance(layer, AveragingLinear) and out.ndim > 2 else out
                self.outputs.append(LayerOutput(name, kind, moved))
                return out.clone()  # what is kept stays as it is, whatever is added to it in place
            self.outputs += [LayerOutput(f"{name}.{i}", kind, level.features) for i, level in enumerate(out)]
            return None

        return keep


def first_tensor(out: Any) -> Tensor:
    """Return the first tensor of what a network returns.

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
    """Return what each layer of a network sees along one axis, in the order in which they run, the output last.

    Weights are positive and inputs one, so that nothing cancels (see `thin`). How many pixels lie between two outputs
    of a layer is seen from how it grows with the input; what an output sees is the support of its gradient. From the
    first layer whose outputs lie closer than those before it, each phase of the pooling grid is asked.

    Raises
    ------
    RuntimeError
        If the network cannot be run on inputs of other shapes than it was made for.
    """
    kinds = {name: type(layer).__name__ for name, layer in net.named_modules()}
    failures = []
    copied = cache(lambda copy: LayerRecorder(copy(net), kinds))
    for breadth, copy in product(PROBE_BREADTHS[: 1 if ndim == 1 else None], (single_channel, all_channels)):
        shape = partial(_shape, channels, ndim, axis, breadth)
        try:
            recorder = copied(copy)
            extents = _extents(recorder, shape, axis, _jumps(recorder, shape, axis))
            if extents[-1].size > 0:
                return extents
            failures.append("no pixel was found that the answer depends on")
        except FORWARD_ERRORS as error:
            failures.append((str(error).splitlines() or [type(error).__name__])[0])
    raise RuntimeError(failures[-1])


def _shape(channels: int, ndim: int, axis: int, breadth: int, length: int) -> list[int]:
    return [channels, *(length if a == axis else breadth for a in range(ndim))]


def _jumps(recorder: LayerRecorder, shape: Callable[[int], list[int]], axis: int) -> list[Fraction]:
    """Return the distance between two outputs of each layer, from how many more a longer input gives."""
    for step in GROWTH_STEPS:
        with torch.no_grad():
            short, long = (recorder.run(torch.ones(1, *shape(n), dtype=torch.float64)) for n in (step, 2 * step))
        more = [
            b.output.shape[2 + axis] - a.output.shape[2 + axis] if a.output.ndim > 2 else 0
            for a, b in zip(short, long, strict=True)
        ]
        jumps = [Fraction(step, n) if n > 0 else Fraction(0) for n in more]
        known = filter(None, [*jumps, OUTPUT_JUMP])
        if all(1 in ((a / b).denominator, (b / a).denominator) for a, b in pairwise(known)):
            break  # else the coarsest grid does not divide the step, and was rounded
    return jumps


def _extents(
    recorder: LayerRecorder, shape: Callable[[int], list[int]], axis: int, jumps: Sequence[Fraction]
) -> tuple[LayerExtent, ...]:
    """Return what each layer sees, on an input that is long enough for all that do not see everything."""
    counts, coarsest = [], Fraction(1)
    for jump in jumps:  # a layer repeats itself with the coarsest grid before it
        counts.append(ceil(coarsest / jump) if jump else 1)
        coarsest = max(coarsest, jump)
    extents: list[LayerExtent] = []
    for length in PROBE_LENGTHS:
        wide = max(length, 8 * ceil(coarsest))
        extents = list(_spans(recorder, shape(wide), axis, jumps, counts))
        if not any(_touches(reach, wide) for reach in extents):
            break
    else:
        extents = [replace(reach, is_whole=_touches(reach, wide)) for reach in extents]
    return tuple(extents)


def _touches(extent: LayerExtent, length: int) -> bool:
    """Whether a field is cut off by an end of the input."""
    return any(first <= 0 or last >= length - 1 for _, first, last in extent.spans)


def _spans(
    recorder: LayerRecorder, shape: Sequence[int], axis: int, jumps: Sequence[Fraction], counts: Sequence[int]
) -> Iterator[LayerExtent]:
    """Yield what each layer sees: one row of a batch for each layer and phase, back-propagated together."""
    probes = [(layer, phase) for layer, count in enumerate(counts) for phase in range(count)]
    batch_size = max(1, BATCH_NUMBERS // torch.Size(shape).numel())
    spans: list[list[tuple[int, int, int]]] = [[] for _ in counts]
    for at in range(0, len(probes), batch_size):
        rows = probes[at : at + batch_size]
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
            where = sums[row].nonzero()[:, 0]
            length = outputs[layer].output.shape[2 + axis] if jumps[layer] else 1
            index = _middle(length, counts[layer]) + phase
            first, last = (int(where[0]), int(where[-1])) if len(where) else (shape[1 + axis], -1)
            spans[layer].append((index, first, last))
    for one, jump, rows_of in zip(outputs, jumps, spans, strict=True):
        is_cropped = bool(jump) and one.output.shape[2 + axis] * jump < shape[1 + axis]
        yield LayerExtent(one.name, one.kind, jump, tuple(rows_of), is_cropped)


def _middle(length: int, count: int) -> int:
    """Return the first of ``count`` outputs in the middle of a layer, on the pooling grid."""
    return length // 2 // count * count


def period(extents: Sequence[LayerExtent]) -> int:
    """Return after how many pixels the network repeats itself: its pooling grid."""
    return lcm(*(reach.jump.numerator for reach in extents if reach.jump))
