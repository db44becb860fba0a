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

    The same data fit a full network, ``NetSpec(family="unet", time=...)``, with as many weights.
    """
    return UNet(spec, block)


def block(spec: NetSpec, inputs: int, outputs: int, level: int) -> nn.Sequential:
    """Return two rounds of convolution along space, norm, ReLU, convolution along time, norm, ReLU."""
    return nn.Sequential(*_round(spec, inputs, outputs, level), *_round(spec, outputs, outputs, level))


def _round(spec: NetSpec, inputs: int, outputs: int, level: int) -> list[nn.Module]:
    """Return one factorised convolution; it stays whole where its kernel has no extent in time, or none in space.

    There are as many channels in between as give the two together the weights of the whole convolution (Tran et al.
    2018, section 3.5), and no fewer than come out, so that what a flat network knows has a place in it.
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
