"""OME-TIFF images of several files: which files belong together, by the OME-XML that they share.

::

    c0.ome.tif  OME-XML: Image 0 has SizeC 2,  TiffData C 0 -> UUID ..01 (c0.ome.tif), IFD 0
    c1.ome.tif  the same                       TiffData C 1 -> UUID ..02 (c1.ome.tif), IFD 0

Instead of the whole text a file may hold a reference (``BinaryOnly``) to the file that has it: another member, or a
``companion.ome`` without pixels. Several images (positions) in one text are several sets.
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
from napari_fcn.io.tiff_log import captured_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TIFF = (".tif", ".tiff", ".btf", ".tf8")
COMPANION = ".companion.ome"
LONGEST = 2**27  # bytes of a companion that is read
HEAD = 2**14  # characters in which the first element begins
IDENTIFIER = re.compile(r"<(?:\w+:)?OME\b[^>]*\bUUID=[\"']([^\"']*)")  # of a file: whole texts can be long
SHOWN = 3  # names in a sentence
ALONE = "To segment one file by itself, save it as a TIFF of its own, for example with Fiji."


@dataclass(frozen=True, slots=True)
class Member:
    """A file that an image names: its name when it was written, and the identifier that it has inside."""

    name: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Block:
    """Planes that follow one another in a file.

    Attributes
    ----------
    member : Member
        The file.
    first : tuple of int
        Index of the first plane along the axes of the image before those of the plane.
    page : int
        Where it lies in the file.
    count : int or None
        How many planes; None for all that follow in the file.
    """

    member: Member
    first: tuple[int, ...]
    page: int
    count: int | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """An image as OME-XML describes it.

    Attributes
    ----------
    number : int
        Its place among the images of the text.
    axes : str
        Letters of the axes before those of the plane, slowest first.
    shape : tuple of int
        Their lengths; channels that are samples of one page count as one.
    plane : tuple of int
        Height and width.
    blocks : tuple of Block
        Where its planes are.
    """

    number: int
    axes: str
    shape: tuple[int, ...]
    plane: tuple[int, int]
    blocks: tuple[Block, ...]

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
        The text that describes it.
    files : tuple of (Member, Path or None)
        Where each of its files is; None for one that is missing.
    count : int
        How many images share the file by which the set was found.
    """

    image: OmeImage
    xml: str
    files: tuple[tuple[Member, Path | None], ...]
    count: int = 1

    @property
    def present(self) -> tuple[Path, ...]:
        """The files that are there, in the order of the image."""
        return tuple(path for _, path in self.files if path is not None)

    def need_all(self) -> None:
        """Raise ImageError if a file is missing: its planes would be black."""
        absent = [member.name for member, path in self.files if path is None]
        if absent:
            raise ImageError(
                f"{_listed([path.name for path in self.present])} belongs to an image of {len(self.files)} files, and "
                f"{len(absent)} of them cannot be found: {_listed(absent)}.",
                f"Copy the missing files into the same folder. {ALONE}",
            )

    @property
    def note(self) -> str:
        """A sentence on the files that were read as one image."""
        names = [path.name for path in self.present]
        return f"{len(names)} files are one image: {_listed(names)}." if len(names) > 1 else ""


@dataclass(slots=True, eq=False)
class Folder:
    """What the TIFFs of a folder say of themselves; each is opened once."""

    heads: dict[Path, tuple[str, str]] = field(default_factory=dict)
    micromanager: set[Path] = field(default_factory=set)

    def head(self, path: Path) -> tuple[str, str]:
        """Return the OME-XML in a file and the identifier of the file; both empty if it has none."""
        if path not in self.heads:
            if path.suffix.lower() in TIFF:
                with suppress(*DECODE_ERRORS), captured_warnings(), tifffile.TiffFile(path) as tiff:
                    self.note(path, tiff)
            else:
                self._keep(path, _companion_text(path))
        return self.heads.setdefault(path, ("", ""))

    def note(self, path: Path, tiff: tifffile.TiffFile) -> None:
        """Keep what a file says that is open already."""
        first = tiff.pages.first
        self._keep(path, str(first.description) if first.is_ome else "")
        if first.is_micromanager:
            self.micromanager.add(path)

    def _keep(self, path: Path, xml: str) -> None:
        own = IDENTIFIER.search(xml[:HEAD])
        self.heads[path] = xml, own[1] if own else ""

    def find(self, near: Path, member: Member) -> Path | None:
        """Return the file that a member is today; None if it is not there.

        A file that was renamed is known by its identifier. Names are those of other computers: only what lies in the
        folder or below it counts.
        """
        parts = _parts(member.name)
        for inside in filter(None, (parts, parts[-1:])):
            place = near.joinpath(*inside)
            if place.is_file() and self._is(place, member):
                return place
        others = sorted(path for path in near.iterdir() if path.suffix.lower() in TIFF) if member.uuid else []
        return next((path for path in others if self.head(path)[1] == member.uuid), None)

    def _is(self, path: Path, member: Member) -> bool:
        uuid = self.head(path)[1]
        return not uuid or not member.uuid or uuid == member.uuid


def set_of(path: Path, folder: Folder | None = None) -> OmeSet | None:
    """Return the image of several files that a TIFF or a companion belongs to; None if it is an image by itself.

    Raises
    ------
    ImageError
        If the file that describes the image is missing.
    OSError
        If the folder may not be read.
    """
    folder = folder or Folder()
    xml, uuid = folder.head(path)
    root = _root(xml) if "TiffData" in xml or "BinaryOnly" in xml else None
    if root is None:
        return None
    reference = next((child for child in root if _tag(child) == "BinaryOnly"), None)
    if reference is not None:
        xml = folder.head(_described_by(path, reference, folder))[0]
        root = _root(xml)
        if root is None:
            return None
    images = [image for number, child in enumerate(_images(root)) if (image := _image(number, child, path, uuid))]
    held = images if _is_companion(path) else [image for image in images if _own(image, path, uuid)]
    everything = {member for image in images for member in image.members}
    if not held or (len(everything) == 1 and reference is None and not _is_companion(path)):
        return None
    image = held[0]
    own = _own(image, path, uuid)
    near = _root_folder(path, own)
    files = [(member, path if member == own else folder.find(near, member)) for member in image.members]
    return OmeSet(image, xml, tuple(files), len(held))


def is_foreign(path: Path, folder: Folder) -> bool:
    """Whether the OME-XML in a file speaks of other files only, as where a program has copied it."""
    xml, uuid = folder.head(path)
    root = _root(xml) if "TiffData" in xml else None
    if root is None:
        return False
    images = [image for number, child in enumerate(_images(root)) if (image := _image(number, child, path, uuid))]
    members = {member for image in images for member in image.members}
    return len(members) > 1 and not any(_own(image, path, uuid) for image in images)


def distinct(paths: Iterable[Path]) -> list[Path]:
    """Return paths with one for each image: of a set of files the first, where several are named."""
    folder, known, found = Folder(), set(), []
    for path in paths:
        if path.absolute() in known:
            continue
        together = _together(path, folder)
        found.append(together[0] if together else path)
        known |= {one.absolute() for one in together}
    return found


def _together(path: Path, folder: Folder) -> tuple[Path, ...]:
    """Return the files of the set of a path; () if it has none, or that cannot be told now: reading it will say why."""
    if path.suffix.lower() not in TIFF and not _is_companion(path):
        return ()
    try:
        found = set_of(path, folder)
    except (ImageError, OSError):
        return ()
    if found:
        return found.present
    return _stack_files(path) if path in folder.micromanager else ()


def _stack_files(path: Path) -> tuple[Path, ...]:
    """Return the files that tifffile opens together as one stack of Micro-Manager; () if it is one file."""
    with suppress(*DECODE_ERRORS), captured_warnings(), tifffile.TiffFile(path) as tiff:
        names = {page.parent.filename for page in tiff.series[0].pages if page is not None}
        return tuple(path.with_name(name) for name in sorted(names)) if len(names) > 1 else ()
    return ()


def _companion_text(path: Path) -> str:
    """Return the OME-XML of a companion; empty if there is none that can be read."""
    with suppress(OSError, UnicodeError), path.open("rb") as file:
        return file.read(LONGEST).decode("utf-8-sig")
    return ""


def _root(xml: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(xml) if xml else None  # noqa: S314 - expat bounds entities
    except ElementTree.ParseError:
        return None


def _described_by(path: Path, reference: ElementTree.Element, folder: Folder) -> Path:
    member = Member(reference.get("MetadataFile", ""), reference.get("UUID", ""))
    found = folder.find(path.parent, member)
    if found is None:
        raise ImageError(
            f"{path.name} holds planes of an image that another file describes, {member.name or 'which has no name'}; "
            "that file cannot be found.",
            f"Copy it into the same folder. {ALONE}",
        )
    return found


def _images(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [child for child in root if _tag(child) == "Image"]


def _image(number: int, element: ElementTree.Element, path: Path, uuid: str) -> OmeImage | None:
    """Return an image; None if it has no pixels, or its description is no OME-XML."""
    pixels = next((child for child in element if _tag(child) == "Pixels"), None)
    if pixels is None:
        return None
    try:
        order = pixels.attrib["DimensionOrder"][:1:-1]  # XYCZT -> TZC
        channel = next((child for child in pixels if _tag(child) == "Channel"), None)
        samples = int(channel.get("SamplesPerPixel", 1)) if channel is not None else 1
        lengths = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "XYCZT"}
        lengths["C"] //= max(1, samples)
        blocks = [_block(child, order, path, uuid) for child in pixels if _tag(child) == "TiffData"]
    except (KeyError, ValueError):
        return None
    shape = tuple(lengths[axis] for axis in order)
    return OmeImage(number, order, shape, (lengths["Y"], lengths["X"]), tuple(blocks)) if blocks else None


def _block(element: ElementTree.Element, order: str, path: Path, uuid: str) -> Block:
    inner = next((child for child in element if _tag(child) == "UUID"), None)
    member = Member(path.name, uuid) if inner is None else Member(inner.get("FileName", ""), inner.text or "")
    count = element.get("PlaneCount", element.get("NumPlanes", "1" if "IFD" in element.attrib else None))
    first = tuple(int(element.get(f"First{axis}", 0)) for axis in order)
    return Block(member, first, int(element.get("IFD", 0)), None if count is None else int(count))


def _own(image: OmeImage, path: Path, uuid: str) -> Member | None:
    """Return which of the files of an image a file is: by its identifier, else by its name."""
    by_id = (member for member in image.members if uuid and member.uuid == uuid)
    by_name = (
        member
        for member in image.members
        if not (uuid and member.uuid) and "".join(_parts(member.name)[-1:]).lower() == path.name.lower()
    )
    return next(by_id, None) or next(by_name, None)


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name that was written on some computer; of one that leads elsewhere the last."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    leads_elsewhere = ".." in parts or parts[:1] == ("/",) or ":" in "".join(parts[:1])
    return tuple(part for part in parts[-1:] if part != "..") if leads_elsewhere else parts


def _root_folder(path: Path, own: Member | None) -> Path:
    """Return the folder from which the names count: above a file that is named as ``channels/c1.ome.tif``."""
    parts = _parts(own.name) if own else ()
    depth = len(parts) if parts == path.parts[-len(parts) :] else 1
    above = path.parents if depth <= len(path.parents) else path.absolute().parents
    return above[max(1, depth) - 1]


def _is_companion(path: Path) -> bool:
    return path.name.lower().endswith(COMPANION)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
