"""Finds operations of a network that depend on the whole image, which no halo of a tile covers.

Layers of torch are identified by type; functions that `forward` calls are not. So all function calls are recorded while
the network runs on images of two sizes: an operation that removes an axis that grows with the image, or mixes all
positions along it, depends on the whole image.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_fcn.errors import FORWARD_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROBE_SIZES = {1: ((256, 384), (2048, 3072)), 2: ((64, 128), (128, 192), (256, 384)), 3: ((16, 32), (32, 48), (64, 96))}
AXIS_MIXERS = {  # functions that mix positions along an axis: that given, the last, or all
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")),
    **dict.fromkeys(("sort", "argsort", "flip", "roll", "topk", "median", "normalize", "renorm")),
}
INPUT_MIXERS = {  # functions that mix positions along these axes of their first argument
    **dict.fromkeys(("fliplr", "flipud", "rot90", "lstm", "gru", "rnn_tanh", "rnn_relu"), slice(None)),
    "group_norm": slice(2, None),
    "scaled_dot_product_attention": slice(-2, -1),
    "multi_head_attention_forward": slice(0, 1),  # (positions, images, channels)
}
SHAPE_FUNCTIONS = ("new_", "size", "dim", "numel", "item", "tolist", "__len__")  # functions that read no pixel
DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
RANDOM_FUNCTIONS = ("rand_like", "randn_like", "bernoulli", "bernoulli_", "normal_", "uniform_", "rrelu")


@dataclass(frozen=True, slots=True)
class Operation:
    """A call of a function: its label for the user, and the shapes of inputs and outputs."""

    name: str
    label: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Recorder(TorchFunctionMode):
    """Records the functions that a network calls, and the modules that call them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.reset()
        for name, module in net.named_modules():
            if name:
                module.register_forward_pre_hook(self._enter(name))
                module.register_forward_hook(self._leave)

    def reset(self) -> None:
        """Delete the operations of an earlier run."""
        self.operations: list[Operation] = []
        self._stack: list[tuple[str, nn.Module]] = [("", self.net)]

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, _: Any) -> None:
            self._stack.append((name, module))

        return enter

    def _leave(self, *_: Any) -> None:
        self._stack.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function and record it."""
        kwargs = kwargs or {}
        inputs = tuple(tuple(x.shape) for x in _tensors((*args, *kwargs.values())))
        out = func(*args, **kwargs)
        outputs = tuple(tuple(x.shape) for x in _tensors((out,)))
        name = getattr(func, "__name__", "")
        if inputs and outputs and not name.startswith(SHAPE_FUNCTIONS):
            plain = tuple(None if isinstance(x, Tensor) else x for x in args)
            named = {k: isinstance(v, Tensor) or v for k, v in kwargs.items()}
            self.operations.append(Operation(name, self._label(name), inputs, outputs, plain, named))
        return out

    def _label(self, function: str) -> str:
        name, module = self._stack[-1]
        kind = type(module).__name__
        if name and type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential):
            return f"{name} ({kind})"
        return f"{function} in {f'{name} ({kind})' if name else kind}"


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    """Yield the tensors among some values and lists of values."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(tuple(value.values()))


def unbounded_operations(net: nn.Module, ndim: int, channels: int) -> tuple[str, ...]:
    """Return the operations that depend on the whole image, as ``layer (type)`` or ``function in layer (type)``.

    The result is empty for a network that does not run on images of other sizes. The network is not changed.
    """
    copy = deepcopy(net).eval()
    recorder = _Recorder(copy)
    parameter = next((p for p in copy.parameters() if p.is_floating_point()), torch.zeros(()))
    for sizes in PROBE_SIZES[ndim]:
        runs = []
        for size in sizes:
            recorder.reset()
            x = torch.rand(1, channels, *(size,) * ndim, generator=torch.Generator().manual_seed(0))
            try:
                with torch.no_grad(), torch.random.fork_rng(devices=[]), recorder:
                    copy(x.to(parameter.device, parameter.dtype))
            except FORWARD_ERRORS:
                break
            runs.append(recorder.operations)
        if len(runs) == len(sizes):
            return _global_labels(runs[0], runs[1], sizes[1] / sizes[0])
    return ()


def _global_labels(small: Sequence[Operation], large: Sequence[Operation], growth: float) -> tuple[str, ...]:
    """Return the labels of operations that depend on the whole image, in the order in which they run."""
    if [op.name for op in small] != [op.name for op in large]:  # the path depends on the size
        large = small
    labels = []
    for a, b in zip(small, large, strict=True):
        if a.name in RANDOM_FUNCTIONS or (a.name in DROPOUTS and _is_training(a)):
            labels.append(f"{a.label}, which is random")
        elif _mixes(a, b) or _loses(a, b, growth):
            labels.append(a.label)
    return tuple(dict.fromkeys(labels))


def _loses(small: Operation, large: Operation, growth: float) -> bool:
    """Whether the result has fewer growing axes than the inputs, or more because all pairs are combined."""
    pairs = list(zip(small.inputs, large.inputs, strict=True))
    results = list(zip(small.outputs, large.outputs, strict=True))
    before, after = max(map(_growing, pairs)), max(map(_growing, results))
    if after > before > 0:
        return len(pairs) > 1  # else an axis was only split
    return after < before and max(map(_ratio, results)) < max(map(_ratio, pairs)) / growth**0.5  # else axes were joined


def _growing(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
    """Return the number of axes of a tensor that grow with the image."""
    return sum(a != b for a, b in zip(*shapes, strict=True)) if len(shapes[0]) == len(shapes[1]) else 0


def _ratio(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> float:
    """Return the ratio of the sizes of a tensor for the larger and the smaller image."""
    return torch.Size(shapes[1]).numel() / max(1, torch.Size(shapes[0]).numel())


def _mixes(small: Operation, large: Operation) -> bool:
    """Whether an operation that keeps the shape mixes all positions along an axis that grows with the image."""
    name = small.name
    if name in INPUT_MIXERS:
        return small.inputs[0][INPUT_MIXERS[name]] != large.inputs[0][INPUT_MIXERS[name]]
    if name == "instance_norm":
        return bool(_argument(small, "use_input_stats", 5, True))
    if name == "batch_norm":
        return bool(_argument(small, "training", 5, False)) or len(small.inputs) < 3
    if name == "layer_norm":
        shape = _argument(small, "normalized_shape", 1, ())
        return (isinstance(shape, list | tuple) and len(shape) > 1) or small.inputs[0][-1] != large.inputs[0][-1]
    if name == "pad":
        return bool(_argument(small, "mode", 2, "constant") == "circular")
    if name.startswith(("fft_", "_fft", "stft", "istft")):
        return True
    if name not in AXIS_MIXERS:
        return False
    sizes = list(zip(small.inputs[0], large.inputs[0], strict=True))
    position = 2 if name in ("roll", "renorm", "topk", "normalize") else 1
    keyword = "dims" if name in ("flip", "roll") else "dim"
    axis = _argument(small, keyword, position, None)
    if not isinstance(axis, int | list | tuple):
        axis = {"sort": -1, "argsort": -1, "topk": -1, "normalize": 1}.get(name, tuple(range(len(sizes))))
    axes = (axis, *small.args[position + 1 :]) if isinstance(axis, int) else axis
    numbers = [axis for axis in axes if isinstance(axis, int) and -len(sizes) <= axis < len(sizes)]
    return any(sizes[axis][0] != sizes[axis][1] for axis in numbers)


def _argument(operation: Operation, keyword: str, position: int, default: Any) -> Any:
    """Return an argument of a call."""
    if keyword in operation.kwargs:
        return operation.kwargs[keyword]
    return operation.args[position] if len(operation.args) > position else default


def _is_training(operation: Operation) -> bool:
    """Whether a call of dropout is active."""
    return bool(_argument(operation, "training", 2, True)) and _argument(operation, "p", 1, 0.5) != 0
