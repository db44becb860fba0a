"""The image of a project, and a fingerprint to recognise it without reading all pixels."""

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

MAX_PIXELS = 2**62  # whose index is a number of 64 bits
MAX_WHOLE = 2**20  # values up to which an image is read whole
N_SAMPLES = 16  # blocks of a larger one: so many chunks are read at least, wherever they lie
MAX_SIDE = 128  # longest side of a block
SAMPLE_SIZE = 2**14  # values in a block


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Description of an image in a project.

    Attributes
    ----------
    name : str
        Name of its layer.
    path : str
        Its file or folder, absolute, or its address; empty if it is none.
    shape : tuple of int
        Of the array, channels included.
    dtype : str
        Its type, as numpy calls it.
    axes : Axes
        Role of each axis.
    scale : tuple of float
        Pixel size per image axis; projects of early versions may have one per axis of the array.
    units : tuple of str
        Unit of each of them.
    origin : tuple of float
        Centre of the first pixel along each of them; empty in projects of early versions, which compared sizes
        whatever their units.
    rgb : bool
        Whether the channels are colours.
    hash : str
        Its `fingerprint`.
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
        object.__setattr__(self, "dtype", np.dtype(self.dtype).name)  # whatever its byte order

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Length of each axis but the channels': the shape of the corrections."""
        return self.axes.image_shape(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Pixel sizes along the axes of the network relative to each other, as teaching began with them."""
        if not self.scale:
            return ()
        names = self.axes.names if len(self.scale) == len(self.axes.names) else self.axes.image
        places = [names.index(name) for name in self.axes.space]
        if not self.origin:
            return tuple(self.scale[place] for place in places)
        return Calibration.of(self.scale, self.units, self.origin).take(places).ratios

    def difference(self, array: Any) -> str:
        """Return the first difference between an array and the record in words; empty if they agree."""
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
            If the data are not a record.
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
            origin=tuple(float(place) for place in data.get("origin", ())),
        )
        if len(record.axes.names) != len(record.shape):
            raise ValueError(f"{len(record.axes.names)} axes are named for a shape of {len(record.shape)}")
        if prod(record.shape) > MAX_PIXELS:
            raise ValueError(f"no image has the shape {record.shape}")
        for values in (record.scale, record.units, record.origin):
            if len(values) not in (0, len(record.axes.image), len(record.axes.names)):
                raise ValueError(f"{len(values)} sizes are given for {len(record.axes.names)} axes")
        return record


def fingerprint(array: Any) -> str:
    """Return the SHA-256 of an image's shape, type, and pixels: of all, or of blocks spread over a large one.

    Parameters
    ----------
    array : array-like
        numpy, dask, zarr, memory map: anything with ``shape``, ``dtype`` and slices. It is read block by block.
    """
    shape, dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
    digest = sha256(f"{dtype.name} {shape}".encode())
    for region in sample_regions(shape):
        block = np.asarray(array[region.slices])
        digest.update(np.ascontiguousarray(block, dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def find_image(recorded: str, project: Path) -> str:
    """Return where the image of a project is: as recorded, or next to the project; empty if it is not a file.

    Raises
    ------
    ImageMovedError
        If it is in neither place.
    """
    if not recorded or "://" in recorded or Path(recorded).exists():
        return recorded
    beside = project.parent / PureWindowsPath(recorded).name  # of either kind of slash
    if beside.exists():
        return str(beside)
    raise ImageMovedError(
        f"The image of the project {project.name} is not at {recorded} any more. Choose the image again."
    )


def sample_regions(shape: Sequence[int]) -> list[Region]:
    """Return the regions of an image that the fingerprint covers: all of it, or a few small blocks.

    The blocks are a lattice in whole numbers, the same on each machine: along each axis every one of them lies at
    another place, the first and the last included.
    """
    if prod(shape) <= MAX_WHOLE:
        return [Region.whole(shape)]
    size, room = [1] * len(shape), SAMPLE_SIZE
    for axis in reversed(range(len(shape))):
        size[axis] = min(shape[axis], MAX_SIDE, room)
        room //= size[axis]
    found = []
    for k in range(N_SAMPLES):
        places = [k * (2 * axis + 1) % N_SAMPLES for axis in range(len(shape))]
        start = tuple(p * (n - b) // (N_SAMPLES - 1) for p, n, b in zip(places, shape, size, strict=True))
        found.append(Region(start, tuple(a + b for a, b in zip(start, size, strict=True))))
    return found
