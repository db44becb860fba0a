"""OME-TIFF images of several files: the files that belong together by their OME-XML.

::

    c0.ome.tif  OME-XML: Image 0 has SizeC 2,  TiffData C 0 -> UUID ..01 (c0.ome.tif), IFD 0
    c1.ome.tif  the same                       TiffData C 1 -> UUID ..02 (c1.ome.tif), IFD 0

Instead of the whole text a file may contain a reference (``BinaryOnly``) to the file with the text: another member, or
a ``companion.ome`` without pixels. Several images (positions) in one text are several sets.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import tifffile

from napari_fcn.errors import DECODE_ERRORS, ImageError
from napari_fcn.io.image_file import COMPANION_SUFFIX, TIFF_SUFFIXES
from napari_fcn.io.tiff_log import captured_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_COMPANION_BYTES = 2**27
HEAD_CHARACTERS = 2**14  # in which the start tag of OME-XML is searched
OME_UUID = re.compile(r"<(?:\w+:)?OME\b[^>]*\bUUID=[\"']([^\"']*)")
MAX_NAMES_SHOWN = 3  # in a sentence
SINGLE_FILE_ADVICE = "To segment one file by itself, save it as a TIFF of its own, for example with Fiji."


@dataclass(frozen=True, slots=True)
class Member:
    """A file that an image refers to: its original name, and the identifier stored in it."""

    name: str
    uuid: str


@dataclass(frozen=True, slots=True)
class PlaneBlock:
    """Consecutive planes in a file.

    Attributes
    ----------
    member : Member
        The file.
    first : tuple of int
        Index of the first plane along the axes of the image before those of the plane.
    page : int
        Its page in the file.
    count : int or None
        Number of planes; None for all that follow in the file.
    """

    member: Member
    first: tuple[int, ...]
    page: int
    count: int | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An image in OME-XML.

    Attributes
    ----------
    number : int
        Index among the images of the text.
    axes : str
        Letters of the axes before those of the plane, slowest first.
    shape : tuple of int
        Lengths of these axes; channels that are samples of one page count as one.
    plane : tuple of int
        Height and width.
    blocks : tuple of PlaneBlock
        Its planes.
    """

    number: int
    axes: str
    shape: tuple[int, ...]
    plane: tuple[int, int]
    blocks: tuple[PlaneBlock, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        """The files in the order of the first plane of each."""
        ordered = sorted(self.blocks, key=lambda block: (block.first, block.page))
        return tuple(dict.fromkeys(block.member for block in ordered))


@dataclass(frozen=True, slots=True)
class OmeSet:
    """The files of an image.

    Attributes
    ----------
    image : OmeImage
        The image.
    xml : str
        OME-XML that describes the image.
    files : tuple of (Member, Path or None)
        Each file of the image and its present path; None if it is missing.
    count : int
        Number of images in the file by which the set was found.
    """

    image: OmeImage
    xml: str
    files: tuple[tuple[Member, Path | None], ...]
    count: int = 1

    @property
    def existing_files(self) -> tuple[Path, ...]:
        """The existing files, in the order of the image."""
        return tuple(path for _, path in self.files if path is not None)

    def check_complete(self) -> None:
        """Raise ImageError if a file is missing: its planes would be black."""
        absent = [member.name for member, path in self.files if path is None]
        if absent:
            raise ImageError(
                f"{_join_names([path.name for path in self.existing_files])} belongs to an image of {len(self.files)} "
                f"files, and {len(absent)} of them cannot be found: {_join_names(absent)}.",
                f"Copy the missing files into the same folder. {SINGLE_FILE_ADVICE}",
            )

    @property
    def note(self) -> str:
        """A sentence about the files that were read as one image."""
        names = [path.name for path in self.existing_files]
        return f"{len(names)} files are one image: {_join_names(names)}." if len(names) > 1 else ""


@dataclass(slots=True, eq=False)
class OmeHeaders:
    """The OME-XML of the TIFFs in a folder; each file is opened once."""

    headers: dict[Path, tuple[str, str]] = field(default_factory=dict)
    micromanager: set[Path] = field(default_factory=set)

    def header(self, path: Path) -> tuple[str, str]:
        """Return the OME-XML in a file and the identifier of the file; both empty if it has none."""
        if path not in self.headers:
            if path.suffix.lower() in TIFF_SUFFIXES:
                with suppress(*DECODE_ERRORS), captured_warnings(), tifffile.TiffFile(path) as tiff:
                    self.add(path, tiff)
            else:
                self._store(path, _read_companion(path))
        return self.headers.setdefault(path, ("", ""))

    def add(self, path: Path, tiff: tifffile.TiffFile) -> None:
        """Store the OME-XML of an open file."""
        first = tiff.pages.first
        self._store(path, str(first.description) if first.is_ome else "")
        if first.is_micromanager:
            self.micromanager.add(path)

    def _store(self, path: Path, xml: str) -> None:
        own = OME_UUID.search(xml[:HEAD_CHARACTERS])
        self.headers[path] = xml, own[1] if own else ""

    def find_member(self, folder: Path, member: Member) -> Path | None:
        """Return the present file of a member; None if it is missing.

        A renamed file is found by its identifier. Names come from other computers: only files inside the folder count.
        """
        parts = _path_parts(member.name)
        for inside in filter(None, (parts, parts[-1:])):
            place = folder.joinpath(*inside)
            if place.is_file() and self._matches(place, member):
                return place
        others = (
            sorted(path for path in folder.iterdir() if path.suffix.lower() in TIFF_SUFFIXES) if member.uuid else []
        )
        return next((path for path in others if self.header(path)[1] == member.uuid), None)

    def _matches(self, path: Path, member: Member) -> bool:
        uuid = self.header(path)[1]
        return not uuid or not member.uuid or uuid == member.uuid


def find_ome_set(path: Path, headers: OmeHeaders | None = None) -> OmeSet | None:
    """Return the image of several files to which a TIFF or a companion belongs; None for an image of one file.

    Raises
    ------
    ImageError
        If the file that describes the image is missing.
    OSError
        If the folder may not be read.
    """
    headers = headers or OmeHeaders()
    xml, uuid = headers.header(path)
    root = _parse_root(xml) if "TiffData" in xml or "BinaryOnly" in xml else None
    if root is None:
        return None
    reference = next((child for child in root if _tag(child) == "BinaryOnly"), None)
    if reference is not None:
        xml = headers.header(_describing_file(path, reference, headers))[0]
        root = _parse_root(xml)
        if root is None:
            return None
    images = [
        image
        for number, child in enumerate(_image_elements(root))
        if (image := _parse_image(number, child, path, uuid))
    ]
    own_images = images if _is_companion(path) else [image for image in images if _own_member(image, path, uuid)]
    members = {member for image in images for member in image.members}
    if not own_images or (len(members) == 1 and reference is None and not _is_companion(path)):
        return None
    image = own_images[0]
    own = _own_member(image, path, uuid)
    folder = _root_folder(path, own)
    files = [(member, path if member == own else headers.find_member(folder, member)) for member in image.members]
    return OmeSet(image, xml, tuple(files), len(own_images))


def describes_other_files(path: Path, headers: OmeHeaders) -> bool:
    """Whether the OME-XML in a file describes only other files, as left by programs that copy it."""
    xml, uuid = headers.header(path)
    root = _parse_root(xml) if "TiffData" in xml else None
    if root is None:
        return False
    images = [
        image
        for number, child in enumerate(_image_elements(root))
        if (image := _parse_image(number, child, path, uuid))
    ]
    members = {member for image in images for member in image.members}
    return len(members) > 1 and not any(_own_member(image, path, uuid) for image in images)


def unique_images(paths: Iterable[Path]) -> list[Path]:
    """Return one path for each image: the path itself, or the first file of its set."""
    headers, seen, unique = OmeHeaders(), set(), []
    for path in paths:
        if path.absolute() in seen:
            continue
        files = _set_files(path, headers)
        unique.append(files[0] if files else path)
        seen |= {file.absolute() for file in files}
    return unique


def _set_files(path: Path, headers: OmeHeaders) -> tuple[Path, ...]:
    """Return the files of the set of a path; empty if there is none, or it is unreadable, which the reader reports."""
    if path.suffix.lower() not in TIFF_SUFFIXES and not _is_companion(path):
        return ()
    try:
        ome_set = find_ome_set(path, headers)
    except (ImageError, OSError):
        return ()
    if ome_set:
        return ome_set.existing_files
    return _micromanager_files(path) if path in headers.micromanager else ()


def _micromanager_files(path: Path) -> tuple[Path, ...]:
    """Return the files that tifffile opens as one stack of Micro-Manager; empty if it is one file."""
    with suppress(*DECODE_ERRORS), captured_warnings(), tifffile.TiffFile(path) as tiff:
        names = {page.parent.filename for page in tiff.series[0].pages if page is not None}
        return tuple(path.with_name(name) for name in sorted(names)) if len(names) > 1 else ()
    return ()


def _read_companion(path: Path) -> str:
    """Return the OME-XML of a companion; empty if there is none that can be read."""
    with suppress(OSError, UnicodeError), path.open("rb") as file:
        return file.read(MAX_COMPANION_BYTES).decode("utf-8-sig")
    return ""


def _parse_root(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml) if xml else None  # noqa: S314 - expat bounds entities
    except ElementTree.ParseError:
        return None


def _describing_file(path: Path, reference: ElementTree.Element, headers: OmeHeaders) -> Path:
    member = Member(reference.get("MetadataFile", ""), reference.get("UUID", ""))
    describing = headers.find_member(path.parent, member)
    if describing is None:
        raise ImageError(
            f"{path.name} holds planes of an image that another file describes, {member.name or 'which has no name'}; "
            "that file cannot be found.",
            f"Copy it into the same folder. {SINGLE_FILE_ADVICE}",
        )
    return describing


def _image_elements(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [child for child in root if _tag(child) == "Image"]


def _parse_image(number: int, element: ElementTree.Element, path: Path, uuid: str) -> OmeImage | None:
    """Return an image; None if it has no pixels, or is not valid OME-XML."""
    pixels = next((child for child in element if _tag(child) == "Pixels"), None)
    if pixels is None:
        return None
    try:
        order = pixels.attrib["DimensionOrder"][:1:-1]  # XYCZT -> TZC
        channel = next((child for child in pixels if _tag(child) == "Channel"), None)
        samples = int(channel.get("SamplesPerPixel", 1)) if channel is not None else 1
        lengths = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYCZT"}
        lengths["C"] //= max(1, samples)
        blocks = [_parse_block(child, order, path, uuid) for child in pixels if _tag(child) == "TiffData"]
    except (KeyError, ValueError):
        return None
    shape = tuple(lengths[axis] for axis in order)
    return OmeImage(number, order, shape, (lengths["Y"], lengths["X"]), tuple(blocks)) if blocks else None


def _parse_block(element: ElementTree.Element, order: str, path: Path, uuid: str) -> PlaneBlock:
    inner = next((child for child in element if _tag(child) == "UUID"), None)
    member = Member(path.name, uuid) if inner is None else Member(inner.get("FileName", ""), inner.text or "")
    count = element.get("PlaneCount", element.get("NumPlanes", "1" if "IFD" in element.attrib else None))
    first = tuple(int(element.get(f"First{axis}", 0)) for axis in order)
    return PlaneBlock(member, first, int(element.get("IFD", 0)), None if count is None else int(count))


def _own_member(image: OmeImage, path: Path, uuid: str) -> Member | None:
    """Return the member of an image that is a given file, by its identifier or else its name; None if it is none."""
    by_id = (member for member in image.members if uuid and member.uuid == uuid)
    by_name = (
        member
        for member in image.members
        if not (uuid and member.uuid) and "".join(_path_parts(member.name)[-1:]).lower() == path.name.lower()
    )
    return next(by_id, None) or next(by_name, None)


def _path_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a stored file name; only the last if it leads out of the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    leads_elsewhere = ".." in parts or parts[:1] == ("/",) or ":" in "".join(parts[:1])
    return tuple(part for part in parts[-1:] if part != "..") if leads_elsewhere else parts


def _root_folder(path: Path, own: Member | None) -> Path:
    """Return the folder to which stored names are relative: above ``channels`` for ``channels/c1.ome.tif``."""
    parts = _path_parts(own.name) if own else ()
    depth = len(parts) if parts == path.parts[-len(parts) :] else 1
    above = path.parents if depth <= len(path.parents) else path.absolute().parents
    return above[max(1, depth) - 1]


def _is_companion(path: Path) -> bool:
    return path.name.lower().endswith(COMPANION_SUFFIX)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more
