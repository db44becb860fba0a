"""Surrogate networks with positive weights and without gates, in which no influence cancels."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode

from napari_fcn.errors import FORWARD_ERRORS
from napari_fcn.nets.filters import FilterBank, Support
from napari_fcn.nets.layers import CONV, TRANSPOSED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Build = Callable[..., nn.Module]

GLOBAL_LAYERS = (
    _InstanceNorm,
    nn.GroupNorm,
    nn.MultiheadAttention,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)  # layers that depend on the whole input, by type
NEUTRAL_LAYERS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.modules.dropout._DropoutNd)  # replaced by the identity
GATE_FUNCTIONS = {"relu", "relu_", "threshold", "threshold_", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_"}
MAX_POOLS: dict[str, tuple[Any, Any]] = {
    f"max_pool{n}d": (pool, convolve)
    for n, pool, convolve in (
        (1, F.avg_pool1d, F.conv1d),
        (2, F.avg_pool2d, F.conv2d),
        (3, F.avg_pool3d, F.conv3d),
    )
}

AVERAGE_POOLS = {f"avg_pool{n}d" for n in (1, 2, 3)}
NEUTRAL_FUNCTIONS = {
    *("layer_norm", "group_norm", "instance_norm", "batch_norm", "local_response_norm", "normalize"),
    *("softmax", "log_softmax", "softmin", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
}
CANCELLING_FUNCTIONS = {
    *("sub", "sub_", "subtract", "__sub__", "__isub__"),
    *("div", "div_", "divide", "true_divide", "__truediv__"),
}

CONV_ARGUMENTS = {  # of convolutions, after input, weight and bias
    **{f"conv{n}d": ("stride", "padding", "dilation", "groups") for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": ("stride", "padding", "output_padding", "groups", "dilation") for n in (1, 2, 3)},
}


class AveragingConv(nn.Module):
    """A convolution of the same geometry that averages all channels into ``outputs`` equal channels."""

    def __init__(self, layer: _ConvNd, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        ndim = len(layer.kernel_size)
        options: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        create: Build = CONV[ndim]
        if isinstance(layer, _ConvTransposeNd):
            create = TRANSPOSED[ndim]
            options["output_padding"] = layer.output_padding
        else:
            options["padding_mode"] = layer.padding_mode
        self.layer = create(1, 1, layer.kernel_size, bias=False, **options)

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        """Return the mean of the channels of ``x`` (N, C, *space), convolved."""
        out: Tensor = self.layer(x.mean(1, keepdim=True))
        return out.expand(-1, self.outputs, *out.shape[2:])


class AveragingLinear(nn.Module):
    """A fully connected layer on any number of inputs: the mean over the last axis."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the last axis of ``x``, once for each output."""
        return x.mean(-1, keepdim=True).expand(*x.shape[:-1], self.outputs)


class LinearizedOps(TorchFunctionMode):
    """Replaces functions that block influence: max pooling by the mean, ReLU and norms by the identity.

    In a network of one channel, kernels have one channel, and each part of a split is that channel. Differences and
    quotients become sums, because equal channels would cancel.

    Parameters
    ----------
    pooled : callable, optional
        Called with the name and the result of each pooling function; returns the result to use.
    """

    def __init__(self, pooled: Callable[[str, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self._pooled = pooled or (lambda _, out: out)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function or its replacement."""
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in GATE_FUNCTIONS or name in NEUTRAL_FUNCTIONS:
            return args[0]
        if name in CANCELLING_FUNCTIONS and all(isinstance(x, Tensor) and x.is_floating_point() for x in args[:2]):
            return torch.add(args[0], args[1])
        if name in MAX_POOLS:
            return self._pooled(name, _mean_pool(name, *args, **kwargs))
        if name in AVERAGE_POOLS:
            return self._pooled(name, func(*args, **kwargs))
        if name in CONV_ARGUMENTS and args[0].shape[1] == 1:
            return _averaging_conv(func, *args, **kwargs)
        if name == "split" and _is_averaged(*args, **kwargs):
            return (args[0],) * len(args[1])  # each part equals the single channel
        return func(*args, **kwargs)


def _averaging_conv(func: Any, x: Tensor, weight: Tensor, bias: Any = None, *more: Any, **named: Any) -> Tensor:
    """Return one channel convolved with an averaging kernel, whatever the number of channels of the weights."""
    named |= dict(zip(CONV_ARGUMENTS[func.__name__], more, strict=False)) | {"groups": 1}
    kernel = x.new_full((1, 1, *weight.shape[2:]), 1 / weight[0, 0].numel())
    out: Tensor = func(x, kernel, None, **named)
    return out


def _is_averaged(x: Tensor, sizes: Any, dim: int = 0) -> bool:
    """Whether a tensor of one channel is split into parts of given sizes along the channels."""
    return dim == 1 and isinstance(sizes, list | tuple) and x.shape[1] == 1


def _mean_pool(
    name: str,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    pool, convolve = MAX_POOLS[name]
    stride = stride or kernel_size  # an empty list also stands for the kernel size
    ndim = int(name[-2])
    if {dilation} == {1} or (isinstance(dilation, list | tuple) and set(dilation) == {1}):
        mean: Tensor = pool(x, kernel_size, stride, padding, ceil_mode)
        return mean
    kernel = x.new_ones(x.shape[1], 1, *((kernel_size,) * ndim if isinstance(kernel_size, int) else kernel_size))
    spread: Tensor = convolve(x, kernel, None, stride, padding, dilation, x.shape[1])
    return spread


def single_channel(net: nn.Module) -> nn.Module:
    """Return a copy with positive averaging weights and one channel, without norms and activations.

    All channels of such a network are equal, so one suffices: a network of millions of weights is probed in
    milliseconds. The copy computes in float64 on the CPU; the network is not changed.
    """
    return _surrogate(net, is_single_channel=True)


def all_channels(net: nn.Module) -> nn.Module:
    """Return a copy like `single_channel` with all channels, for a network that splits or reshapes channels."""
    return _surrogate(net, is_single_channel=False)


def surrogate(net: nn.Module, shape: Sequence[int]) -> nn.Module:
    """Return `single_channel` if it runs on an input of shape ``(C, *space)``, else `all_channels`."""
    copy = single_channel(net)
    try:
        with torch.no_grad(), LinearizedOps():
            copy(torch.ones(1, *shape, dtype=torch.float64))
    except FORWARD_ERRORS:  # it reshapes or indexes channels
        return all_channels(net)
    return copy


def _surrogate(net: nn.Module, is_single_channel: bool) -> nn.Module:
    copy = nn.Sequential(deepcopy(net)) if isinstance(net, _ConvNd | nn.Linear) else deepcopy(net)
    with torch.random.fork_rng(devices=[]):  # building draws weights: the random state of the caller must not change
        _replace(copy, is_single_channel)
    copy = copy.to(device="cpu", dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in copy.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0 / (parameter[0].numel() if parameter.ndim else 1))
    return copy.eval().requires_grad_(False)


def _replace(net: nn.Module, is_single_channel: bool) -> None:
    for name, child in net.named_children():
        if isinstance(child, _ConvNd):
            setattr(net, name, AveragingConv(child, 1 if is_single_channel else child.out_channels))
        elif isinstance(child, nn.Linear):
            setattr(net, name, AveragingLinear(1 if is_single_channel else child.out_features))
        elif isinstance(child, FilterBank):
            setattr(net, name, Support(child))
        elif isinstance(child, NEUTRAL_LAYERS) or _is_activation(child):
            setattr(net, name, nn.Identity())
        elif not isinstance(child, nn.MultiheadAttention):
            _replace(child, is_single_channel)


def _is_activation(layer: nn.Module) -> bool:
    return type(layer).__module__ == "torch.nn.modules.activation" and not isinstance(layer, nn.MultiheadAttention)


def global_layers(net: nn.Module) -> tuple[str, ...]:
    """Return the layers whose type implies that they depend on the whole input, as ``name (type)``."""
    layers = []
    for name, layer in net.named_modules():
        is_frozen = isinstance(layer, _InstanceNorm) and layer.track_running_stats
        is_wide = isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1
        if is_wide or (isinstance(layer, GLOBAL_LAYERS) and not is_frozen):
            layers.append(f"{name} ({type(layer).__name__})" if name else type(layer).__name__)
    return tuple(layers)
