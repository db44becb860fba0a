"""Writing of results to OME-Zarr 0.5, with compressed chunks, a pyramid, and metadata for viewers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from pydantic import ValidationError
from yaozarrs import v05
from zarr.codecs import ZstdCodec

from napari_fcn.errors import DECODE_ERRORS, OutputError
from napari_fcn.geometry.axes import SPACE
from napari_fcn.io import disk
from napari_fcn.io.image_paths import image_stem
from napari_fcn.io.units import LENGTHS, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.geometry.calibration import Calibration
    from napari_fcn.io.result_meta import Result

CHUNK_SHAPES = {2: (512, 512), 3: (32, 256, 256)}  # pixels along the axes in space: 0.25 MB (classes) to 8 MB
COARSEST_SIDE = 256  # pixels: no coarser level than this is made
MAX_ANISOTROPY = 1.5  # ratio of spacings up to which an axis is halved along with the finest


@dataclass(frozen=True, slots=True)
class PyramidLevel:
    """A resolution: its shape, and how many pixels of the finest level one of its pixels covers."""

    shape: tuple[int, ...]
    factors: tuple[int, ...]


class ZarrSink:
    """Write an OME-Zarr in a folder next to the target; blocks are written to its finest level.

    Parameters
    ----------
    target : Path
        The final folder.
    result : Result
        The result.
    temporary : Path, optional
        Its temporary name. An existing folder is continued; chunks that cannot be read become empty.
    """

    def __init__(self, target: Path, result: Result, temporary: Path | None = None) -> None:
        self._result = result
        self._levels = plan_pyramid(result.layout.names, result.layout.shape, pyramid_spacing(result))
        self._attributes = group_attributes(target, result, self._levels)
        self._temporary = temporary or disk.temporary_path(target)
        if self._reopen():
            return
        try:
            self._group = zarr.create_group(str(self._temporary), zarr_format=3, overwrite=True)
            self._finest = self._create(0)
        except BaseException:
            self.discard()
            raise

    def put(self, index: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Store a block at an index of the finest level."""
        self._finest[index] = block

    def get(self, index: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Return the block at an index of the finest level."""
        return np.asarray(self._finest[index])

    def finish(self) -> Path:
        """Return the temporary folder with all levels and metadata."""
        mean = self._result.kind.startswith("probabilities")
        finer, level = self._finest, self._levels[0]
        for index, coarser in enumerate(self._levels[1:], start=1):
            array = self._create(index)
            steps = tuple(b // a for a, b in zip(level.factors, coarser.factors, strict=True))
            for where in _iterate_chunks(array.shape, array.chunks):
                source = tuple(slice(s.start * n, s.stop * n) for s, n in zip(where, steps, strict=True))
                block = np.asarray(finer[source])
                array[where] = (
                    downsample_mean(block, steps) if mean else block[tuple(slice(None, None, n) for n in steps)]
                )
            finer, level = array, coarser
        self._group.attrs.update(self._attributes)
        return self._temporary

    def suspend(self) -> None:
        """Keep the folder; no file of it is open."""

    def discard(self) -> None:
        """Remove the temporary files."""
        disk.remove(self._temporary)

    def _reopen(self) -> bool:
        """Whether an interrupted run left a finest level of this shape and type; it is repaired and opened."""
        try:
            self._group = zarr.open_group(str(self._temporary), mode="r+")
            self._finest = zarr.open_array(str(self._temporary / "0"), mode="r+")
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # missing, or truncated metadata
            return False
        wanted = (self._levels[0].shape, self._result.dtype)
        if (self._finest.shape, self._finest.dtype) != wanted:
            return False
        for half in self._temporary.rglob("*.partial"):  # chunks that were being written
            disk.remove(half)
        for where in _iterate_chunks(self._finest.shape, self._finest.chunks):
            try:
                self._finest[where]
            except DECODE_ERRORS:
                self._finest[where] = self._finest.fill_value  # a damaged chunk cannot be updated in part
        return True

    def _create(self, index: int) -> zarr.Array[Any]:
        names, shape = self._result.layout.names, self._levels[index].shape
        return self._group.create_array(
            str(index),
            shape=shape,
            dtype=self._result.dtype,
            chunks=_chunk_shape(names, shape),
            compressors=ZstdCodec(level=1, checksum=True),
            dimension_names=names,
            overwrite=True,
        )


def plan_pyramid(names: Sequence[str], shape: Sequence[int], scale: Sequence[float]) -> list[PyramidLevel]:
    """Return the levels from the finest on, each halved along its most finely sampled axes in space.

    Axes with coarser sampling are halved later, so that voxels become cubes.
    """
    levels = [PyramidLevel(tuple(shape), (1,) * len(shape))]
    space = [axis for axis, name in enumerate(names) if name in SPACE]
    while max(levels[-1].shape[axis] for axis in space) > COARSEST_SIDE:
        factors = levels[-1].factors
        spacing = {axis: scale[axis] * factors[axis] for axis in space if levels[-1].shape[axis] > 1}
        halved = [axis for axis in spacing if spacing[axis] <= MAX_ANISOTROPY * min(spacing.values())]
        factors = tuple(n * 2 if axis in halved else n for axis, n in enumerate(factors))
        levels.append(PyramidLevel(tuple(ceil(n / f) for n, f in zip(shape, factors, strict=True)), factors))
    return levels


def pyramid_spacing(result: Result) -> tuple[float, ...]:
    """Return the pixel sizes for `plan_pyramid`: in one unit along the axes in space."""
    names = result.layout.names
    space = [axis for axis, name in enumerate(names) if name in SPACE and result.layout.source[axis] is not None]
    by_axis = dict(zip(space, result.calibration.take(space).ratios, strict=True))
    return tuple(by_axis.get(axis, 1.0) for axis in range(len(names)))


def downsample_mean(block: npt.NDArray[Any], steps: Sequence[int]) -> npt.NDArray[Any]:
    """Return the means of pairs of neighbours along each axis with step 2; an odd last pixel is kept."""
    mean = block.astype(np.result_type(block.dtype, np.float32))
    for axis, step in enumerate(steps):
        if step == 2:
            mean = np.moveaxis(mean, axis, 0)
            first, second = mean[0::2].copy(), mean[1::2]
            first[: len(second)] = (first[: len(second)] + second) / 2
            mean = np.moveaxis(first, 0, axis)
    return (np.rint(mean) if block.dtype.kind in "iu" else mean).astype(block.dtype)


def _chunk_shape(names: Sequence[str], shape: Sequence[int]) -> tuple[int, ...]:
    """Return one plane or a slab of planes of one channel and time point."""
    space = [axis for axis, name in enumerate(names) if name in SPACE]
    longest = dict(zip(space, CHUNK_SHAPES[len(space)], strict=True))
    return tuple(min(n, longest.get(axis, 1)) for axis, n in enumerate(shape))


def _iterate_chunks(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield the chunks of an array, clipped at its end."""
    spans = [
        [slice(start, min(start + length, n)) for start in range(0, n, length)]
        for n, length in zip(shape, chunks, strict=True)
    ]
    yield from product(*spans)


def group_attributes(target: Path, result: Result, levels: Sequence[PyramidLevel]) -> dict[str, Any]:
    """Return the attributes of the group, checked against the OME-Zarr 0.5 specification."""
    mean = result.kind.startswith("probabilities")
    multiscale: dict[str, Any] = {
        "name": image_stem(target),
        "axes": [
            _axis_metadata(name, unit) for name, unit in zip(result.layout.names, result.calibration.units, strict=True)
        ],
        "datasets": [_dataset_metadata(index, level, result.calibration, mean) for index, level in enumerate(levels)],
        "type": "mean" if mean else "nearest",
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    ome |= {"omero": _omero_metadata(result)} if mean else {"image-label": _label_metadata(result)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an image may have other units
            (v05.Image if mean else v05.LabelImage).model_validate(ome)
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise OutputError(
            f"OME-Zarr cannot hold the axes {' '.join(result.layout.names)} ({reason.rstrip('.')}). "
            f"Write {target.with_suffix('.tif').name} or {target.with_suffix('.npy').name}, or rename axes."
        ) from error
    return {"ome": ome, "napari_fcn": result.record}


def _axis_metadata(name: str, unit: str) -> dict[str, str]:
    kind = "space" if name in SPACE else {"t": "time", "c": "channel"}.get(name, "other")
    is_real = unit in (LENGTHS if kind == "space" else TIMES)
    return {"name": name, "type": kind, **({"unit": unit} if is_real else {})}


def _dataset_metadata(index: int, level: PyramidLevel, finest: Calibration, mean: bool) -> dict[str, Any]:
    """Return the position of a level: means are centred on their pixels, sampled labels on the first of them.

    The format requires a scale: it is 1 without a unit for an uncalibrated axis.
    """
    shifts = [(factor - 1) / 2 if mean else 0.0 for factor in level.factors]
    here = finest.coarser(level.factors, shifts)
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(here.scale)}]
    if any(here.origin) or (mean and index):
        steps.append({"type": "translation", "translation": list(here.origin)})
    return {"path": str(index), "coordinateTransformations": steps}


def _omero_metadata(result: Result) -> dict[str, Any]:
    """Return name, colour and range of each class's channel."""
    count = result.layout.shape[result.layout.names.index("c")]
    classes = result.meta.classes or tuple((f"class {i}", "#ffffff") for i in range(count))
    top = 255 if result.dtype.kind in "iu" else 1
    window = {"start": 0, "min": 0, "end": top, "max": top}
    return {
        "channels": [
            {"label": name, "color": colour.lstrip("#"), "active": True, "window": window} for name, colour in classes
        ]
    }


def _label_metadata(result: Result) -> dict[str, Any]:
    """Return colour and name of each class; objects have none."""
    if result.kind != "classes" or not result.meta.classes:
        return {}
    return {
        "colors": [
            {"label-value": value, "rgba": [*bytes.fromhex(colour.lstrip("#")), 255]}
            for value, (_, colour) in enumerate(result.meta.classes)
        ],
        "properties": [{"label-value": value, "class": name} for value, (name, _) in enumerate(result.meta.classes)],
    }
