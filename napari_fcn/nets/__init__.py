"""Fully convolutional networks, each described by a `NetSpec`."""

from napari_fcn.nets.spec import NetSpec

__all__ = ["NetSpec"]
