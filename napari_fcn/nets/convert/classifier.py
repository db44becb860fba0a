"""Converts a classifier of crops to a network for images of any size, with the same weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm

from napari_fcn.nets.convert.graph import called, dimensions, finish, follow, module_of, put
from napari_fcn.nets.convert.sliding import AVERAGE_POOLS, MAX_POOLS, Lengths, check_merge, per_axis, role
from napari_fcn.nets.layers import BATCH_NORM, CONV

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """The output of a step for a crop of the training size: a map, or a flattened map.

    Attributes
    ----------
    channels : int
        Channels of the map.
    lengths : tuple of int
        Positions of the map in the classifier, per axis.
    read : tuple of int
        Positions of the map in the converted network: more if a pooling is merged into its linear layer.
    is_row : bool
        Whether the classifier has flattened it.
    """

    channels: int
    lengths: Lengths
    read: Lengths
    is_row: bool

    @property
    def is_point(self) -> bool:
        """Whether there is one position, so that flattening changes nothing."""
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
    graph = follow(classifier)
    ndim, channels = dimensions(graph)
    _measure(graph, (1, channels, *per_axis(size, ndim)))
    conversion = _Conversion(graph, ndim)
    for node in list(graph.graph.nodes):
        conversion.convert(node)
    return finish(graph)


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
    """One pass over a graph, from the image to the classes."""

    def __init__(self, graph: fx.GraphModule, ndim: int) -> None:
        self.graph = graph
        self.ndim = ndim
        self.held: dict[fx.Node, TensorInfo] = {}

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
        return ValueError(f"{called(self.graph, node)} cannot be converted: {why}")

    def _source(self, node: fx.Node) -> TensorInfo:
        """Return the output of the previous step."""
        return self.held[next(source for source in node.all_input_nodes if source in self.held)]

    def _keep(self, node: fx.Node) -> None:
        """Keep a layer of maps."""
        sources = [self.held[source] for source in node.all_input_nodes if source in self.held]
        shape = _shape(node)
        if any(held.is_row or held.read != held.lengths for held in sources):
            raise self._refuse(node, "it needs a map, but its input was flattened or pooled to a fixed size.")
        if len(shape) != self.ndim + 2:
            raise self._refuse(node, f"its output of shape {shape} is not a map of {self.ndim} axes.")
        self.held[node] = TensorInfo(shape[1], shape[2:], shape[2:], is_row=False)

    def _pointwise(self, node: fx.Node) -> None:
        held, module = self._source(node), module_of(self.graph, node)
        is_nothing = isinstance(module, nn.Identity | nn.modules.dropout._DropoutNd)
        if not is_nothing and held.read != held.lengths:
            raise self._refuse(node, "it is between a pooling to several positions and its linear layer.")
        if held.is_row and not held.is_point and isinstance(module, _BatchNorm | nn.PReLU):
            raise self._refuse(node, "it weighs each position of the flattened map separately.")
        if held.is_row and isinstance(module, _BatchNorm):
            node = put(self.graph, node, _norm(module, self.ndim))
        self.held[node] = held

    def _merge(self, node: fx.Node) -> None:
        check_merge(self.graph, node)
        sources = [self.held[source] for source in node.all_input_nodes if source in self.held]
        if not sources or any(
            (held.lengths, held.is_row) != (sources[0].lengths, sources[0].is_row) for held in sources
        ):
            shapes = [held.lengths for held in sources]
            raise self._refuse(node, f"it joins maps of sizes {shapes}: one of them depends on the whole crop.")
        if any(held.read != held.lengths for held in sources) or (sources[0].is_row and not sources[0].is_point):
            raise self._refuse(node, "it joins maps that were pooled to a fixed size or flattened.")
        self.held[node] = TensorInfo(_shape(node)[1], sources[0].lengths, sources[0].read, sources[0].is_row)

    def _softmax(self, node: fx.Node) -> None:
        held, module = self._source(node), module_of(self.graph, node)
        axis = getattr(module, "dim", None)
        allowed = (1, -1, None) if held.is_row else (1, -1 - self.ndim)
        if axis not in allowed or (held.is_row and not held.is_point):
            raise self._refuse(node, "it does not run over the channels.")
        self.held[put(self.graph, node, type(module)(1))] = held  # type: ignore[misc]

    def _adaptive(self, node: fx.Node) -> None:
        held, module = self._source(node), module_of(self.graph, node)
        if held.is_row or held.read != held.lengths:
            raise self._refuse(node, "its input was already flattened or pooled to a fixed size.")
        is_mean = isinstance(module, nn.modules.pooling._AdaptiveAvgPoolNd)
        after = _shape(node)[2:]
        if all(n in (1, m) for n, m in zip(after, held.lengths, strict=True)):
            self._pool(node, after, is_mean)
        elif is_mean:
            waiting = put(self.graph, node, nn.Identity())
            self.held[waiting] = TensorInfo(held.channels, after, held.lengths, is_row=False)
        else:
            raise self._refuse(node, f"maxima of {held.lengths} positions in {after} groups have no sliding form.")

    def _mean(self, node: fx.Node) -> None:
        held, after = self._source(node), _shape(node)
        over: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else ())
        axes = {axis % (self.ndim + 2) for axis in ([over] if isinstance(over, int) else over)}
        if held.is_row or held.read != held.lengths or axes != set(range(2, self.ndim + 2)):
            raise self._refuse(node, "only the mean over all spatial axes of a map becomes a pooling.")
        pooled = self._pool(node, (1,) * self.ndim, is_mean=True)
        if len(after) == 2:
            self.held[pooled] = replace(self.held[pooled], is_row=True)

    def _pool(self, node: fx.Node, after: Lengths, is_mean: bool) -> fx.Node:
        """Replace global pooling by stride-1 pooling."""
        held = self._source(node)
        kernel = tuple(m if n == 1 else 1 for n, m in zip(after, held.lengths, strict=True))
        kinds: Any = AVERAGE_POOLS if is_mean else MAX_POOLS
        module = kinds[self.ndim - 1](kernel, stride=1) if max(kernel) > 1 else nn.Identity()
        new = put(self.graph, node, module)
        self.held[new] = TensorInfo(held.channels, after, after, is_row=False)
        return new

    def _flatten(self, node: fx.Node) -> None:
        held, after = self._source(node), _shape(node)
        if after != (1, held.channels * prod(held.lengths)):
            raise self._refuse(
                node, f"it turns (1, {held.channels}, *{held.lengths}) into {after}, not into one row per image."
            )
        flat = TensorInfo(held.channels, held.lengths, held.read, is_row=True)
        self.held[put(self.graph, node, nn.Identity())] = flat

    def _linear(self, node: fx.Node) -> None:
        held = self._source(node)
        if not held.is_row:
            raise self._refuse(node, "it acts on the last axis of a map. Flatten before it.")
        linear: Any = module_of(self.graph, node)
        one = (1,) * self.ndim
        self.held[put(self.graph, node, _convolution(linear, held))] = TensorInfo(
            linear.out_features, one, one, is_row=True
        )

    def _finish(self, node: fx.Node) -> None:
        output = node.args[0]
        if not isinstance(output, fx.Node):
            raise ValueError(
                "The classifier returns more than one tensor. Wrap it in a module that returns the scores."
            )
        held = self.held[output]
        if held.read != held.lengths or (held.is_row and not held.is_point):
            raise self._refuse(output, "it flattens a map without a linear layer after it.")


def _convolution(linear: nn.Linear, held: TensorInfo) -> nn.Module:
    """Return the convolution that equals a linear layer of a flattened map in each window."""
    ndim = len(held.lengths)
    weight = linear.weight.detach().view(linear.out_features, held.channels, *held.lengths)
    for axis, (inputs, outputs) in enumerate(zip(held.read, held.lengths, strict=True), start=2):
        if inputs != outputs:
            means = _pooling(inputs, outputs).to(weight)
            weight = torch.tensordot(weight, means, dims=([axis], [0])).movedim(-1, axis)
    module = CONV[ndim](held.channels, linear.out_features, held.read, bias=linear.bias is not None, device="meta")  # type: ignore[arg-type]
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
