"""Full resolution from a network with strides: each stride becomes a dilation of the layers after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any

from torch import fx, nn

from napari_fcn.nets.convert.averaging import DilatedAverage
from napari_fcn.nets.convert.graph import describe_node, dimensions, finalise, module_of, replace_node, trace
from napari_fcn.nets.convert.sliding import (
    CONVS,
    MAX_POOLS,
    PADS,
    Lengths,
    Sliding,
    check_merge,
    per_axis,
    role,
    sliding,
)
from napari_fcn.nets.layers import CONV, MAX_POOL

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class _Grid:
    """Distance between positions of the converted map in pixels, and dilation relative to the original map."""

    step: Lengths
    rate: Lengths


def dilate(net: nn.Module, stride: int | Sequence[int] = 1) -> fx.GraphModule:
    """Return a copy of a network with an output at each pixel, the same weights and the same receptive field.

    Strides of convolutions and pools are set to 1, and what follows is dilated by them ("a trous"; Giusti et al. 2013,
    Chen et al. 2018 (DeepLab), Yu & Koltun 2016), its padding too::

        stride 2:    x . x . x . x        dilation 2:    x x x x x x x
                     |___|___|                           |___|___|
                                                           |___|___|

    The new outputs include the old ones: ``dilate(net)(x)[..., ::s] == net(x)`` for the old stride ``s`` (on each
    axis), also at the border. The outputs between them are those for the image shifted within the grid, wherever they
    do not depend on padding (`shift_and_stitch`); elsewhere the shifted image pads other pixels.

    Parameters
    ----------
    net : nn.Module
        Convolutions, pools, norms in evaluation mode, activations, sums and concatenations.
    stride : int or sequence of int
        Maximum distance between outputs in pixels: the first strides are kept while their product does not exceed it
        (the "output stride" of DeepLab).

    Raises
    ------
    ValueError
        If a layer cannot be dilated; it is named.
    """
    graph = trace(net)
    ndim, _ = dimensions(graph)
    max_stride = per_axis(stride, ndim)
    grids: dict[fx.Node, _Grid] = {}
    for node in list(graph.graph.nodes):
        match role(graph, node):
            case "input":
                grids[node] = _Grid((1,) * ndim, (1,) * ndim)
            case "sliding":
                _dilate_layer(graph, node, grids, max_stride)
            case "pointwise" | "merge" | "softmax":
                grids[node] = _common_grid(graph, node, grids)
            case "output" | "constant" | "size":
                pass
            case _:
                raise ValueError(
                    f"{describe_node(graph, node)} depends on the whole image and cannot be dilated. "
                    "Convert the classifier with fully_convolutional first."
                )
    return finalise(graph)


def _dilate_layer(graph: fx.GraphModule, node: fx.Node, grids: dict[fx.Node, _Grid], max_stride: Lengths) -> None:
    """Replace one layer and record the grid of its output."""
    grid = grids[node.all_input_nodes[0]]
    layer = sliding(graph, node, len(max_stride))
    stride = tuple(s if j * s <= limit else 1 for s, j, limit in zip(layer.stride, grid.step, max_stride, strict=True))
    if stride != layer.stride or any(r > 1 for r in grid.rate):
        node = replace_node(graph, node, _dilated(graph, node, _spread(layer, grid.rate, stride)))
    grids[node] = _Grid(
        tuple(j * k for j, k in zip(grid.step, stride, strict=True)),
        tuple(r * s // k for r, s, k in zip(grid.rate, layer.stride, stride, strict=True)),
    )


def _spread(layer: Sliding, rate: Lengths, stride: Lengths) -> Sliding:
    dilation, before, after = (
        tuple(n * r for n, r in zip(lengths, rate, strict=True))
        for lengths in (layer.dilation, layer.before, layer.after)
    )
    return Sliding(layer.kernel, stride, dilation, before, after)


def _dilated(graph: fx.GraphModule, node: fx.Node, layer: Sliding) -> nn.Module:
    """Return the layer of a node in its new geometry."""
    module: Any = module_of(graph, node)
    is_padded = any(layer.before + layer.after)
    if getattr(module, "ceil_mode", False):
        raise ValueError(
            f"{describe_node(graph, node)} pools part of a window at the far border (ceil_mode), which has no dilated "
            "form. Set ceil_mode=False; this changes only the far border."
        )
    if is_padded and not _pads_with_a_constant(module):
        raise ValueError(
            f"{describe_node(graph, node)} pads with pixels of the image, which has no dilated form. Pad with zeros."
        )
    if isinstance(module, PADS):
        return _pad(layer, getattr(module, "value", 0.0))
    if isinstance(module, CONVS):
        return _with_padding(layer, 0.0, lambda inner: _convolution(module, inner))
    if isinstance(module, MAX_POOLS):
        return _with_padding(layer, -inf, _max_pool)
    if isinstance(module, DilatedAverage):
        return DilatedAverage(layer, module.counts_padding, module.divisor)
    divisor = getattr(module, "divisor_override", None)
    return DilatedAverage(layer, module.count_include_pad, divisor)


def _pads_with_a_constant(module: Any) -> bool:
    if isinstance(module, PADS):
        return isinstance(module, nn.modules.padding._ConstantPadNd)
    return getattr(module, "padding_mode", "zeros") == "zeros"


def _with_padding(layer: Sliding, value: float, make: Any) -> nn.Module:
    """Return the layer of ``make``, with a separate padding layer if it cannot pad itself."""
    fits = all(2 * p <= k for p, k in zip(layer.before, layer.kernel, strict=True))  # the limit of max pooling in torch
    if layer.is_symmetric and (fits or value == 0):
        return make(layer)  # type: ignore[no-any-return]
    none = (0,) * len(layer.kernel)
    return nn.Sequential(_pad(layer, value), make(replace(layer, before=none, after=none)))


def _pad(layer: Sliding, value: float) -> nn.Module:
    kinds = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
    return kinds[len(layer.kernel) - 1](tuple(layer.flat_padding), value)  # type: ignore[arg-type]


def _max_pool(layer: Sliding) -> nn.Module:
    return MAX_POOL[len(layer.kernel)](layer.kernel, layer.stride, layer.before, layer.dilation)


def _convolution(old: Any, layer: Sliding) -> nn.Module:
    """Return a convolution that shares the weights of another."""
    new = CONV[len(layer.kernel)](
        old.in_channels,
        old.out_channels,
        layer.kernel,  # type: ignore[arg-type]  # one length per axis fits every dimension
        layer.stride,  # type: ignore[arg-type]
        layer.before,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        old.groups,
        bias=old.bias is not None,
        device="meta",
    )
    new.weight, new.bias = old.weight, old.bias
    return new


def _common_grid(graph: fx.GraphModule, node: fx.Node, grids: dict[fx.Node, _Grid]) -> _Grid:
    check_merge(graph, node)
    sources = [grids[source] for source in node.all_input_nodes if source in grids]
    if not sources or any(grid != sources[0] for grid in sources):
        raise ValueError(
            f"{describe_node(graph, node)} joins maps of different strides. They cannot be dilated together."
        )
    return sources[0]
