"""Reading of TIFF, OME-TIFF and ImageJ TIFF."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.geometry.calibration import UNKNOWN, Calibration
from napari_fcn.io import ome_sets
from napari_fcn.io.bounds import check_memory, check_pixel_count
from napari_fcn.io.image_file import COMPANION_SUFFIX, ImageFile, ImageHeader
from napari_fcn.io.lazy_array import LazyArray
from napari_fcn.io.ome_set_reader import read_ome_set, select_image
from napari_fcn.io.result_meta import parse_record
from napari_fcn.io.tiff_calibration import ome_pixels, tag_calibration, tiff_calibration
from napari_fcn.io.tiff_log import captured_warnings
from napari_fcn.io.tiff_samples import COLOUR_SPACES, SampleMeaning, describe_samples, interpret_samples, raw_samples
from napari_fcn.io.tiff_segments import limit_segment_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DECODE_AT_ONCE_BYTES = 2**28  # of a compressed image; larger ones are decoded part by part
XML_BYTES_PER_LETTER = 20  # of parsed XML, measured
RECORD_NAMESPACE = "napari-fcn/result"  # of the record of a result in the annotations
RECORD_KEY = "record"
# Warnings of tifffile on pages, or an image description (tag 270, with OME-XML), beyond the end of the file.
TRUNCATION_WARNINGS = ("invalid page offset", "invalid offset to page", "TiffTag 270 ")
MISSING_PLANE_WARNINGS = ("Missing data are zeroed", "index out of range")  # and on missing planes
UNNAMED_LETTERS = frozenset("QI")  # tifffile's letters for "other" and for "a sequence of pages"


def read_tiff(path: Path, level: int, memory: float | None) -> ImageFile:
    """Return the first image of a TIFF file, converted by the meaning of its numbers: see `interpret_samples`.

    Axes come from OME-XML, ImageJ or tifffile's own description; samples of a colour image are called s.
    Where the file only has a sequence of pages, ``axes`` is empty. Voxel sizes come from OME-XML, ImageJ, or
    resolution tags with a real unit. Of an OME-TIFF that is one of several files, all of them are read.
    """
    return _read(path, level, memory, interpret_samples)


def read_tiff_labels(path: Path, level: int, memory: float | None) -> ImageFile:
    """Return the first image of a TIFF file like `read_tiff`, but with the stored numbers."""
    return _read(path, level, memory, lambda page, letters, _: raw_samples(page, letters))


def _read(
    path: Path, level: int, memory: float | None, interpret: Callable[[Any, str, bool], SampleMeaning]
) -> ImageFile:
    if path.name.lower().endswith(COMPANION_SUFFIX):
        return _read_companion(path)
    with captured_warnings() as warnings:
        tiff = tifffile.TiffFile(path)
        try:
            _check_description(path, tiff, memory)
            headers = ome_sets.OmeHeaders()
            headers.add(path, tiff)
            if ome_set := ome_sets.find_ome_set(path, headers):
                tiff.close()
                return read_ome_set(ome_set)
            if ome_sets.describes_other_files(path, headers):
                tiff.is_ome = False
            series = tiff.series[0]
            _check_planes(tiff, series, warnings)
            levels = len(series.levels)
            shown = series.levels[min(max(level, 0), levels - 1)]
            _check_length(tiff, shown, warnings)
            _check_segments(path, shown, memory)
            limit_segment_size(path, shown.keyframe)
            meaning = interpret(series.keyframe, series.axes, tiff.is_imagej)
            image = _describe_image(path, tiff, series, meaning)
            data = _open_pixels(path, tiff, shown, meaning)
        except BaseException:
            tiff.close()
            raise
        if not isinstance(data, LazyArray):
            tiff.close()
    lengths = zip(meaning.shape(series.shape), meaning.shape(shown.shape), strict=True)
    factors = [n / m if m else 1.0 for n, m in lengths]
    calibration = image.calibration.coarser(factors, [(factor - 1) / 2 for factor in factors])
    notes = (*image.notes, *(text.partition("> ")[2] for text in warnings if "series" in text))
    return replace(image, data=data, calibration=calibration, levels=levels, notes=notes)


def _read_companion(path: Path) -> ImageFile:
    """Return the first image that a companion describes."""
    ome_set = ome_sets.find_ome_set(path)
    if ome_set is None:
        raise ImageError(f"{path} does not describe an image.", "Give the OME-TIFF files in its folder instead.")
    return read_ome_set(ome_set)


def tiff_header(path: Path) -> ImageHeader:
    """Return the header of the first image of a TIFF; without OME or ImageJ metadata, of its first page."""
    if together := ome_sets.find_ome_set(path):
        image = read_ome_set(together)
        names = _ome_channel_names(select_image(together.xml, together.image.number))
        return ImageHeader(tuple(image.data.shape), image.axes, image.calibration, names)
    with captured_warnings(), tifffile.TiffFile(path) as tiff:
        if tiff.is_ome or tiff.is_imagej:  # shape and axes are in one place; other TIFFs need a visit of each page
            series = tiff.series[0]
            image = _describe_image(path, tiff, series, _meaning_in_layer(series.keyframe, series.axes))
            names = _ome_channel_names(tiff.ome_metadata or "")
            meaning = describe_samples(series.keyframe, bool(tiff.is_imagej))
            return ImageHeader(tuple(series.shape), image.axes, image.calibration, names, meaning)
        page = tiff.pages.first
        axes = tuple(_meaning_in_layer(page, page.axes).letters.lower())
        by_name = tag_calibration(page)
        calibration = Calibration(tuple(by_name.get(name, UNKNOWN) for name in axes))
        return ImageHeader(tuple(page.shape), axes, calibration, meaning=describe_samples(page, is_imagej=False))


def read_record(path: Path) -> dict[str, Any]:
    """Return the record of a result in the annotations of an OME-TIFF; empty if it has none."""
    try:
        with captured_warnings(), tifffile.TiffFile(path) as tiff:
            _check_description(path, tiff, None)
            return _parse_own_record(tiff.ome_metadata or "")
    except DECODE_ERRORS as error:
        raise ImageError(
            f"{path} cannot be read as TIFF ({error}). The file is damaged: copy or write it again."
        ) from error


def _check_planes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, warnings: list[str]) -> None:
    """Raise ImageError if planes of the description are missing: tifffile would return zeros."""
    if not (tiff.is_ome or tiff.is_mmstack):
        return
    if any(page is None for page in series.pages) or any(
        sign in text for text in warnings for sign in MISSING_PLANE_WARNINGS
    ):
        shape = " x ".join(map(str, series.shape))
        raise ImageError(
            f"{tiff.filehandle.path} lacks planes: its description is that of an image of {shape} "
            f"({series.axes.lower()}), and the file holds {len(tiff.pages)} pages.",
            f"It is incomplete: copy or export it again. {ome_sets.SINGLE_FILE_ADVICE}",
        )


def _check_length(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, warnings: list[str]) -> None:
    """Raise ImageError if pixels lie beyond the end of the file: tifffile would return a shorter stack."""
    if 0 in series.shape:
        return
    size = tiff.filehandle.size
    ends = [series.dataoffset + series.nbytes if series.dataoffset is not None else 0]
    for page in {tiff.pages.first, tiff.pages[-1]}:
        ends += [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if max(ends) > size or any(sign in text for text in warnings for sign in TRUNCATION_WARNINGS):
        raise ImageError(
            f"{tiff.filehandle.path} ends before its last pixel: it has {size} bytes and needs more. "
            "The copy or download was cut short: copy the file again."
        )


def _check_description(path: Path, tiff: tifffile.TiffFile, memory: float | None) -> None:
    """Raise ImageError if the description (OME-XML) is so long that its parts would not fit in memory."""
    tag = tiff.pages.first.tags.get("ImageDescription")
    if tag is not None:
        check_memory(path, tag.valuebytecount * XML_BYTES_PER_LETTER, "The description in its first page", memory)


def _check_segments(path: Path, series: tifffile.TiffPageSeries, memory: float | None) -> None:
    """Raise ImageError if a tile or strip does not fit in memory, or some are missing."""
    page = series.keyframe
    if 0 in series.shape or page.dtype is None:
        return
    check_pixel_count(path, series.shape)
    if series.dataoffset is not None:
        return  # not compressed: it is mapped
    shape = tuple(map(int, page.chunks))
    size = " x ".join(map(str, shape))
    check_memory(path, prod(shape) * page.dtype.itemsize, f"A tile or strip of {size} pixels", memory)
    needed, count = prod(map(int, page.chunked)), len(page.dataoffsets)
    if count < needed:
        raise ImageError(
            f"{path} has {count} tiles or strips, and its size needs {needed}. The file is damaged or incomplete: "
            "copy or export it again."
        )


def _meaning_in_layer(page: Any, letters: str) -> SampleMeaning:
    """Return the meaning of the stored numbers, which the readers of napari do not convert."""
    plain = raw_samples(page, letters)
    is_colour = "S" not in letters or page.photometric in COLOUR_SPACES
    return plain if is_colour else replace(plain, letters=plain.letters.replace("S", "C"))


def _describe_image(
    path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, meaning: SampleMeaning
) -> ImageFile:
    """Return the image without its data: axes, spacing, units and notes of the full resolution."""
    record = _parse_own_record(tiff.ome_metadata or "")
    own = record.get("axes", ())
    letters = meaning.letters
    axes = tuple(map(str, own)) if len(own) == len(letters) else _axis_names(letters)
    notes = [f"The file holds {len(tiff.series)} images; the first one was read."] if len(tiff.series) > 1 else []
    return ImageFile(
        path,
        data=None,
        axes=axes,
        calibration=tiff_calibration(tiff, axes or _page_axis_names(letters), record),
        rgb=meaning.rgb,
        notes=(*notes, *meaning.notes),
    )


def _axis_names(letters: str) -> tuple[str, ...]:
    """Return axis names; none if the file only has pages of y and x, as these may be z, t or c."""
    if UNNAMED_LETTERS & set(letters) and set(letters.removesuffix("S")) <= UNNAMED_LETTERS | {"Y", "X"}:
        return ()
    return _page_axis_names(letters)


def _page_axis_names(letters: str) -> tuple[str, ...]:
    """Return one name per letter, the second Q as q1."""
    before = [letters[:place].count(letter) for place, letter in enumerate(letters)]
    return tuple(f"{letter.lower()}{n or ''}" for letter, n in zip(letters, before, strict=True))


def _open_pixels(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, meaning: SampleMeaning) -> Any:
    """Return the pixels: a memory map of what is not compressed, an array if small, else a lazy array."""
    if 0 in series.shape:
        return np.empty(meaning.shape(series.shape), meaning.dtype)
    if series.dataoffset is not None and series.dtype is not None:
        stored = series.dtype.newbyteorder(tiff.byteorder)
        mapped = np.memmap(path, stored, "r", series.dataoffset, series.shape)
        if stored.isnative and meaning.convert is None:
            return mapped
        return LazyArray(meaning.apply(mapped), path, close=tiff.close)
    if series.nbytes <= DECODE_AT_ONCE_BYTES:
        decoded = series.asarray()
        return np.asarray(LazyArray(meaning.apply(decoded), path)[...]) if meaning.convert else decoded
    import zarr

    return LazyArray(meaning.apply(zarr.open_array(series.aszarr(), mode="r")), path, close=tiff.close)


def _ome_channel_names(xml: str) -> tuple[str, ...]:
    """Return the channel names of the first image in OME-XML; empty if one is missing."""
    channels: Any = ome_pixels(xml).get("Channel", [])
    names = [str(channel.get("Name", "")) for channel in (channels if isinstance(channels, list) else [channels])]
    return tuple(names) if all(names) else ()


def _parse_own_record(xml: str) -> dict[str, Any]:
    """Return the record of a result in OME-XML; empty if it has no valid one."""
    if RECORD_NAMESPACE not in xml:
        return {}
    try:
        annotations = ElementTree.fromstring(xml).findall(".//{*}MapAnnotation")  # noqa: S314 - expat bounds entities
        for annotation in annotations:
            for entry in annotation.iterfind(".//{*}M"):
                if annotation.get("Namespace") == RECORD_NAMESPACE and entry.get("K") == RECORD_KEY:
                    return parse_record(entry.text or "{}")
    except (ElementTree.ParseError, ValueError):
        pass
    return {}
