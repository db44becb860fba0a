"""Builds the network of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_fcn.nets.deeplab import DeepLab
from napari_fcn.nets.dilated import Dilated
from napari_fcn.nets.fcn import FCN
from napari_fcn.nets.hypercolumn import HypercolumnNet
from napari_fcn.nets.mbconv import MBConvNet
from napari_fcn.nets.resunet import resunet
from napari_fcn.nets.unet import UNet
from napari_fcn.nets.video import video

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_fcn.nets.spec import NetSpec

Trunk = UNet | FCN | Dilated | DeepLab
Net = Trunk | HypercolumnNet

ARCHITECTURES: Mapping[str, Callable[[NetSpec], Trunk]] = {
    "unet": UNet,
    "resunet": resunet,
    "fcn": FCN,
    "dilated": Dilated,
    "deeplab": DeepLab,
    "mbconv": MBConvNet,
    "video": video,
}


def build(spec: NetSpec, generator: torch.Generator | None = None) -> Net:
    """Return a network with random weights (He et al. 2015); they depend on ``generator`` alone."""
    trunk = ARCHITECTURES[spec.family](spec.trunk_spec) if spec.family in ARCHITECTURES else None
    net: Net = trunk if trunk is not None and spec.head == "score" else HypercolumnNet(spec, trunk)
    for module in net.modules():
        if next(module.parameters(), torch.empty(0)).is_meta:
            continue  # shapes without values; drawing values would make torch load its compiler (60 MB)
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    return net
