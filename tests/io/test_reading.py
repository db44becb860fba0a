"""Reading of images: pixels, axes, spacing, units, and errors."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Axes
from napari_fcn.io import ImageFile, images, read_image, tiff_reader
from napari_fcn.io.image_file import ImageHeader
from napari_fcn.io.images import read_header
from napari_fcn.io.lazy_array import LazyArray
from napari_fcn.io.units import unit_symbol, unit_word

STACK = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def pixels(image: ImageFile) -> np.ndarray:
    return np.asarray(image.data)


def ome_zarr(folder: Path, data: np.ndarray, axes: list[dict], scale: list[float], version: str = "0.5") -> Path:
    """Write two levels as other programs do, with plain zarr."""
    group = zarr.create_group(str(folder), zarr_format=3 if version == "0.5" else 2)
    for level, factor in enumerate((1, 2)):
        part = data[..., ::factor, ::factor]
        array = group.create_array(
            str(level), shape=part.shape, dtype=part.dtype, chunks=(1,) * (part.ndim - 2) + (8, 8)
        )
        array[...] = part
    steps = [[*scale[:-2], scale[-2] * factor, scale[-1] * factor] for factor in (1, 2)]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": step}]}
        for level, step in enumerate(steps)
    ]
    multiscales = [{"axes": axes, "datasets": datasets, "name": "image"}]
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = [{**multiscales[0], "version": version}]
    return folder


ZYX = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]


# TIFF


def test_a_plain_stack_has_unknown_axes(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for page in STACK:
            tiff.write(page, contiguous=False, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == ()
    assert image.scale == (1, 1, 1)
    assert np.array_equal(pixels(image), STACK)
    assert Axes.guess(image.data.shape, 3, image.axes, image.rgb).space == ("z", "y", "x")


def test_a_plain_page_has_the_axes_y_and_x(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], metadata=None)
    assert read_image(tmp_path / "a.tif").axes == ("y", "x")


def test_axes_named_by_tifffile_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata={"axes": "TYX"})
    assert read_image(tmp_path / "a.tif").axes == ("t", "y", "x")


def test_colour_samples_are_the_axis_s(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 24, 3), np.uint8), photometric="rgb")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == (("y", "x", "s"), True)


def test_planar_colours_are_channels_before_y_and_x(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 24), np.uint8), photometric="rgb", planarconfig="separate")
    image = read_image(tmp_path / "a.tif")
    assert (image.axes, image.rgb) == (("s", "y", "x"), False)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_alpha_channel_of_a_tiff_is_left_out_and_the_notes_say_so(tmp_path: Path, compression: str | None) -> None:
    colours = np.arange(20 * 24 * 4, dtype=np.uint8).reshape(20, 24, 4)
    tifffile.imwrite(
        tmp_path / "a.tif", colours, photometric="rgb", extrasamples=["unassalpha"], compression=compression
    )
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(pixels(image), colours[..., :3])
    assert "alpha" in image.notes[0]


def test_imagej_states_axes_spacing_and_interval(tmp_path: Path) -> None:
    movie = np.zeros((4, 3, 2, 20, 24), np.uint16)
    told = {"axes": "TZCYX", "spacing": 1.5, "unit": "um", "finterval": 30.0}
    tifffile.imwrite(tmp_path / "a.tif", movie, imagej=True, resolution=(5, 4), metadata=told)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == ("t", "z", "c", "y", "x")
    assert image.scale == pytest.approx((30, 1.5, 1, 0.25, 0.2))
    assert image.units == ("second", "micrometer", "pixel", "micrometer", "micrometer")


def test_big_endian_pixels_are_read_in_the_byte_order_of_the_machine(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "ZYX"})  # ImageJ is big-endian
    image = read_image(tmp_path / "a.tif")
    assert image.data.dtype.isnative
    assert image.data[1, 2:5].dtype.isnative
    assert np.array_equal(image.data[1, 2:5], STACK[1, 2:5])


def test_an_uncompressed_tiff_is_a_memory_map(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    assert isinstance(read_image(tmp_path / "a.tif").data, np.memmap)


def test_a_large_compressed_tiff_is_decoded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_reader, "DECODE_AT_ONCE_BYTES", 100)
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib", tile=(16, 16), metadata={"axes": "ZYX"})
    data = read_image(tmp_path / "a.tif").data
    assert isinstance(data, LazyArray)
    assert np.array_equal(data[..., 3:9, -1], STACK[..., 3:9, -1])
    assert np.array_equal(np.asarray(data), STACK)


def test_a_lazy_tiff_closes_its_file_when_it_is_no_longer_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_reader, "DECODE_AT_ONCE_BYTES", 100)
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib")
    opened: list[tifffile.TiffFile] = []
    real = tifffile.TiffFile
    monkeypatch.setattr(tifffile, "TiffFile", lambda path: opened.append(real(path)) or opened[-1])
    image = read_image(tmp_path / "a.tif")
    assert not opened[0].filehandle.closed
    del image
    assert opened[0].filehandle.closed


def test_ome_tiff_states_axes_and_spacing_in_any_unit(tmp_path: Path) -> None:
    told = {"axes": "TZYX", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    told |= {"TimeIncrement": 5, "TimeIncrementUnit": "min"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 3, 20, 24), np.uint8), metadata=told)
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == ("t", "z", "y", "x")
    assert image.scale == (5, 2, 0.25, 250)
    assert image.units == ("minute", "micrometer", "micrometer", "nanometer")


def test_the_levels_of_a_pyramidal_tiff_have_their_own_spacing(tmp_path: Path) -> None:
    whole = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        tiff.write(whole, subifds=1, tile=(16, 16), metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
        tiff.write(whole[::2, ::2], subfiletype=1, tile=(16, 16))
    image = read_image(tmp_path / "a.ome.tif", level=1)
    assert image.levels == 2
    assert image.scale == (1, 1)
    assert np.array_equal(pixels(image), whole[::2, ::2])


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected"), [(20000, "CENTIMETER", 0.5), (300, "INCH", 1), (96, "NONE", 1)]
)
def test_resolution_tags_are_used_if_they_are_plausible_for_a_microscope(
    tmp_path: Path, per_unit: int, unit: str, expected: float
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], resolution=(per_unit, per_unit), resolutionunit=unit)
    image = read_image(tmp_path / "a.tif")
    assert image.scale == pytest.approx((expected, expected))
    assert image.units == (("micrometer",) * 2 if expected == 0.5 else ("pixel",) * 2)


def test_the_first_image_of_a_tiff_is_read_with_a_note(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(STACK[0])
        tiff.write(np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    image = read_image(tmp_path / "a.tif")
    assert image.data.shape == (20, 24)
    assert "2 images" in image.notes[0]


@pytest.mark.parametrize("dtype", [*DTYPES, "float16", "complex64"])
def test_tiff_keeps_every_kind_of_number(tmp_path: Path, dtype: str) -> None:
    data = (STACK[0] % 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data)
    assert pixels(read_image(tmp_path / "a.tif")).dtype == dtype
    assert np.array_equal(pixels(read_image(tmp_path / "a.tif")), data)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}], ids=str)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.995])
def test_a_truncated_tiff_is_an_error_and_never_a_shorter_stack(tmp_path: Path, options: dict, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (6, 40, 50)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", noise, **options)
    content = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=r"a\.tif.* copy"):
        read_image(tmp_path / "a.tif")


def test_damaged_tiles_of_a_lazy_tiff_are_an_error_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_reader, "DECODE_AT_ONCE_BYTES", 100)
    tifffile.imwrite(tmp_path / "a.tif", STACK, compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start = tiff.pages[1].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + 20] = b"x" * 20
    (tmp_path / "a.tif").write_bytes(content)
    data = read_image(tmp_path / "a.tif").data
    assert np.array_equal(data[0], STACK[0])
    with pytest.raises(ImageError, match="damaged"):
        data[1]


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_states_axes_spacing_units_and_levels(tmp_path: Path, version: str) -> None:
    image = read_image(ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [2.0, 0.5, 0.25], version))
    assert image.axes == ("z", "y", "x")
    assert image.scale == (2.0, 0.5, 0.25)
    assert image.units == ("micrometer",) * 3
    assert image.levels == 2
    assert np.array_equal(pixels(image), STACK)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("inside", "level"), [("", 1), ("1", 0)])
def test_a_level_of_ome_zarr_is_chosen_by_number_or_by_path(
    tmp_path: Path, version: str, inside: str, level: int
) -> None:
    path = ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [2.0, 0.5, 0.25], version)
    image = read_image(path / inside, level)
    assert image.axes == ("z", "y", "x")
    assert image.scale == (2.0, 1.0, 0.5)
    assert np.array_equal(pixels(image), STACK[:, ::2, ::2])


def test_a_path_inside_ome_zarr_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0]))
    assert read_image("1").axes == ("z", "y", "x")


def test_the_scale_of_the_whole_image_multiplies_that_of_the_level(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0], "0.4")
    group = zarr.open_group(str(path), mode="r+")
    told = group.attrs["multiscales"]
    told[0]["coordinateTransformations"] = [{"type": "scale", "scale": [3.0, 0.2, 0.2]}]
    group.attrs["multiscales"] = told
    assert read_image(path, 1).scale == (3.0, 0.4, 0.4)


def test_channel_and_time_axes_are_renamed_to_c_and_t(tmp_path: Path) -> None:
    axes = [{"name": "Time", "type": "time", "unit": "second"}, {"name": "channel", "type": "channel"}, *ZYX[1:]]
    image = read_image(ome_zarr(tmp_path / "a.zarr", STACK[None], axes, [4.0, 9.0, 1.0, 1.0]))
    assert image.axes == ("t", "c", "y", "x")
    assert image.scale == (4.0, 1.0, 1.0, 1.0)
    assert image.units == ("second", "pixel", "micrometer", "micrometer")


def test_a_spacing_of_zero_is_unknown(tmp_path: Path) -> None:
    assert read_image(ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [0.0, 0.5, 0.5])).scale == (1.0, 0.5, 0.5)


def test_axes_of_length_one_stay_in_ome_zarr(tmp_path: Path) -> None:
    assert read_image(ome_zarr(tmp_path / "a.zarr", STACK[:1], ZYX, [1.0, 1.0, 1.0])).data.shape == (1, 20, 24)


def test_the_first_image_of_a_converted_collection_is_read(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    ome_zarr(tmp_path / "a.zarr" / "0", STACK, ZYX, [1.0, 1.0, 1.0])
    image = read_image(tmp_path / "a.zarr")
    assert np.array_equal(pixels(image), STACK)
    assert "first image" in image.notes[0]


def test_a_plate_is_an_error_that_says_what_is_inside(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "plate": {"wells": []}}
    group.create_group("B")
    with pytest.raises(ImageError, match=r"collection.*such as B"):
        read_image(tmp_path / "a.zarr")


def test_a_bare_zarr_array_has_its_dimension_names_as_axes(tmp_path: Path) -> None:
    for name, names in (("named", ("T", "Y", "X")), ("bare", None)):
        array = zarr.create_array(str(tmp_path / name), shape=STACK.shape, dtype=STACK.dtype, dimension_names=names)
        array[...] = STACK
    assert read_image(tmp_path / "named").axes == ("t", "y", "x")
    assert read_image(tmp_path / "bare").axes == ()
    assert np.array_equal(pixels(read_image(tmp_path / "bare")), STACK)


def test_a_missing_level_is_an_error_that_names_the_others(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0])
    (path / "0").rename(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match=r"level 0 of .* is missing; there is 1"):
        read_image(path)


def test_damaged_chunks_are_an_error_when_they_are_read(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0])
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(b"no chunk")
    data = read_image(path).data
    assert np.array_equal(data[1], STACK[1])
    with pytest.raises(ImageError, match="damaged"):
        data[0]


# npy and pictures


@pytest.mark.parametrize("dtype", DTYPES)
def test_npy_is_a_memory_map_of_unknown_axes(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", (STACK % 2).astype(dtype))
    image = read_image(tmp_path / "a.npy")
    assert isinstance(image.data, np.memmap)
    assert (image.data.dtype, image.axes) == (dtype, ())
    assert np.array_equal(pixels(image), STACK % 2)


def test_pickled_objects_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="pickled"):
        read_image(tmp_path / "a.npy")
    assert not (tmp_path / "sprung").exists()


def test_a_picture_in_colour_is_rgb(tmp_path: Path) -> None:
    colours = np.arange(20 * 24 * 3, dtype=np.uint8).reshape(20, 24, 3)
    for suffix in ("png", "bmp"):
        Image.fromarray(colours).save(tmp_path / f"a.{suffix}")
        image = read_image(tmp_path / f"a.{suffix}")
        assert (image.axes, image.rgb) == (("y", "x", "s"), True)
        assert np.array_equal(pixels(image), colours)


def test_a_grey_picture_has_two_axes(tmp_path: Path) -> None:
    grey = STACK[0].astype(np.uint8)
    for suffix in ("png", "bmp", "jpg"):
        Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
        image = read_image(tmp_path / f"a.{suffix}")
        assert (image.axes, image.rgb, image.data.shape) == (("y", "x"), False, (20, 24))


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_a_16_bit_png_is_read_with_16_bits(tmp_path: Path, shape: tuple[int, ...]) -> None:
    deep = (np.arange(np.prod(shape)).reshape(shape) * 40).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep))
    assert np.array_equal(pixels(read_image(tmp_path / "a.png")), deep)


@pytest.mark.parametrize(("mode", "shape"), [("RGBA", (20, 24, 3)), ("LA", (20, 24))])
def test_the_alpha_channel_of_a_picture_is_left_out_and_the_notes_say_so(
    tmp_path: Path, mode: str, shape: tuple[int, ...]
) -> None:
    Image.new(mode, (24, 20)).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.data.shape == shape
    assert "alpha" in image.notes[0]


def test_a_palette_becomes_colours(tmp_path: Path) -> None:
    Image.new("P", (24, 20)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").rgb


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".npy"])
@pytest.mark.parametrize("share", [0, 0.05, 0.6])
def test_a_truncated_picture_or_array_is_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    whole = tmp_path / f"whole{suffix}"
    np.save(whole, noise) if suffix == ".npy" else Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match="damaged"):
        read_image(path)


# Whatever cannot be read


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no image"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.czi", "a"])
def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    with pytest.raises(ImageError, match=r"\.tif.*\.zarr.*\.npy.*\.png"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["folder", "folder.zarr", "group.zarr"])
def test_a_folder_without_multiscales_is_an_error(tmp_path: Path, name: str) -> None:
    if name == "group.zarr":
        zarr.create_group(str(tmp_path / name), zarr_format=3)
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(ImageError, match="multiscales"):
        read_image(tmp_path / name)


def test_invalid_zarr_metadata_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"a\.zarr"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg", ".bmp", ".npy"])
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"this is a letter, not an image" * 20)
    with pytest.raises(ImageError, match="of another type"):
        read_image(path)


def test_an_array_without_pixels_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 5)))
    np.save(tmp_path / "b.npy", np.float32(1))
    zarr.create_array(str(tmp_path / "c.zarr"), shape=(0, 5), dtype="uint8")
    for name in ("a.npy", "b.npy", "c.zarr"):
        with pytest.raises(ImageError, match="no pixels"):
            read_image(tmp_path / name)


def test_an_array_of_text_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["cell"]))
    with pytest.raises(ImageError, match="not numbers"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("level", [-1, 1])
def test_a_level_that_is_not_there_is_an_error(tmp_path: Path, level: int) -> None:
    np.save(tmp_path / "a.npy", STACK)
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    for name in ("a.npy", "a.tif"):
        with pytest.raises(ImageError, match=f"no level {level}"):
            read_image(tmp_path / name, level)
    with pytest.raises(ImageError, match="no level 3"):
        read_image(ome_zarr(tmp_path / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0]), 3)


def test_a_file_without_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, level: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(images, "_read_npy", refuse)
    np.save(tmp_path / "a.npy", STACK)
    with pytest.raises(ImageError, match="permission"):
        read_image(tmp_path / "a.npy")


def test_an_image_larger_than_memory_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, level: int) -> None:
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(images, "_read_npy", refuse)
    np.save(tmp_path / "a.npy", STACK)
    with pytest.raises(ImageError, match="memory"):
        read_image(tmp_path / "a.npy")


# The lazy array and units


@pytest.fixture(scope="module")
def lazy(tmp_path_factory: pytest.TempPathFactory) -> LazyArray:
    """STACK in an OME-Zarr."""
    path = ome_zarr(tmp_path_factory.mktemp("lazy") / "a.zarr", STACK, ZYX, [1.0, 1.0, 1.0])
    return read_image(path).data


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(1, None), (slice(None), 3), (..., slice(2, 9, 3)), (1, ..., -2), (), ..., (0, 1, 2), slice(9, 3)],
    ids=str,
)
def test_a_lazy_array_is_sliced_as_numpy_slices(lazy: LazyArray, index: object) -> None:
    assert np.array_equal(lazy[index], STACK[index])
    assert isinstance(lazy[index], np.ndarray)


@pytest.mark.parametrize("index", [5, (0, 0, 0, 0), (..., ...), slice(None, None, -1)], ids=str)
def test_an_index_that_does_not_fit_a_lazy_array_is_an_error(lazy: LazyArray, index: object) -> None:
    with pytest.raises(IndexError):
        lazy[index]


def test_a_lazy_array_has_the_attributes_of_an_array(lazy: LazyArray) -> None:
    assert (lazy.ndim, lazy.size, lazy.nbytes, len(lazy)) == (3, STACK.size, STACK.nbytes, 5)
    assert lazy.chunks == (1, 8, 8)
    assert np.asarray(lazy, np.float32).dtype == np.float32


SPELLINGS = {
    "micrometer": ("µm", "μm", "um", "micron", "Micrometre", "\\u00B5m"),
    "nanometer": ("nm", "NM"),
    "angstrom": ("Å",),
    "second": ("s", "sec"),
    "minute": ("min",),
    "pixel": ("reference frame", "", None),
}


@pytest.mark.parametrize(("word", "spellings"), SPELLINGS.items())
def test_all_spellings_of_a_unit_give_one_word(word: str, spellings: tuple[str | None, ...]) -> None:
    assert {unit_word(spelling) for spelling in spellings} == {word}


@pytest.mark.parametrize(("word", "symbol"), [("micrometer", "µm"), ("minute", "min"), ("pixel", "pixel"), ("", "")])
def test_a_unit_is_shown_by_its_symbol_if_it_has_one(word: str, symbol: str) -> None:
    assert unit_symbol(word) == symbol


# Real files


def test_real_nuclei_and_their_labels_have_the_same_axes(shared_data: Path) -> None:
    image = read_image(shared_data / "dsb2018" / "train_fluo_04acab7636c4_image.tif")
    labels = read_image(shared_data / "dsb2018" / "train_fluo_04acab7636c4_label.tif")
    assert image.axes == labels.axes == ("y", "x")
    assert image.data.shape == labels.data.shape == (256, 256)
    assert pixels(labels).max() > 5


def test_a_real_volume_has_three_axes(shared_data: Path) -> None:
    image = read_image(shared_data / "plantseg_3d" / "ovule_walls_image.tif")
    assert image.axes == ("z", "y", "x")
    assert image.data.shape == (32, 128, 128)
    assert image.data[3:5, 10, :7].shape == (2, 7)


def test_a_header_has_axes_spacing_and_channel_names(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    told = {"axes": "CZYX", "Channel": {"Name": ["DAPI", "actin"]}, "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(path, np.ones((2, 3, 30, 40), np.uint8), metadata=told)
    header = read_header(path)
    assert (header.shape, header.axes, header.channels) == ((2, 3, 30, 40), ("c", "z", "y", "x"), ("DAPI", "actin"))
    assert (header.scale[1], header.units[1], header.units[2]) == (2.0, "nanometer", "pixel")


def test_the_header_of_ome_zarr_names_its_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(str(path), mode="w")
    group.create_array("0", shape=(2, 30, 40), dtype="u1", chunks=(1, 30, 40))
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    scale = {"type": "scale", "scale": [1, 0.5, 0.5]}
    levels = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}]
    group.attrs["ome"] = {"multiscales": levels, "omero": {"channels": [{"label": "DAPI"}, {"label": "actin"}]}}
    header = read_header(path)
    assert (header.shape, header.axes, header.channels) == ((2, 30, 40), ("c", "y", "x"), ("DAPI", "actin"))
    assert header.scale == (1.0, 0.5, 0.5)


def test_an_unreadable_file_has_an_empty_header(tmp_path: Path) -> None:
    (tmp_path / "half.tif").write_bytes(b"II*\x00 and no more")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name in ("half.tif", "a.png", "folder", "gone.tif"):
        assert read_header(tmp_path / name) == ImageHeader()
