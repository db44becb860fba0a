"""Converts trained networks, with the same weights and the same output.

`fully_convolutional` turns a classifier into a network for images of any size, `dilate` and `shift_and_stitch` give a
network with strides an output at each pixel, `analyze_padding` returns receptive fields and padding, and `copy_weights`
starts a network of three axes from one of two.
"""

from napari_fcn.nets.convert.classifier import fully_convolutional
from napari_fcn.nets.convert.dilation import dilate
from napari_fcn.nets.convert.inflation import copy_weights
from napari_fcn.nets.convert.stitching import shift_and_stitch
from napari_fcn.nets.convert.windows import PaddingAnalysis, ValidConv, analyze_padding

__all__ = [
    "PaddingAnalysis",
    "ValidConv",
    "analyze_padding",
    "copy_weights",
    "dilate",
    "fully_convolutional",
    "shift_and_stitch",
]
