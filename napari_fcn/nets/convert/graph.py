"""Networks as graphs of layers that can be named, read and replaced."""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from napari_fcn.nets.convert.averaging import DilatedAverage
from napari_fcn.nets.layers import CONV, MAX_POOL

if TYPE_CHECKING:
    from collections.abc import Callable

# Functions that a module can replace; the first argument, the image, is left out.
_AS_MODULE: dict[Any, Callable[..., nn.Module]] = {
    F.avg_pool1d: nn.AvgPool1d,
    F.avg_pool2d: nn.AvgPool2d,
    F.avg_pool3d: nn.AvgPool3d,
    F.max_pool1d: lambda *args, **options: _max_pool(1, *args, **options),
    F.max_pool2d: lambda *args, **options: _max_pool(2, *args, **options),
    F.max_pool3d: lambda *args, **options: _max_pool(3, *args, **options),
    F.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.adaptive_avg_pool3d: nn.AdaptiveAvgPool3d,
    F.adaptive_max_pool1d: nn.AdaptiveMaxPool1d,
    F.adaptive_max_pool2d: nn.AdaptiveMaxPool2d,
    F.adaptive_max_pool3d: nn.AdaptiveMaxPool3d,
    F.dropout: lambda p=0.5, training=True, inplace=False: _dropout(training),
    F.softmax: lambda dim=None, **_: nn.Softmax(dim),
    F.log_softmax: lambda dim=None, **_: nn.LogSoftmax(dim),
    torch.softmax: lambda dim=None, **_: nn.Softmax(dim),
    torch.log_softmax: lambda dim=None, **_: nn.LogSoftmax(dim),
}


class _Tracer(fx.Tracer):
    """Traces into every module but those of torch, `DilatedAverage` and leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            isinstance(m, DilatedAverage)
            or getattr(m, "is_leaf", False)
            or super().is_leaf_module(m, module_qualified_name)
        )


def trace(net: nn.Module) -> fx.GraphModule:
    """Return a copy of a network in evaluation mode, as a graph; pooling and softmax are modules in it.

    Raises
    ------
    ValueError
        If the path of the image through the network depends on the image.
    """
    copied = deepcopy(net).eval()
    try:
        graph = fx.GraphModule(copied, _Tracer().trace(copied), type(net).__name__).eval()
    except (fx.proxy.TraceError, TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"{type(net).__name__} cannot be traced layer by layer: {error}. "
            "Convert the part whose forward() does not loop over or branch on the shape or content of the image."
        ) from error
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in _AS_MODULE:
            if any(isinstance(value, fx.Node) for value in (*node.args[1:], *node.kwargs.values())):
                raise ValueError(
                    f"{describe_node(graph, node)} depends on the size of the image. Give it a fixed size."
                )
            replace_node(graph, node, _AS_MODULE[node.target](*node.args[1:], **node.kwargs))
    return graph


def finalise(graph: fx.GraphModule) -> fx.GraphModule:
    """Return the graph ready to run, without unused nodes and modules."""
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    return graph


def replace_node(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> fx.Node:
    """Replace ``node`` by a call of ``module`` and return the new node.

    The module gets the name of the layer that it replaces, with a number if that layer is called more than once.
    """
    name = str(node.target) if node.op == "call_module" else node.name
    calls = [step for step in graph.graph.nodes if step.op == "call_module" and step.target == node.target]
    shared = len(calls) > 1
    taken = {path for path, _ in graph.named_modules()} | graph.__dict__.keys()
    if shared or (node.op != "call_module" and name in taken):
        name = next(f"{name}_{i}" for i in range(1, len(taken) + 2) if f"{name}_{i}" not in taken)
    graph.add_submodule(name, module.eval())
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, (node.args[0],))
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    graph.graph.erase_node(node)
    return new


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, if it calls one."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def describe_node(graph: fx.GraphModule, node: fx.Node) -> str:
    """Return the name of a step, for messages."""
    module = module_of(graph, node)
    if module is not None:
        return f"Layer '{node.target}' ({type(module).__name__})"
    name = f".{node.target}" if node.op == "call_method" else getattr(node.target, "__name__", node.target)
    owner = next(reversed(node.meta.get("nn_module_stack") or ("",)))
    return f"The call of {name}()" + (f" in '{owner}'" if owner else "")


def dimensions(graph: fx.GraphModule) -> tuple[int, int]:
    """Return the number of spatial axes and of channels of a network, from its first convolution."""
    for node in graph.graph.nodes:
        module = module_of(graph, node)
        for ndim, kind in CONV.items():
            if isinstance(module, kind):
                return ndim, module.in_channels
    raise ValueError(
        "The network has no convolution, so its number of axes is unknown. Give a network with convolutions."
    )


def constant(graph: fx.GraphModule, node: fx.Node) -> torch.Tensor:
    """Return the tensor that a ``get_attr`` node reads."""
    value: torch.Tensor = operator.attrgetter(str(node.target))(graph)
    return value


def _max_pool(
    ndim: int, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *flags: bool, **named: bool
) -> nn.Module:
    # the function takes ceil_mode before return_indices, the module after it
    options = dict(zip(("ceil_mode", "return_indices"), flags, strict=False)) | named
    return MAX_POOL[ndim](kernel_size, stride, padding, dilation, **options)


def _dropout(training: bool) -> nn.Module:
    if training:
        raise ValueError("F.dropout is on even in evaluation. Call it with training=self.training.")
    return nn.Identity()
