"""Converts a classifier of crops into a network for images of any size, with the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm

from napari_fcn.nets.convert.graph import describe_node, dimensions, finalise, module_of, replace_node, trace
from napari_fcn.nets.convert.sliding import AVERAGE_POOLS, MAX_POOLS, Lengths, check_merge, per_axis, role
from napari_fcn.nets.layers import BATCH_NORM, CONV

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """The output of a step for a crop of the training size: a map or a flattened map.

    Attributes
    ----------
    channels : int
        Channels of the map.
    lengths : tuple of int
        Positions of the map in the classifier, per axis.
    read : tuple of int
        Positions of the map in the converted network: more if pooling is merged into its linear layer.
    is_row : bool
        Whether the classifier has flattened the map.
    """

    channels: int
    lengths: Lengths
    read: Lengths
    is_row: bool

    @property
    def is_point(self) -> bool:
        """Whether the map has one position, so that flattening changes nothing."""
        return prod(self.lengths) == 1 and self.read == self.lengths


def fully_convolutional(classifier: nn.Module, size: int | Sequence[int]) -> fx.GraphModule:
    """Return a classifier as a fully convolutional network, from ``(N, C, *space)`` to ``(N, classes, *positions)``.

    Linear layers become convolutions with the same weights, the first of them with a kernel as large as the map that
    the classifier flattens; pooling to a fixed size becomes stride-1 pooling over a fixed window (Long et al. 2015,
    section 3.1; Sermanet et al. 2014).

    At the training size the output is that of the classifier. On a larger image, position ``i`` belongs to the crop
    that starts at pixel ``i * stride``:

    - A classifier without padding: the output equals the classifier on that crop, at every position. (If the
      classifier skips the last pixels of a crop, there can be a last position whose crop lacks just those.)
    - A classifier with padding: it does not. A sliding classifier pads every crop; the converted network reads the
      surroundings of the crop instead, and pads only the border of the image. `analyze_padding` returns the receptive
      field of each position and the layers that pad; `ValidConv` keeps the positions without padding, which equal a
      sliding window of that network, though not of the classifier.

    Parameters
    ----------
    classifier : nn.Module
        Convolutions and pools, then flattening or global pooling, then linear layers; also residual sums and
        concatenations, as in the networks of torchvision. A copy in evaluation mode is converted.
    size : int or sequence of int
        Spatial size of the crops that it was trained on, for all axes or one each.

    Raises
    ------
    ValueError
        If a layer cannot be converted; it is named.
    """
    graph = trace(classifier)
    ndim, channels = dimensions(graph)
    _measure(graph, (1, channels, *per_axis(size, ndim)))
    conversion = _Conversion(graph, ndim)
    for node in list(graph.graph.nodes):
        conversion.convert(node)
    return finalise(graph)


def _measure(graph: fx.GraphModule, shape: Lengths) -> None:
    """Record the shape of each step for an image of this shape."""
    like = next(graph.parameters())
    try:
        with torch.no_grad():
            ShapeProp(graph).propagate(torch.zeros(shape, dtype=like.dtype, device=like.device))
    except RuntimeError as error:
        reason = error.__cause__ or error
        raise ValueError(f"The classifier does not run on an input of {shape}: {reason}. Is the size right?") from error


def _shape(node: fx.Node) -> Lengths:
    """Return the shape of a step at the training size."""
    meta: Any = node.meta.get("tensor_meta")
    return tuple(meta.shape) if hasattr(meta, "shape") else ()


class _Conversion:
    """Converts the steps of a graph in order."""

    def __init__(self, graph: fx.GraphModule, ndim: int) -> None:
        self.graph = graph
        self.ndim = ndim
        self.infos: dict[fx.Node, TensorInfo] = {}

    def convert(self, node: fx.Node) -> None:
        """Convert one step and record its output."""
        match role(self.graph, node):
            case "input" | "sliding":
                self._keep(node)
            case "pointwise":
                self._pointwise(node)
            case "merge":
                self._merge(node)
            case "adaptive":
                self._adaptive(node)
            case "mean":
                self._mean(node)
            case "flatten":
                self._flatten(node)
            case "linear":
                self._linear(node)
            case "softmax":
                self._softmax(node)
            case "output":
                self._finish(node)

    def _refuse(self, node: fx.Node, why: str) -> ValueError:
        return ValueError(f"{describe_node(self.graph, node)} cannot be converted: {why}")

    def _source(self, node: fx.Node) -> TensorInfo:
        """Return the output of the previous step."""
        return self.infos[next(source for source in node.all_input_nodes if source in self.infos)]

    def _keep(self, node: fx.Node) -> None:
        """Leave a layer of maps unchanged."""
        sources = [self.infos[source] for source in node.all_input_nodes if source in self.infos]
        shape = _shape(node)
        if any(info.is_row or info.read != info.lengths for info in sources):
            raise self._refuse(node, "it needs a map, but its input was flattened or pooled to a fixed size.")
        if len(shape) != self.ndim + 2:
            raise self._refuse(node, f"its output of shape {shape} is not a map of {self.ndim} axes.")
        self.infos[node] = TensorInfo(shape[1], shape[2:], shape[2:], is_row=False)

    def _pointwise(self, node: fx.Node) -> None:
        info, module = self._source(node), module_of(self.graph, node)
        is_nothing = isinstance(module, nn.Identity | nn.modules.dropout._DropoutNd)
        if not is_nothing and info.read != info.lengths:
            raise self._refuse(node, "it is between a pooling to several positions and its linear layer.")
        if info.is_row and not info.is_point and isinstance(module, _BatchNorm | nn.PReLU):
            raise self._refuse(node, "it weighs each position of the flattened map separately.")
        if info.is_row and isinstance(module, _BatchNorm):
            node = replace_node(self.graph, node, _norm(module, self.ndim))
        self.infos[node] = info

    def _merge(self, node: fx.Node) -> None:
        check_merge(self.graph, node)
        sources = [self.infos[source] for source in node.all_input_nodes if source in self.infos]
        if not sources or any(
            (info.lengths, info.is_row) != (sources[0].lengths, sources[0].is_row) for info in sources
        ):
            shapes = [info.lengths for info in sources]
            raise self._refuse(node, f"it joins maps of sizes {shapes}: one of them depends on the whole crop.")
        if any(info.read != info.lengths for info in sources) or (sources[0].is_row and not sources[0].is_point):
            raise self._refuse(node, "it joins maps that were pooled to a fixed size or flattened.")
        self.infos[node] = TensorInfo(_shape(node)[1], sources[0].lengths, sources[0].read, sources[0].is_row)

    def _softmax(self, node: fx.Node) -> None:
        info, module = self._source(node), module_of(self.graph, node)
        axis = getattr(module, "dim", None)
        allowed = (1, -1, None) if info.is_row else (1, -1 - self.ndim)
        if axis not in allowed or (info.is_row and not info.is_point):
            raise self._refuse(node, "it does not run over the channels.")
        self.infos[replace_node(self.graph, node, type(module)(1))] = info  # type: ignore[misc]

    def _adaptive(self, node: fx.Node) -> None:
        info, module = self._source(node), module_of(self.graph, node)
        if info.is_row or info.read != info.lengths:
            raise self._refuse(node, "its input was already flattened or pooled to a fixed size.")
        is_mean = isinstance(module, nn.modules.pooling._AdaptiveAvgPoolNd)
        after = _shape(node)[2:]
        if all(n in (1, m) for n, m in zip(after, info.lengths, strict=True)):
            self._pool(node, after, is_mean)
        elif is_mean:
            waiting = replace_node(self.graph, node, nn.Identity())
            self.infos[waiting] = TensorInfo(info.channels, after, info.lengths, is_row=False)
        else:
            raise self._refuse(node, f"maxima of {info.lengths} positions in {after} groups have no sliding form.")

    def _mean(self, node: fx.Node) -> None:
        info, after = self._source(node), _shape(node)
        dims: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else ())
        axes = {axis % (self.ndim + 2) for axis in ([dims] if isinstance(dims, int) else dims)}
        if info.is_row or info.read != info.lengths or axes != set(range(2, self.ndim + 2)):
            raise self._refuse(node, "only the mean over all spatial axes of a map becomes a pooling.")
        pooled = self._pool(node, (1,) * self.ndim, is_mean=True)
        if len(after) == 2:
            self.infos[pooled] = replace(self.infos[pooled], is_row=True)

    def _pool(self, node: fx.Node, after: Lengths, is_mean: bool) -> fx.Node:
        """Replace global pooling by stride-1 pooling."""
        info = self._source(node)
        kernel = tuple(m if n == 1 else 1 for n, m in zip(after, info.lengths, strict=True))
        kinds: Any = AVERAGE_POOLS if is_mean else MAX_POOLS
        module = kinds[self.ndim - 1](kernel, stride=1) if max(kernel) > 1 else nn.Identity()
        new = replace_node(self.graph, node, module)
        self.infos[new] = TensorInfo(info.channels, after, after, is_row=False)
        return new

    def _flatten(self, node: fx.Node) -> None:
        info, after = self._source(node), _shape(node)
        if after != (1, info.channels * prod(info.lengths)):
            raise self._refuse(
                node, f"it turns (1, {info.channels}, *{info.lengths}) into {after}, not into one row per image."
            )
        flat = TensorInfo(info.channels, info.lengths, info.read, is_row=True)
        self.infos[replace_node(self.graph, node, nn.Identity())] = flat

    def _linear(self, node: fx.Node) -> None:
        info = self._source(node)
        if not info.is_row:
            raise self._refuse(node, "it acts on the last axis of a map. Flatten before it.")
        linear: Any = module_of(self.graph, node)
        single = (1,) * self.ndim
        self.infos[replace_node(self.graph, node, _convolution(linear, info))] = TensorInfo(
            linear.out_features, single, single, is_row=True
        )

    def _finish(self, node: fx.Node) -> None:
        output = node.args[0]
        if not isinstance(output, fx.Node):
            raise ValueError(
                "The classifier returns more than one tensor. Wrap it in a module that returns the scores."
            )
        info = self.infos[output]
        if info.read != info.lengths or (info.is_row and not info.is_point):
            raise self._refuse(output, "it flattens a map without a linear layer after it.")


def _convolution(linear: nn.Linear, info: TensorInfo) -> nn.Module:
    """Return the convolution that equals a linear layer of a flattened map in each window."""
    ndim = len(info.lengths)
    weight = linear.weight.detach().view(linear.out_features, info.channels, *info.lengths)
    for axis, (inputs, outputs) in enumerate(zip(info.read, info.lengths, strict=True), start=2):
        if inputs != outputs:
            means = _pooling(inputs, outputs).to(weight)
            weight = torch.tensordot(weight, means, dims=([axis], [0])).movedim(-1, axis)
    module = CONV[ndim](info.channels, linear.out_features, info.read, bias=linear.bias is not None, device="meta")  # type: ignore[arg-type]
    module.weight = nn.Parameter(weight.contiguous())
    module.bias = linear.bias
    return module


def _pooling(inputs: int, outputs: int) -> Tensor:
    """Return adaptive average pooling along one axis as a matrix (outputs, inputs); a linear layer can absorb it."""
    means = torch.zeros(outputs, inputs, dtype=torch.float64)
    for i in range(outputs):
        first, end = i * inputs // outputs, -(-(i + 1) * inputs // outputs)
        means[i, first:end] = 1 / (end - first)
    return means


def _norm(old: _BatchNorm, ndim: int) -> nn.Module:
    """Return a batch norm of rows as one of maps."""
    new = BATCH_NORM[ndim](old.num_features, old.eps, old.momentum, old.affine)
    new.load_state_dict(old.state_dict())
    return new.to(old.running_mean) if old.running_mean is not None else new
