"""From a spec to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_fcn.nets.taught import Taught
from napari_fcn.nets.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_fcn.nets.spec import NetSpec

Net = UNet | Taught

ARCHITECTURES: Mapping[str, type[UNet]] = {"unet": UNet}


def build(spec: NetSpec, generator: torch.Generator | None = None) -> Net:
    """Return a network with random weights (He et al. 2015); the same ``generator`` draws the same."""
    trunk = ARCHITECTURES[spec.family](spec.untaught) if spec.family in ARCHITECTURES else None
    net: Net = trunk if trunk is not None and spec.head == "score" else Taught(spec, trunk)
    for module in net.modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    return net
