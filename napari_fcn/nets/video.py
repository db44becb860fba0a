"""A U-Net for movies that convolves along space, then along time: (2+1)-D (Tran et al. 2018)."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from torch import nn

from napari_fcn.nets import layers
from napari_fcn.nets.unet import UNet

if TYPE_CHECKING:
    from napari_fcn.nets.spec import NetSpec


def video(spec: NetSpec) -> UNet:
    """Return a U-Net whose convolutions are factorised into space and time.

    A full network, ``NetSpec(family="unet", time=...)``, has as many weights and reads the same data.
    """
    return UNet(spec, block)


def block(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return two rounds of convolution along space, norm, ReLU, convolution along time, norm, ReLU."""
    return nn.Sequential(*_round(spec, inputs, outputs, level), *_round(spec, outputs, outputs, level))


def _round(spec: NetSpec, inputs: int, outputs: int, level: int) -> list[nn.Module]:
    """Return one factorised convolution, or a plain one if its kernel has no extent in time or none in space.

    The number of intermediate channels gives the two together as many weights as the plain convolution (Tran et al.
    2018, section 3.5). It is at least the number of output channels, so that weights of a 2-D network fit in.
    """
    kernel, dilation = spec.kernel[level], spec.dilations[level]
    space = tuple(1 if axis == spec.time else k for axis, k in enumerate(kernel))
    time = tuple(k if axis == spec.time else 1 for axis, k in enumerate(kernel))
    area, frames = prod(space), prod(time)
    if area == 1 or frames == 1:
        return layers.step(spec, inputs, outputs, kernel, dilation)
    between = max(outputs, frames * area * inputs * outputs // (area * inputs + frames * outputs))
    return [
        *layers.step(spec, inputs, between, space, dilation),
        *layers.step(spec, between, outputs, time, dilation),
    ]
