"""An image in a file, its header, and the file types that can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ImageError
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.models.binding import ImageForm, bind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_fcn.models.binding import Binding, NetworkShape

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
NO_CALIBRATION = Calibration()
COMPANION_SUFFIX = ".companion.ome"  # describes an OME-TIFF of several files
READABLE_SUFFIXES = (*TIFF_SUFFIXES, ".zarr", ".npy", *PICTURE_SUFFIXES)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image in a file.

    Attributes
    ----------
    path : Path
        The file or folder.
    data : array-like
        An ndarray, a memory map, or a :class:`~napari_fcn.io.lazy_array.LazyArray`, which reads parts when sliced.
    axes : tuple of str
        One lower-case name per axis of ``data`` (t, c, z, y, x; s for colour samples), or ``()`` if the file does not
        name them: a plain TIFF stack may be a volume or a movie.
    calibration : Calibration
        Size, unit and origin of the pixels along each axis; unknown if not in the file, and along channels.
    rgb : bool
        Whether the last axis holds red, green and blue.
    levels : int
        Number of resolutions in the file.
    notes : tuple of str
        Sentences for the user about skipped or chosen parts.
    """

    path: Path
    data: Any
    axes: tuple[str, ...]
    calibration: Calibration
    rgb: bool = False
    levels: int = 1
    notes: tuple[str, ...] = ()

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a pixel along each axis in ``units``; 1 pixel if unknown."""
        return self.calibration.scale

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each axis as a word of pint and napari: micrometer, second; pixel if unknown."""
        return self.calibration.units

    @property
    def form(self) -> ImageForm:
        """Shape, axis names, colours and pixel sizes, as the file states them."""
        return ImageForm(tuple(self.data.shape), self.axes, self.rgb or None, self.calibration)

    def bind(self, network: NetworkShape, names: Sequence[str] = ()) -> Binding:
        """Return how a network reads the image.

        Parameters
        ----------
        network : NetworkShape
            The network.
        names : sequence of str
            The user's names of the axes, as ``tzyx``; empty: those of the file.

        Raises
        ------
        ImageError
            If the axes, the image and the network do not fit each other.
        """
        try:
            return bind(self.form, network, names)
        except ImageError as error:
            raise ImageError(f"{self.path}: {error.short}", error.advice) from error


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The metadata of an image in its file.

    Attributes
    ----------
    shape : tuple of int
        Length of each axis; for a TIFF without OME or ImageJ metadata, the shape of its first page.
    axes : tuple of str
        Name of each axis; empty if not in the file.
    calibration : Calibration
        Size, unit and origin of the pixels along each axis; unknown if not in the file.
    channels : tuple of str
        Names of the channels; empty if they have none.
    meaning : str
        A phrase if the numbers are not intensities, such as "indices of a palette"; layers show them unconverted.
    """

    shape: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()
    calibration: Calibration = NO_CALIBRATION
    channels: tuple[str, ...] = ()
    meaning: str = ""

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a pixel along each axis in ``units``; 1 pixel if unknown."""
        return self.calibration.scale

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each axis; pixel if unknown."""
        return self.calibration.units
