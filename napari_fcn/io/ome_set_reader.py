"""The pixels of an OME-TIFF image of several files, read plane by plane."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.bounds import check_memory
from napari_fcn.io.image_file import ImageFile
from napari_fcn.io.lazy_array import LazyArray
from napari_fcn.io.ome_sets import SINGLE_FILE_ADVICE
from napari_fcn.io.tiff_calibration import ome_calibration
from napari_fcn.io.tiff_log import captured_warnings
from napari_fcn.io.tiff_samples import SampleMeaning, interpret_samples
from napari_fcn.io.tiff_segments import limit_segment_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io.ome_sets import OmeSet

CACHE_BYTES = 2**28  # of planes in memory, as neighbouring tiles read the same ones
PlaneLocation = tuple["Path", int]  # a file and a page in it


def read_ome_set(ome_set: OmeSet) -> ImageFile:
    """Return the image of a set; its path is that of its first file.

    Raises
    ------
    ImageError
        If a file or a plane is missing, or a file is cut short.
    """
    ome_set.check_complete()
    planes = _SetPlanes(ome_set)
    image = ome_set.image
    axes = tuple(letter.lower() for letter, n in zip(image.axes, image.shape, strict=True) if n > 1) + planes.axes
    meaning = planes.meaning("".join(axes).upper())
    axes = tuple(meaning.letters.lower())
    notes = [ome_set.note, *meaning.notes]
    if ome_set.count > 1:
        notes.append(f"The file holds {ome_set.count} images; the first one was read.")
    path = ome_set.existing_files[0]
    return ImageFile(
        path,
        LazyArray(meaning.apply(planes), path),
        axes,
        calibration=ome_calibration(select_image(ome_set.xml, image.number), axes),
        rgb=meaning.rgb,
        notes=tuple(filter(None, notes)),
    )


def select_image(xml: str, number: int) -> str:
    """Return OME-XML with one of its images."""
    root = ElementTree.fromstring(xml)  # noqa: S314 - expat bounds entities
    images = [child for child in root if child.tag.rpartition("}")[2] == "Image"]
    for other in images[:number] + images[number + 1 :]:
        root.remove(other)
    return ElementTree.tostring(root, encoding="unicode")


class _SetPlanes:
    """The planes of an image as an array for `LazyArray`."""

    def __init__(self, ome_set: OmeSet) -> None:
        self._outer = ome_set.image.shape
        self._locations = _locate_planes(ome_set)
        first = self._locations[(0,) * len(self._outer)]
        with captured_warnings(), _open_tiff(first[0]) as tiff:
            page = tiff.pages[first[1]].aspage()
            self._page_shape, self.dtype = tuple(page.shape), np.dtype(page.dtype).newbyteorder("=")
            self.axes = tuple(letter.lower() for letter in page.axes)
            self.meaning = partial(_interpret_page, page)
        self._kept_axes = [i for i, n in enumerate(self._outer) if n > 1]
        self.shape = (*(self._outer[i] for i in self._kept_axes), *self._page_shape)
        size = max(1, prod(self._page_shape) * self.dtype.itemsize)
        check_memory(first[0], size, f"A plane of {' x '.join(map(str, self._page_shape))} pixels")
        self._plane = lru_cache(max(1, CACHE_BYTES // size))(self._read_plane)

    def files(self, index: tuple[slice, ...]) -> list[Path]:
        """Return the files that contain a part."""
        outer = index[: len(self._kept_axes)]
        return list(dict.fromkeys(self._locations[place][0] for place in self._plane_indices(outer)))

    def __getitem__(self, parts: tuple[Any, ...]) -> npt.NDArray[Any]:
        outer, inner = parts[: len(self._kept_axes)], parts[len(self._kept_axes) :]
        planes = [self._plane(self._locations[place])[inner] for place in self._plane_indices(outer)]
        lengths = [len(range(*p.indices(n))) for p, n in zip(outer, self.shape, strict=False) if isinstance(p, slice)]
        if not planes:
            return np.empty((*lengths, *np.empty(self._page_shape, np.bool_)[inner].shape), self.dtype)
        return np.stack(planes).reshape(*lengths, *planes[0].shape)

    def _plane_indices(self, outer: Sequence[int | slice]) -> list[tuple[int, ...]]:
        """Return the indices of the planes that an index selects, in order."""
        spans = [range(1)] * len(self._outer)
        for axis, part in zip(self._kept_axes, outer, strict=True):
            spans[axis] = range(*part.indices(self._outer[axis])) if isinstance(part, slice) else range(part, part + 1)
        return list(product(*spans))

    def _read_plane(self, location: PlaneLocation) -> npt.NDArray[Any]:
        path, number = location
        with captured_warnings(), _open_tiff(path) as tiff:
            page = tiff.pages[number].aspage()
            check_memory(path, page.nbytes, f"Page {number}")
            limit_segment_size(path, page)
            plane = page.asarray()
        if plane.shape != self._page_shape:
            raise ImageError(
                f"The planes of one image must be alike: page {number} of {path} is {plane.shape}, the first plane is "
                f"{self._page_shape}. Export the files again."
            )
        return np.asarray(plane)


def _interpret_page(page: tifffile.TiffPage, letters: str) -> SampleMeaning:
    return interpret_samples(page, letters, is_imagej=False)


def _open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a file of a set as plain pages, without following its OME-XML."""
    return tifffile.TiffFile(path, is_ome=False, is_mmstack=False)


def _locate_planes(ome_set: OmeSet) -> Mapping[tuple[int, ...], PlaneLocation]:
    """Return the file and page of each plane.

    Raises
    ------
    ImageError
        If a plane is missing.
    """
    image, files = ome_set.image, dict(ome_set.files)
    counts = {path: _page_count(path) for path in ome_set.existing_files}
    places: dict[tuple[int, ...], PlaneLocation] = {}
    for block in image.blocks:
        path = files[block.member]
        assert path is not None
        n_pages = counts[path] - block.page
        n_planes = n_pages if block.count is None else min(block.count, n_pages)
        start = 0
        with suppress(ValueError):  # an index beyond the image, left by programs that crop
            start = int(np.ravel_multi_index(block.first, image.shape))
            for step in range(min(n_planes, prod(image.shape) - start)):
                index = tuple(map(int, np.unravel_index(start + step, image.shape)))
                places.setdefault(index, (path, block.page + step))
    absent = prod(image.shape) - len(places)
    if absent:
        lengths = " x ".join(f"{n} {axis.lower()}" for axis, n in zip(image.axes, image.shape, strict=True))
        raise ImageError(
            f"{absent} of the {prod(image.shape)} planes ({lengths}) of {ome_set.existing_files[0]} are missing "
            "from its files.",
            f"The files are incomplete: copy or export them again. {SINGLE_FILE_ADVICE}",
        )
    return places


def _page_count(path: Path) -> int:
    """Return the number of pages of a file; raise ImageError if the last one ends beyond the end of the file."""
    try:
        with captured_warnings(), _open_tiff(path) as tiff:
            last = tiff.pages[-1]
            ends = [a + b for a, b in zip(last.dataoffsets, last.databytecounts, strict=False)]
            if max(ends, default=0) > tiff.filehandle.size:
                raise ImageError(f"{path} ends before its last pixel.", "The copy was cut short: copy the file again.")
            return len(tiff.pages)
    except DECODE_ERRORS as error:
        raise ImageError(
            f"{path} cannot be read ({error}), and belongs to an image of several files.",
            f"Copy it again. {SINGLE_FILE_ADVICE}",
        ) from error
