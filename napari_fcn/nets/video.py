"""A U-Net for movies that convolves along space, then along time: (2+1)-D (Tran et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_fcn.nets import layers
from napari_fcn.nets.size import factorise
from napari_fcn.nets.unet import UNet

if TYPE_CHECKING:
    from napari_fcn.nets.spec import NetSpec


def video(spec: NetSpec) -> UNet:
    """Return a U-Net whose convolutions are factorised into space and time.

    A full network, ``NetSpec(family="unet", time=...)``, has as many weights and reads the same data.
    """
    return UNet(spec, block)


def block(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return two factorised convolutions: along space, norm, ReLU, along time, norm, ReLU."""
    return nn.Sequential(
        *_factorised_step(spec, inputs, outputs, level), *_factorised_step(spec, outputs, outputs, level)
    )


def _factorised_step(spec: NetSpec, inputs: int, outputs: int, level: int) -> list[nn.Module]:
    """Return one factorised convolution, or a plain one if its kernel has no extent in time or none in space."""
    kernel, dilation = spec.kernel[level], spec.dilations[level]
    factors = factorise(spec, inputs, outputs, kernel)
    if factors is None:
        return layers.step(spec, inputs, outputs, kernel, dilation)
    space, between, time = factors
    return [
        *layers.step(spec, inputs, between, space, dilation),
        *layers.step(spec, between, outputs, time, dilation),
    ]
