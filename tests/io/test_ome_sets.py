"""OME-TIFF images of several files are listed once, read completely, and refused if a part is missing."""

import json
import os
import struct
import uuid
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fcn.errors import ImageError
from napari_fcn.io import read_image
from napari_fcn.io.image_paths import list_images
from napari_fcn.io.images import read_header
from napari_fcn.io.ome_sets import unique_images

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
SHAPE = (5, 7)


def identifier(number: int) -> str:
    return f"urn:uuid:{uuid.UUID(int=number + 1)}"


def pixels(sizes: dict[str, int], blocks: str, number: int = 0) -> str:
    lengths = " ".join(f'Size{axis}="{sizes.get(axis, 1)}"' for axis in "CZT")
    channels = "".join(f'<Channel ID="Channel:{number}:{c}"/>' for c in range(sizes.get("C", 1)))
    return (
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="{SHAPE[1]}" SizeY="{SHAPE[0]}" {lengths} PhysicalSizeX="{0.5 + number}" PhysicalSizeXUnit="µm">'
        f"{channels}{blocks}</Pixels></Image>"
    )


def block(name: str, number: int, page: int | None = 0, **first: int) -> str:
    where = " ".join(f'First{axis}="{n}"' for axis, n in first.items())
    pages = "" if page is None else f' IFD="{page}" PlaneCount="1"'
    return f'<TiffData {where}{pages}><UUID FileName="{name}">{identifier(number)}</UUID></TiffData>'


def document(content: str, number: int) -> str:
    return f'<?xml version="1.0"?><OME xmlns="{NAMESPACE}" UUID="{identifier(number)}">{content}</OME>'


def write(path: Path, planes: np.ndarray, xml: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for k, plane in enumerate(planes):
            file.write(plane, description=xml.encode() if k == 0 else None, metadata=None, contiguous=False)
    return path


def planes_of(count: int) -> np.ndarray:
    return np.arange(count * SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(count, *SHAPE)


def channel_set(folder: Path, axis: str = "C", count: int = 3, names: str = "c{}.ome.tif") -> list[Path]:
    """Write a file for each index along an axis, each with the whole description."""
    content = pixels({axis: count}, "".join(block(names.format(k), k, **{axis: k}) for k in range(count)))
    return [write(folder / names.format(k), planes_of(count)[k : k + 1], document(content, k)) for k in range(count)]


@pytest.mark.parametrize("axis", ["C", "Z", "T"])
def test_each_file_of_a_set_opens_the_whole_image(tmp_path: Path, axis: str) -> None:
    for path in channel_set(tmp_path, axis):
        image = read_image(path)
        assert image.axes == (axis.lower(), "y", "x")
        np.testing.assert_array_equal(np.asarray(image.data), planes_of(3))
        np.testing.assert_array_equal(image.data[1:, 2, ::3], planes_of(3)[1:, 2, ::3])
        np.testing.assert_array_equal(image.data[-1], planes_of(3)[-1])
        assert image.notes == ("3 files are one image: c0.ome.tif, c1.ome.tif, c2.ome.tif.",)


def test_a_set_is_listed_once(tmp_path: Path) -> None:
    files = channel_set(tmp_path)
    tifffile.imwrite(tmp_path / "other.tif", np.zeros(SHAPE, np.uint8))
    assert list_images(tmp_path) == [files[0], tmp_path / "other.tif"]
    assert unique_images(files[::-1]) == [files[0]]
    assert list_images(files[2]) == [files[0]]


def test_a_set_along_two_axes_is_assembled_by_index(tmp_path: Path) -> None:
    places = list(product(range(2), range(3)))  # t, z
    blocks = "".join(block(f"t{t}.ome.tif", t, z, Z=z, T=t) for t, z in places)
    content = pixels({"Z": 3, "T": 2}, blocks)
    data = planes_of(6).reshape(2, 3, *SHAPE)
    files = [write(tmp_path / f"t{t}.ome.tif", data[t], document(content, t)) for t in range(2)]
    image = read_image(files[1])
    assert image.axes == ("t", "z", "y", "x")
    np.testing.assert_array_equal(np.asarray(image.data), data)
    np.testing.assert_array_equal(image.data[:, 1], data[:, 1])
    assert image.data.files((slice(1, 2), *(slice(0, n) for n in data.shape[1:]))) == [files[1]]


def test_the_number_of_planes_in_a_file_is_optional(tmp_path: Path) -> None:
    blocks = "".join(block(f"t{t}.ome.tif", t, None, T=t) for t in range(2))
    content = pixels({"Z": 3, "T": 2}, blocks)
    data = planes_of(6).reshape(2, 3, *SHAPE)
    files = [write(tmp_path / f"t{t}.ome.tif", data[t], document(content, t)) for t in range(2)]
    np.testing.assert_array_equal(np.asarray(read_image(files[0]).data), data)


def test_positions_in_one_description_are_separate_images(tmp_path: Path) -> None:
    content = "".join(pixels({"Z": 2}, block(f"p{k}.ome.tif", k, None), k) for k in range(3))
    data = planes_of(6).reshape(3, 2, *SHAPE)
    files = [write(tmp_path / f"p{k}.ome.tif", data[k], document(content, k)) for k in range(3)]
    assert list_images(tmp_path) == files
    for k, path in enumerate(files):
        image = read_image(path)
        np.testing.assert_array_equal(np.asarray(image.data), data[k])
        assert image.calibration.axes[-1].size == 0.5 + k
        assert image.notes == ()


def test_renamed_files_are_found_by_their_identifier(tmp_path: Path) -> None:
    files = [path.rename(path.with_name(f"renamed_{9 - k}.tif")) for k, path in enumerate(channel_set(tmp_path))]
    assert list_images(tmp_path) == [files[0]]
    np.testing.assert_array_equal(np.asarray(read_image(files[1]).data), planes_of(3))


def test_names_that_were_swapped_do_not_swap_the_planes(tmp_path: Path) -> None:
    one, other, _ = channel_set(tmp_path)
    one.rename(tmp_path / "aside"), other.rename(one), (tmp_path / "aside").rename(other)
    np.testing.assert_array_equal(np.asarray(read_image(one).data), planes_of(3))


def test_files_below_the_folder_are_found_from_each_of_them(tmp_path: Path) -> None:
    files = channel_set(tmp_path, names="channels{}/c.ome.tif")
    for path in files:
        np.testing.assert_array_equal(np.asarray(read_image(path).data), planes_of(3))
    assert unique_images(files) == [files[0]]


def companion_set(folder: Path) -> list[Path]:
    content = pixels({"C": 2}, "".join(block(f"c{k}.ome.tif", k, C=k) for k in range(2)))
    (folder / "image.companion.ome").write_text(document(content, 99), encoding="utf-8")
    reference = f'<BinaryOnly MetadataFile="image.companion.ome" UUID="{identifier(99)}"/>'
    return [write(folder / f"c{k}.ome.tif", planes_of(2)[k : k + 1], document(reference, k)) for k in range(2)]


def test_a_companion_is_followed_and_can_be_opened_itself(tmp_path: Path) -> None:
    files = companion_set(tmp_path)
    for path in (*files, tmp_path / "image.companion.ome"):
        np.testing.assert_array_equal(np.asarray(read_image(path).data), planes_of(2))
    assert list_images(tmp_path) == [files[0]]
    assert list_images(tmp_path / "image.companion.ome") == [files[0]]
    assert read_header(files[1]).shape == (2, *SHAPE)


def test_a_reference_to_the_first_file_is_followed(tmp_path: Path) -> None:
    content = pixels({"C": 2}, "".join(block(f"c{k}.ome.tif", k, C=k) for k in range(2)))
    reference = f'<BinaryOnly MetadataFile="c0.ome.tif" UUID="{identifier(0)}"/>'
    files = [
        write(tmp_path / f"c{k}.ome.tif", planes_of(2)[k : k + 1], document(reference if k else content, k))
        for k in range(2)
    ]
    np.testing.assert_array_equal(np.asarray(read_image(files[1]).data), planes_of(2))
    assert list_images(tmp_path) == [files[0]]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_file_is_named(tmp_path: Path, gone: int) -> None:
    files = channel_set(tmp_path)
    files[gone].unlink()
    left = [path for path in files if path.exists()]
    with pytest.raises(ImageError, match=rf"1 of them cannot be found: c{gone}\.ome\.tif.*Fiji"):
        read_image(left[1])
    assert list_images(tmp_path) == left[:1]


def test_a_missing_companion_is_named(tmp_path: Path) -> None:
    files = companion_set(tmp_path)
    (tmp_path / "image.companion.ome").unlink()
    with pytest.raises(ImageError, match=r"image\.companion\.ome.*cannot be found"):
        read_image(files[0])


def test_a_truncated_file_of_a_set_is_named(tmp_path: Path) -> None:
    files = channel_set(tmp_path)
    os.truncate(files[1], files[1].stat().st_size - 20)
    with pytest.raises(ImageError, match=r"c1\.ome\.tif"):
        read_image(files[0])


@pytest.mark.parametrize(("axis", "left"), [("C", (0,)), ("T", (0, 2)), ("Z", (1, 2))])
def test_missing_planes_of_a_file_are_an_error(tmp_path: Path, axis: str, left: tuple[int, ...]) -> None:
    blocks = "".join(block("a.ome.tif", 0, k, **{axis: n}) for k, n in enumerate(left))
    path = write(tmp_path / "a.ome.tif", planes_of(len(left)), document(pixels({axis: 3}, blocks), 0))
    with pytest.raises(ImageError, match="lacks planes"):
        read_image(path)


def test_missing_planes_of_a_set_are_an_error(tmp_path: Path) -> None:
    content = pixels({"C": 3}, "".join(block(f"c{k}.ome.tif", k, C=k) for k in range(2)))
    files = [write(tmp_path / f"c{k}.ome.tif", planes_of(2)[k : k + 1], document(content, k)) for k in range(2)]
    with pytest.raises(ImageError, match="1 of the 3 planes"):
        read_image(files[0])


def test_planes_of_another_size_are_refused(tmp_path: Path) -> None:
    content = pixels({"C": 2}, "".join(block(f"c{k}.ome.tif", k, C=k) for k in range(2)))
    write(tmp_path / "c0.ome.tif", planes_of(1), document(content, 0))
    write(tmp_path / "c1.ome.tif", np.zeros((1, 3, 3), np.uint16), document(content, 1))
    with pytest.raises(ImageError, match="must be alike"):
        np.asarray(read_image(tmp_path / "c0.ome.tif").data)


def test_a_file_with_a_copied_description_is_a_separate_image(tmp_path: Path) -> None:
    channel_set(tmp_path / "set")
    with tifffile.TiffFile(tmp_path / "set" / "c0.ome.tif") as tiff:
        xml = (tiff.ome_metadata or "").replace(f'UUID="{identifier(0)}"', "")
    path = write(tmp_path / "maximum.ome.tif", planes_of(1) + 1, xml)
    np.testing.assert_array_equal(np.asarray(read_image(path).data), planes_of(1)[0] + 1)
    assert list_images(path) == [path]


def test_a_renamed_file_of_one_image_stays_one_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", planes_of(3), metadata={"axes": "ZYX"})
    path = (tmp_path / "a.ome.tif").rename(tmp_path / "b.ome.tif")
    image = read_image(path)
    assert (image.axes, image.notes) == (("z", "y", "x"), ())
    assert list_images(tmp_path) == [path]


def test_file_names_outside_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    outside = channel_set(tmp_path / "outside", count=2)
    inside = tmp_path / "inside"
    for name in ("../outside/c1.ome.tif", str(outside[1]), r"C:\outside\c1.ome.tif"):
        content = pixels({"C": 2}, block("c0.ome.tif", 0, C=0) + block(name, 1, C=1))
        path = write(inside / "c0.ome.tif", planes_of(1), document(content, 0))
        with pytest.raises(ImageError, match="cannot be found"):
            read_image(path)


def test_a_set_in_colour_is_read_as_rgb(tmp_path: Path) -> None:
    content = pixels({"T": 2}, "".join(block(f"t{k}.ome.tif", k, T=k) for k in range(2)))
    content = content.replace("<Channel ", '<Channel SamplesPerPixel="3" ').replace('SizeC="1"', 'SizeC="3"')
    data = np.arange(2 * 5 * 7 * 3, dtype=np.uint8).reshape(2, 5, 7, 3)
    for k in range(2):
        tifffile.imwrite(
            tmp_path / f"t{k}.ome.tif",
            data[k],
            photometric="rgb",
            description=document(content, k).encode(),
            metadata=None,
        )
    image = read_image(tmp_path / "t0.ome.tif")
    assert (image.axes, image.rgb) == (("t", "y", "x", "s"), True)
    np.testing.assert_array_equal(np.asarray(image.data), data)


def micro_manager(path: Path, index: int, count: int) -> Path:
    """Write one plane of a stack of several files as Micro-Manager does: an index of its planes before the pages."""
    summary = json.dumps({"MicroManagerVersion": "2", "Frames": 1, "Slices": 1, "Positions": 1, "Channels": count})
    plane = planes_of(count)[index]
    at = 40 + len(summary) + len(summary) % 2  # the page; then its pixels, then the index
    shorts, longs = (256, 257, 258, 259, 262, 277, 278), (273, 279)
    values = dict(zip(shorts, (SHAPE[1], SHAPE[0], 16, 1, 1, 1, SHAPE[0]), strict=True))
    own = b'{"a": 1}'
    after = at + 2 + 12 * 10 + 4
    start = after + len(own)
    values |= dict(zip(longs, (start, plane.nbytes), strict=True))
    tags = [struct.pack("<HHII", tag, 3 if tag in shorts else 4, 1, values[tag]) for tag in sorted(values)]
    tags.append(struct.pack("<HHII", 51123, 2, len(own), after))
    page = struct.pack("<H", len(tags)) + b"".join(tags) + struct.pack("<I", 0) + own
    place = struct.pack("<II5I", 3453623, 1, index, 0, 0, 0, at)
    head = struct.pack("<2sHI", b"II", 42, at)
    head += struct.pack("<8I", 54773648, start + plane.nbytes, 483765892, 0, 99384722, 0, 2355492, len(summary))
    path.write_bytes(head + summary.encode().ljust(at - 40) + page + plane.tobytes() + place)
    return path


def test_files_that_tifffile_opens_as_one_stack_are_one_image(tmp_path: Path) -> None:
    files = [micro_manager(tmp_path / f"run_MMStack_{k}.tif", k, 3) for k in range(3)]
    np.testing.assert_array_equal(np.squeeze(read_image(files[1]).data), planes_of(3))
    assert list_images(tmp_path) == [files[0]]
    files[1].unlink()
    with pytest.raises(ImageError, match="lacks planes"):
        read_image(files[0])
