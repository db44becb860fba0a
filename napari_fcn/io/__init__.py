"""Images from files and results to files: TIFF, OME-Zarr, npy and pictures."""

from napari_fcn.io.image_file import READABLE, ImageFile
from napari_fcn.io.images import read_image, read_labels
from napari_fcn.io.meta import KINDS, ResultMeta
from napari_fcn.io.result_reader import read_result_meta
from napari_fcn.io.results import WRITABLE, ResultWriter, open_result
from napari_fcn.io.series import Origin, in_order, read_series

__all__ = [
    "KINDS",
    "READABLE",
    "WRITABLE",
    "ImageFile",
    "Origin",
    "ResultMeta",
    "ResultWriter",
    "in_order",
    "open_result",
    "read_image",
    "read_labels",
    "read_result_meta",
    "read_series",
]
