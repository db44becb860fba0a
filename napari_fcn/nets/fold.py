"""Make a trained network cheaper without changing its answer."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from napari_fcn.nets.build import Net


def fold(net: Net) -> Net:
    """Return a copy in evaluation mode whose batch norms are part of the convolutions before them.

    With frozen statistics a norm is a multiplication and an addition per channel, which the weights and bias of the
    convolution can hold (Jacob et al. 2018, section 3.2).
    """
    net = deepcopy(net).eval()
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Sequential):
                setattr(module, name, _fold_sequence(child))
    return net


def _fold_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in sequence:
        if isinstance(layer, _BatchNorm) and layers and isinstance(layers[-1], nn.modules.conv._ConvNd):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers)
