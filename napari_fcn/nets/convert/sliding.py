"""The role of each layer: pointwise, a sliding window, or dependent on the whole image."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules import padding as pads
from torch.nn.modules.batchnorm import _BatchNorm

from napari_fcn.nets.convert.averaging import DilatedAverage
from napari_fcn.nets.convert.graph import constant, describe_node, module_of
from napari_fcn.nets.layers import CONV, MAX_POOL

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal[
    "input", "output", "constant", "size", "pointwise", "merge", "sliding", "adaptive", "mean", "flatten", "linear",
    "softmax",
]  # fmt: skip
Lengths = tuple[int, ...]

CONVS = tuple(CONV.values())
MAX_POOLS = tuple(MAX_POOL.values())
AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
PADS = (pads._ConstantPadNd, pads._ReflectionPadNd, pads._ReplicationPadNd, pads._CircularPadNd)

_POINTWISE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Sigmoid,
    nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Threshold, nn.LocalResponseNorm, nn.CrossMapLRN2d,
    nn.modules.dropout._DropoutNd,
)  # fmt: skip
_MODULES: tuple[tuple[tuple[type[nn.Module], ...], Role], ...] = (
    ((*CONVS, *MAX_POOLS, *AVERAGE_POOLS, *PADS, DilatedAverage), "sliding"),
    (_POINTWISE, "pointwise"),
    ((nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd), "adaptive"),
    ((nn.Flatten,), "flatten"),
    ((nn.Linear,), "linear"),
    ((nn.Softmax, nn.LogSoftmax), "softmax"),
)
_CALLS: dict[Any, Role] = {
    **dict.fromkeys((torch.cat, torch.concat, torch.maximum, torch.minimum), "merge"),
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "merge"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), "merge"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), "merge"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), "merge"),
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), "pointwise"),
    **dict.fromkeys((F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish, F.hardswish), "pointwise"),
    **dict.fromkeys((F.hardsigmoid, F.hardtanh, F.softplus, torch.sigmoid, torch.tanh), "pointwise"),
    **dict.fromkeys(("sigmoid", "tanh", "contiguous", "clone", operator.neg), "pointwise"),
    **dict.fromkeys((torch.flatten, "flatten", "view", "reshape", torch.reshape, "squeeze", torch.squeeze), "flatten"),
    **dict.fromkeys(("mean", torch.mean), "mean"),
    **dict.fromkeys(("size", "dim", getattr, operator.getitem), "size"),
}


@dataclass(frozen=True, slots=True)
class Sliding:
    """The sliding window of a layer, per spatial axis.

    Attributes
    ----------
    kernel, stride, dilation : tuple of int
        Positions of the window, steps between windows, steps between positions.
    before, after : tuple of int
        Positions of padding.
    """

    kernel: Lengths
    stride: Lengths
    dilation: Lengths
    before: Lengths
    after: Lengths

    @property
    def flat_padding(self) -> list[int]:
        """The padding as `torch.nn.functional.pad` takes it: from the last axis to the first."""
        pairs = zip(reversed(self.before), reversed(self.after), strict=True)
        return [length for pair in pairs for length in pair]

    @property
    def is_symmetric(self) -> bool:
        """Whether both ends have the same padding."""
        return self.before == self.after


def role(graph: fx.GraphModule, node: fx.Node) -> Role:
    """Return the role of a step.

    Raises
    ------
    ValueError
        If it is unknown.
    """
    module = module_of(graph, node)
    result: Role | None
    if node.op == "get_attr":
        _check_constant(graph, node)
        return "constant"
    if node.op in ("placeholder", "output"):
        return "input" if node.op == "placeholder" else "output"
    if isinstance(module, _BatchNorm):
        result = "pointwise" if module.track_running_stats else None
    elif module is not None:
        result = next((kind for types, kind in _MODULES if isinstance(module, types)), None)
    else:
        result = _CALLS.get(node.target)
    if result == "size" and not _is_about_sizes(graph, node):
        result = None
    if result is None:
        raise ValueError(
            f"{describe_node(graph, node)} cannot be converted: it is not a known layer that acts on each position, "
            "slides a window or joins maps. Replace it, or convert the part of the network without it."
        )
    return result


def _is_about_sizes(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim")
    source = node.args[0]
    return node.target is not operator.getitem or (isinstance(source, fx.Node) and role(graph, source) == "size")


def check_merge(graph: fx.GraphModule, node: fx.Node) -> None:
    """Raise ValueError if a step joins maps along another axis than the channels."""
    if node.target in (torch.cat, torch.concat) and (node.kwargs.get("dim", (*node.args, 0)[1])) != 1:
        raise ValueError(f"{describe_node(graph, node)} joins maps along an axis other than the channels, axis 1.")


def sliding(graph: fx.GraphModule, node: fx.Node, ndim: int) -> Sliding:
    """Return the sliding window of the layer of a node."""
    module: Any = module_of(graph, node)
    if isinstance(module, DilatedAverage):
        return module.geometry
    if isinstance(module, PADS):
        ends = tuple(module.padding)
        if min(ends) < 0:
            raise ValueError(f"{describe_node(graph, node)} crops: its padding is negative. Crop the image instead.")
        ones = (1,) * ndim
        return Sliding(ones, ones, ones, ends[::2][::-1], ends[1::2][::-1])
    if getattr(module, "return_indices", False):
        raise ValueError(f"{describe_node(graph, node)} also returns indices. Set return_indices=False.")
    kernel = per_axis(module.kernel_size, ndim)
    dilation = per_axis(getattr(module, "dilation", 1), ndim)
    before, after = _padding(module.padding, kernel, dilation)
    return Sliding(kernel, per_axis(module.stride, ndim), dilation, before, after)


def per_axis(value: int | Sequence[int], ndim: int) -> Lengths:
    """Return one length per axis, from one for all axes or one each."""
    lengths = (value,) * ndim if isinstance(value, int) else tuple(value)
    if len(lengths) == 1:
        lengths *= ndim
    if len(lengths) != ndim or min(lengths) < 0:
        raise ValueError(f"{value} is not a length for each of {ndim} axes.")
    return lengths


def _padding(padding: str | int | Sequence[int], kernel: Lengths, dilation: Lengths) -> tuple[Lengths, Lengths]:
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):  # "same": torch puts the odd one at the end
        total = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
        return tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
    ends = per_axis(padding, len(kernel))
    return ends, ends


def _check_constant(graph: fx.GraphModule, node: fx.Node) -> None:
    shape = constant(graph, node).shape
    if len(shape) and (len(shape) < 3 or any(n != 1 for n in shape[2:])):
        raise ValueError(
            f"The constant '{node.target}' of shape {tuple(shape)} may differ from position to position. "
            "Only one value for all, or one per channel as (1, C, 1, ...), can be converted."
        )
