"""A trained network in another form, with the same weights and the same answer.

A classifier becomes a network for images of any size (`fully_convolutional`), a network that answers on a coarse grid
answers at each pixel (`dilate`, or `shift_and_stitch`), `window` says which pixels an
answer looks at, and a network of three axes can begin as one of two (`begin_as`).
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
