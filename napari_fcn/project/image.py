"""The image of a project, and a fingerprint that recognises it without reading all pixels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from math import prod
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_fcn.errors import ImageMovedError
from napari_fcn.geometry import Axes, Region
from napari_fcn.geometry.calibration import Calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PIXELS = 2**62  # indices fit in 64 bits
MAX_WHOLE = 2**20  # values; a smaller image is read completely
N_SAMPLES = 16  # blocks that are read of a larger image
MAX_SIDE = 128  # longest side of a block
SAMPLE_SIZE = 2**14  # values in a block


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Description of an image in a project.

    Attributes
    ----------
    name : str
        Name of the layer.
    path : str
        Absolute path of the file or folder, or URL; empty if the image is not a file.
    shape : tuple of int
        Shape of the array, including channels.
    dtype : str
        Name of the numpy dtype, without byte order.
    axes : Axes
        Role of each axis.
    scale : tuple of float
        Pixel size per image axis; projects of early versions may have one per axis of the array.
    units : tuple of str
        Unit of each pixel size.
    origin : tuple of float
        Position of the centre of the first pixel per axis, in the same units; empty in projects of early versions,
        which compared sizes regardless of their units.
    rgb : bool
        Whether the channels are colours.
    hash : str
        `fingerprint` of the image.
    """

    name: str
    path: str
    shape: tuple[int, ...]
    dtype: str
    axes: Axes
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()
    rgb: bool = False
    hash: str = ""
    origin: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "dtype", np.dtype(self.dtype).name)  # drops the byte order

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape without channels, which is the shape of the corrections."""
        return self.axes.image_shape(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Relative pixel sizes along the axes of the network, as at the start of teaching."""
        if not self.scale:
            return ()
        names = self.axes.names if len(self.scale) == len(self.axes.names) else self.axes.image
        indices = [names.index(name) for name in self.axes.space]
        if not self.origin:
            return tuple(self.scale[i] for i in indices)
        return Calibration.of(self.scale, self.units, self.origin).take(indices).ratios

    def difference(self, array: Any) -> str:
        """Return the first difference between an array and the record as a clause; empty if they agree."""
        shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype).name
        if shape != self.shape:
            return f"its shape is {shape}, not {self.shape}"
        if dtype != self.dtype:
            return f"its type is {dtype}, not {self.dtype}"
        return "" if fingerprint(array) == self.hash else "its pixels have other values"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the record from the data of `to_dict`.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the data are not a valid record.
        """
        axes = data["axes"]
        record = cls(
            name=str(data["name"]),
            path=str(data["path"]),
            shape=tuple(data["shape"]),
            dtype=str(data["dtype"]),
            axes=Axes(tuple(axes["names"]), tuple(axes["space"]), axes["channel"]),
            scale=tuple(float(s) for s in data["scale"]),
            units=tuple(str(unit) for unit in data["units"]),
            rgb=bool(data["rgb"]),
            hash=str(data["hash"]),
            origin=tuple(float(position) for position in data.get("origin", ())),
        )
        if len(record.axes.names) != len(record.shape):
            raise ValueError(f"{len(record.axes.names)} axes are named for a shape of length {len(record.shape)}")
        if prod(record.shape) > MAX_PIXELS:
            raise ValueError(f"the shape {record.shape} is too large")
        for values in (record.scale, record.units, record.origin):
            if len(values) not in (0, len(record.axes.image), len(record.axes.names)):
                raise ValueError(f"{len(values)} sizes are given for {len(record.axes.names)} axes")
        return record


def fingerprint(array: Any) -> str:
    """Return the SHA-256 of an image's shape, dtype and pixels; of a large image, only blocks are read.

    Parameters
    ----------
    array : array-like
        Anything with ``shape``, ``dtype`` and slicing: numpy, dask, zarr, memory map. It is read block by block.
    """
    shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
    digest = sha256(f"{dtype.name} {shape}".encode())
    for region in sample_regions(shape):
        block = np.asarray(array[region.slices])
        digest.update(np.ascontiguousarray(block, dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def find_image(recorded: str, project: Path) -> str:
    """Return the path of the image of a project: as recorded, or next to the project; empty if it is not a file.

    Raises
    ------
    ImageMovedError
        If the image is in neither place.
    """
    if not recorded or "://" in recorded or Path(recorded).exists():
        return recorded
    neighbour = project.parent / PureWindowsPath(recorded).name  # splits at / and \
    if neighbour.exists():
        return str(neighbour)
    raise ImageMovedError(
        f"The image of the project {project.name} is not at {recorded} any more. Choose the image again."
    )


def sample_regions(shape: Sequence[int]) -> list[Region]:
    """Return the regions of an image that the fingerprint covers: the whole image, or a few small blocks.

    The blocks lie on an integer lattice, so that they are the same on every machine. Along each axis, their positions
    are all different and include both ends.
    """
    if prod(shape) <= MAX_WHOLE:
        return [Region.whole(shape)]
    size, remaining = [1] * len(shape), SAMPLE_SIZE
    for axis in reversed(range(len(shape))):
        size[axis] = min(shape[axis], MAX_SIDE, remaining)
        remaining //= size[axis]
    regions = []
    for k in range(N_SAMPLES):
        lattice = [k * (2 * axis + 1) % N_SAMPLES for axis in range(len(shape))]
        start = tuple(p * (n - b) // (N_SAMPLES - 1) for p, n, b in zip(lattice, shape, size, strict=True))
        regions.append(Region(start, tuple(a + b for a, b in zip(start, size, strict=True))))
    return regions
