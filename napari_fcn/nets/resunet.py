"""A U-Net of residual blocks (He et al. 2016; in U-Nets: Milletari et al. 2016, Zhang et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from napari_fcn.nets import layers
from napari_fcn.nets.unet import UNet

if TYPE_CHECKING:
    from napari_fcn.nets.spec import NetSpec


class Residual(nn.Module):
    """A block whose output is added to its input.

    ::

        x ─┬─ conv ── norm ── ReLU ── conv ── norm ── + ── ReLU
           └──────── 1x1 if the channels differ ──────┘

    Parameters
    ----------
    spec : NetSpec
        The network.
    inputs, outputs : int
        Channels.
    level : int
        Level of the network, which sets kernel and dilation.
    """

    def __init__(self, spec: NetSpec, inputs: int, outputs: int, level: int) -> None:
        super().__init__()
        self.body = layers.block(spec, inputs, outputs, level)[:-1]  # the last ReLU comes after the sum
        self.match = nn.Identity() if inputs == outputs else layers.CONV[spec.ndim](inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N, outputs, *space) for features (N, inputs, *space)."""
        body = self.body(x)
        return F.relu(body + self.match(layers.trim(x, body.shape[2])))


def resunet(spec: NetSpec) -> UNet:
    """Return a U-Net with residual blocks."""
    return UNet(spec, Residual)
