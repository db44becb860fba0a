"""Folds batch norms into convolutions for inference, which leaves the output unchanged."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_fcn.nets.layers import is_tracing, trimmed_sides

if TYPE_CHECKING:
    from napari_fcn.nets.build import Net


class DirectConv3d(nn.Conv3d):
    """A 3-D convolution that always runs in oneDNN on a CPU in float32.

    Within `layers.trimmed_planes` it leaves out planes that padding would make wrong.

    For inputs of less than about a million values, torch copies each neighbourhood into a matrix instead. For a kernel
    of 3 x 3 x 3 this takes 27 times the memory, which is the peak of a whole run, and 5 to 14 times the time.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 - torch's name
        if isinstance(self.padding, str):
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        padding = list(self.padding)
        trimmed = trimmed_sides() if padding[0] else (False, False)
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        if any(trimmed) or mode != "constant":
            planes = [padding[0] * (not is_trimmed) for is_trimmed in trimmed]
            others = [0, 0, 0, 0] if mode == "constant" else [padding[2], padding[2], padding[1], padding[1]]
            if any((*planes, *others)):
                input = functional.pad(input, [*others, *planes], mode)  # noqa: A001
            padding = [0, *padding[1:]] if mode == "constant" else [0, 0, 0]
        convolve = functional.conv3d
        is_float = input.device.type == "cpu" and input.dtype == weight.dtype == torch.float32
        if is_float and torch.backends.mkldnn.is_available() and not is_tracing():
            convolve = torch.ops.aten.mkldnn_convolution
            output: Tensor = convolve(input, weight, bias, padding, self.stride, self.dilation, self.groups)
        else:
            output = convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups)
        return output


def fold(net: Net, with_distance: bool = False) -> Net:
    """Return a copy in evaluation mode with batch norms folded into the convolutions before them.

    With frozen statistics a norm multiplies each channel and adds a constant, which weights and bias of the convolution
    can include (Jacob et al. 2018, section 3.2). ``with_distance``: the copy returns the distance to the border of the
    object, if the network has it, after the logits, as one more channel of the same convolution.
    """
    net = deepcopy(net).eval()
    if with_distance and net.spec.distance and net.spec.head == "score":
        _join_distance(net)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Sequential):
                setattr(module, name, _fold_sequence(child))
    for module in net.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = DirectConv3d  # the same weights, another algorithm
    return net


def _join_distance(net: Any) -> None:
    """Compute logits and distance by one convolution."""
    score, distance = net.score, net.distance
    joined = type(score)(score.in_channels, score.out_channels + 1, score.kernel_size)
    with torch.no_grad():
        joined.weight.copy_(torch.cat([score.weight, distance.weight]))
        joined.bias.copy_(torch.cat([score.bias, distance.bias]))
    net.score, net.distance = joined, None


def _fold_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in sequence:
        if isinstance(layer, _BatchNorm) and layers and isinstance(layers[-1], nn.modules.conv._ConvNd):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
