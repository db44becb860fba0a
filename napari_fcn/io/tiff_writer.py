"""Writing of results to OME-TIFF: collected in an npy file, then compressed tile by tile."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_fcn.errors import OutputError
from napari_fcn.io import disk
from napari_fcn.io.array_writer import NpySink
from napari_fcn.io.tiff_reader import RECORD_KEY, RECORD_NAMESPACE
from napari_fcn.io.units import LENGTHS, PIXEL, TIMES, unit_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io.result_meta import Result

MAX_CLASSIC_BYTES = 2**32 - 2**26  # of pixels, compressed or not, that fit in a classic TIFF with its tags
TILE_SIDE = 512  # pixels along y and x
BUFFER_BYTES = 2**25  # that are compressed at a time
AXIS_LETTERS = {"t": "T", "c": "C", "z": "Z"}
SPARE_LETTERS = "QRPAHE"  # tifffile's letters for further axes, whose names are in the record


class TiffSink:
    """Write an OME-TIFF from an npy file next to the target, which collects the blocks, with little memory.

    Parameters are those of `NpySink`.
    """

    def __init__(self, target: Path, result: Result, temporary: Path | None = None) -> None:
        self._result = result
        self._options = _imwrite_options(target, result)
        self._temporary = temporary or disk.temporary_path(target)
        self._array_sink = NpySink(target, result, disk.staging_path(self._temporary))

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the file's array."""
        self._array_sink.put(index, block)

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the file's array."""
        return self._array_sink.get(index)

    def finish(self) -> Path:
        """Return the temporary file, complete, closed and on the disk."""
        shape, dtype = self._result.layout.shape, self._result.dtype
        tifffile.imwrite(self._temporary, self._iterate_tiles(), shape=shape, dtype=dtype, **self._options)
        disk.sync_to_disk(self._temporary)
        return self._temporary

    def _iterate_tiles(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the tiles of each page in order; a row of tiles is in memory at a time."""
        *pages, height, width = self._result.layout.shape
        rows, columns = self._options["tile"]
        for page in np.ndindex(*pages):
            index = tuple(slice(i, i + 1) for i in page)
            for top in range(0, height, rows):
                row = self.get((*index, slice(top, top + rows), slice(0, width))).reshape(-1, width)
                row = np.pad(row, ((0, rows - len(row)), (0, -width % columns)))
                yield from (np.ascontiguousarray(row[:, x : x + columns]) for x in range(0, width, columns))

    def suspend(self) -> None:
        """Close the collected array and keep it."""
        self._array_sink.suspend()

    def discard(self) -> None:
        """Remove the temporary files."""
        self._array_sink.discard()
        disk.remove(self._temporary)


def _imwrite_options(target: Path, result: Result) -> dict[str, Any]:
    """Return the arguments of tifffile.imwrite, checked on the metadata alone."""
    *pages, height, width = result.layout.shape
    letters = _axis_letters(result.layout.names)
    metadata = {
        "axes": letters,
        **_spacing(result, letters),
        **_plane_positions(result, letters),
        **_channel_metadata(result),
        **_own_record(result),
    }
    try:
        tifffile.OmeXml().addimage(result.dtype, result.layout.shape, (prod(pages), 1, 1, height, width, 1), **metadata)
    except tifffile.OmeXmlError as error:
        raise OutputError(
            f"OME-TIFF cannot hold {result.dtype} with the axes {' '.join(result.layout.names)} ({error}). "
            f"Write {target.with_suffix('.zarr').name} or {target.with_suffix('.npy').name}."
        ) from error
    return {
        "ome": True,
        "bigtiff": result.nbytes > MAX_CLASSIC_BYTES,
        "photometric": "minisblack",
        "tile": tuple(min(TILE_SIDE, -(-n // 16) * 16) for n in (height, width)),
        "compression": "zlib",
        "compressionargs": {"level": 1},
        "buffersize": BUFFER_BYTES,
        "metadata": metadata,
        **_resolution_tags(result),
    }


def _axis_letters(names: tuple[str, ...]) -> str:
    """Return one tifffile letter per axis; the last two are the rows and columns of a page."""
    others = iter(SPARE_LETTERS)
    return "".join(AXIS_LETTERS.get(name) or next(others, "?") for name in names[:-2]) + "YX"


def _spacing(result: Result, letters: str) -> dict[str, Any]:
    """Return PhysicalSize and TimeIncrement of the axes whose spacing is known."""
    metadata: dict[str, Any] = {}
    for letter, axis in zip(letters, result.calibration.axes, strict=True):
        size, unit = axis.size, axis.unit
        if size is None:
            continue
        if letter in "XYZ" and (unit in LENGTHS or unit == PIXEL):
            metadata |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": unit_symbol(unit)}
        elif letter == "T" and unit in TIMES:
            metadata |= {"TimeIncrement": size, "TimeIncrementUnit": unit_symbol(unit)}
    return metadata


def _plane_positions(result: Result, letters: str) -> dict[str, Any]:
    """Return the position of each plane; empty if the origin of the image is 0."""
    counts = dict(zip(letters[:-2], result.layout.shape, strict=False))
    metadata: dict[str, Any] = {}
    for letter, axis in zip(letters, result.calibration.axes, strict=True):
        if letter in "XYZ" and axis.origin and (axis.unit in LENGTHS or axis.unit == PIXEL):
            at = [axis.origin + i * axis.step for i in _page_indices(counts, letter)]
            metadata |= {f"Position{letter}": at, f"Position{letter}Unit": [unit_symbol(axis.unit)] * len(at)}
    return {"Plane": metadata} if metadata else {}


def _page_indices(counts: Mapping[str, int], letter: str) -> list[int]:
    """Return the index of each page along an axis; 0 for an axis within pages."""
    pages = np.indices(tuple(counts.values())).reshape(len(counts), -1) if counts else np.zeros((0, 1), int)
    if letter not in counts:
        return [0] * pages.shape[1]
    return [int(i) for i in pages[list(counts).index(letter)]]


def _channel_metadata(result: Result) -> dict[str, Any]:
    """Return the names and colours of the channels: one per class for probabilities, else one."""
    if "c" not in result.layout.names:
        return {"Channel": {"Name": result.kind}}
    count = result.layout.shape[result.layout.names.index("c")]
    classes = result.meta.classes or tuple((f"class {i}", "#ffffff") for i in range(count))
    return {
        "Channel": {
            "Name": ["".join(filter(str.isprintable, name)) for name, _ in classes[:count]],
            "Color": [_signed_rgba(colour) for _, colour in classes[:count]],
        }
    }


def _signed_rgba(colour: str) -> int:
    """Return ``#rrggbb`` as the signed 32-bit number of OME-XML."""
    value = int(colour.lstrip("#") + "ff", 16)
    return value - 2**32 if value >= 2**31 else value


def _own_record(result: Result) -> dict[str, Any]:
    return {"MapAnnotation": {"Namespace": RECORD_NAMESPACE, RECORD_KEY: json.dumps(result.record)}}


def _resolution_tags(result: Result) -> dict[str, Any]:
    """Return the resolution tags, for readers that ignore OME-XML."""
    sizes = [size * 1e-6 for size in result.calibration.micrometres[-2:]]
    if min(sizes) <= 0:
        return {}
    return {"resolution": (0.01 / sizes[1], 0.01 / sizes[0]), "resolutionunit": "CENTIMETER"}
