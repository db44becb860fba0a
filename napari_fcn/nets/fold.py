"""Folds batch norms into convolutions for inference, which leaves the output unchanged."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from napari_fcn.nets.build import Net


class DirectConv3d(nn.Conv3d):
    """A 3-D convolution that always runs in oneDNN on a CPU in float32.

    For inputs of less than about a million values, torch copies each neighbourhood into a matrix instead. For a kernel
    of 3 x 3 x 3 this takes 27 times the memory, which is the peak of a whole run, and 5 to 14 times the time.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 - torch's name
        is_float = input.device.type == "cpu" and input.dtype == weight.dtype == torch.float32
        if not is_float or not torch.backends.mkldnn.is_available() or isinstance(self.padding, str):
            return super()._conv_forward(input, weight, bias)  # type: ignore[no-any-return]
        padding = self.padding
        if self.padding_mode != "zeros":
            input = functional.pad(input, self._reversed_padding_repeated_twice, self.padding_mode)  # noqa: A001
            padding = (0, 0, 0)
        output: Tensor = torch.ops.aten.mkldnn_convolution(
            input, weight, bias, padding, self.stride, self.dilation, self.groups
        )
        return output


def fold(net: Net) -> Net:
    """Return a copy in evaluation mode with batch norms folded into the convolutions before them.

    With frozen statistics a norm multiplies each channel and adds a constant, which weights and bias of the convolution
    can include (Jacob et al. 2018, section 3.2).
    """
    net = deepcopy(net).eval()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Sequential):
                setattr(module, name, _fold_sequence(child))
    for module in net.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = DirectConv3d  # the same weights, another algorithm
    return net


def _fold_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in sequence:
        if isinstance(layer, _BatchNorm) and layers and isinstance(layers[-1], nn.modules.conv._ConvNd):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
