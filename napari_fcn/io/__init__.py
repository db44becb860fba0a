"""Images from files and results to files: TIFF, OME-Zarr, npy and pictures."""

from napari_fcn.io.image_file import READABLE_SUFFIXES, ImageFile
from napari_fcn.io.images import read_image, read_labels
from napari_fcn.io.result_kinds import RESULT_KINDS
from napari_fcn.io.result_meta import ResultMeta
from napari_fcn.io.result_reader import read_result_meta
from napari_fcn.io.results import (
    WRITABLE_SUFFIXES,
    ResultWriter,
    open_result,
)
from napari_fcn.io.series import ImageLocation, natural_sort, read_series

__all__ = [
    "READABLE_SUFFIXES",
    "RESULT_KINDS",
    "WRITABLE_SUFFIXES",
    "ImageFile",
    "ImageLocation",
    "ResultMeta",
    "ResultWriter",
    "natural_sort",
    "open_result",
    "read_image",
    "read_labels",
    "read_result_meta",
    "read_series",
]
