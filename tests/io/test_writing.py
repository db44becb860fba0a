"""Writing of results: round trips, atomic appearance, provenance, and errors."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from PIL import Image

from napari_fcn.errors import FcnError, ImageError, OutputError
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.io import (
    RESULT_KINDS,
    WRITABLE_SUFFIXES,
    ResultMeta,
    array_writer,
    disk,
    open_result,
    read_image,
    read_result_meta,
    tiff_writer,
    zarr_writer,
)
from napari_fcn.io.zarr_writer import ZarrSink, downsample_mean, plan_pyramid

FORMATS = (".ome.tif", ".ome.zarr", ".npy")
DTYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
CLASSES = (("background", "#000000"), ("nuclei", "#e69f00"), ('rim <"µ">', "#56b4e9"))
WORLD = {"t": (30.0, "second"), "z": (2.0, "micrometer"), "y": (0.5, "micrometer"), "x": (0.25, "micrometer")}


def meta_of(axes: str, **more: object) -> ResultMeta:
    """Return metadata with another spacing for each axis."""
    spacing = [WORLD.get(name, (1.0, "pixel")) for name in axes]
    scale, units = (tuple(column) for column in zip(*spacing, strict=True))
    return ResultMeta(tuple(axes), scale, units, CLASSES, **more)


def write(path: Path, data: np.ndarray, axes: str, kind: str = "classes", **more: object) -> Path:
    with open_result(path, kind, data.shape, data.dtype, meta_of(axes), **more) as writer:
        writer.write(Region.whole(data.shape[-len(axes) :]), data)
    return path


def as_named(data: np.ndarray, names: str, wanted: tuple[str, ...]) -> np.ndarray:
    """Return data with its axes in the wanted order; those it lacks have length 1, those not wanted are dropped."""
    for name in wanted:
        if name not in names:
            names, data = name + names, data[None]
    for name in set(names) - set(wanted):
        data = data.take(0, names.index(name))
        names = names.replace(name, "")
    return data.transpose([names.index(name) for name in wanted])


@contextmanager
def failing(target: object, name: str, number: int = errno.ENOSPC) -> Iterator[None]:
    """Let a function of the system fail."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, refuse, raising=False)
        yield


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".") or path.suffix == ".part")


# Round trips


@st.composite
def results(draw: st.DrawFn) -> tuple[np.ndarray, str, str, tuple[int, ...], int]:
    """Draw an array, its image axes, its kind, a tile and a seed for the order of the tiles."""
    axes = draw(st.sampled_from(["x", "yx", "zyx", "tyx", "tzyx", "zxy"]))
    image = tuple(draw(st.integers(1, 7)) for _ in axes)
    kind, dtype = draw(
        st.sampled_from([("classes", "uint8"), ("probabilities", "float32"), ("probabilities8", "uint8")])
        | st.tuples(st.just("objects"), st.sampled_from(["uint8", "uint16", "uint32", "int32"]))
    )
    shape = (3, *image) if kind.startswith("probabilities") else image
    data = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 200, shape).astype(dtype)
    return data, axes, kind, tuple(draw(st.integers(1, n)) for n in image), draw(st.integers(0, 99))


@pytest.mark.parametrize("suffix", FORMATS)
@hypothesis.given(results())
@hypothesis.settings(max_examples=12)
def test_tiles_written_in_any_order_come_back_as_one_array(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, result: tuple
) -> None:
    data, axes, kind, tile, seed = result
    path = tmp_path_factory.mktemp("results") / f"a{suffix}"
    image = data.shape[-len(axes) :]
    tiles = list(TilePlan(image, tile, ((0, 0),) * len(image), (1,) * len(image)))
    with open_result(path, kind, data.shape, data.dtype, meta_of(axes)) as writer:
        for i in np.random.default_rng(seed).permutation(len(tiles)):
            writer.write(tiles[i].core, data[(..., *tiles[i].core.slices)])
    back = read_image(path)
    names = ("c" + axes) if len(data.shape) > len(axes) else axes
    assert np.array_equal(np.asarray(back.data), as_named(data, names, back.axes or tuple(names)))
    assert back.data.dtype == data.dtype
    for name, size, unit in zip(back.axes, back.scale, back.units, strict=False):
        assert (size, unit) == (WORLD[name] if name in axes else (1.0, "pixel"))
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_number_type_survives_a_round_trip(tmp_path: Path, suffix: str, dtype: str) -> None:
    data = (np.arange(20 * 30).reshape(20, 30) % 2).astype(dtype)
    back = np.asarray(read_image(write(tmp_path / f"a{suffix}", data, "yx", "objects")).data)
    assert back.dtype == dtype
    assert np.array_equal(back, data)


@pytest.mark.parametrize(
    ("suffix", "axes", "expected"),
    [
        (".ome.tif", "tyx", "ctyx"),
        (".ome.zarr", "tyx", "tcyx"),
        (".ome.tif", "yxz", "czyx"),
        (".ome.zarr", "yxz", "czyx"),
        (".ome.tif", "x", "cyx"),
        (".ome.zarr", "x", "cyx"),
        (".ome.tif", "qyx", "cqyx"),
        (".ome.zarr", "yx", "cyx"),
        (".ome.tif", "ty", "cty"),
        (".ome.tif", "y", "cyx"),
    ],
)
def test_axes_are_stored_in_the_order_of_the_format(tmp_path: Path, suffix: str, axes: str, expected: str) -> None:
    shape = dict(zip("ctzyxq", (3, 4, 5, 20, 30, 6), strict=True))
    data = np.random.default_rng(0).random([3, *(shape[name] for name in axes)], np.float32)
    back = read_image(write(tmp_path / f"a{suffix}", data, axes, "probabilities"))
    assert back.axes == tuple(expected)
    assert np.array_equal(np.asarray(back.data), as_named(data, "c" + axes, tuple(expected)))


def test_pixels_that_were_never_written_are_zero(tmp_path: Path) -> None:
    for suffix in FORMATS:
        with open_result(tmp_path / f"a{suffix}", "classes", (4, 6), "uint8", meta_of("yx")) as writer:
            writer.write(Region((1, 2), (2, 4)), np.ones((1, 2), np.uint8))
        assert np.asarray(read_image(tmp_path / f"a{suffix}").data).sum() == 2


def test_probabilities8_are_stored_as_bytes(tmp_path: Path) -> None:
    with open_result(tmp_path / "a.npy", "probabilities8", (2, 3), "uint8", meta_of("x")) as writer:
        writer.write(Region((0,), (3,)), np.array([[0, 0.5, 1], [1, 0.5, 0]], np.float32))
    assert np.load(tmp_path / "a.npy").tolist() == [[0, 128, 255], [255, 128, 0]]


def test_classes_survive_a_round_trip_through_png(tmp_path: Path) -> None:
    data = (np.arange(20 * 30).reshape(20, 30) % 3).astype(np.uint8)
    back = read_image(write(tmp_path / "a.png", data, "yx"))
    assert back.axes == ("y", "x")
    assert np.array_equal(np.asarray(back.data), data)


# What the files say


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".png"])
def test_a_result_stores_its_provenance(tmp_path: Path, suffix: str) -> None:
    provenance = {
        "model": "nuclei",
        "source": PurePosixPath("/data/zélie & co/<1>.tif"),
        "settings": {"tile": (256, 256), "memory": None},
        "peak": np.int64(7),
        "colours": np.array([1.5, 2]),
    }
    meta = meta_of("yx", provenance=provenance)
    with open_result(tmp_path / f"a{suffix}", "classes", (4, 6), "uint8", meta):
        pass
    told = read_result_meta(tmp_path / f"a{suffix}")
    assert told["provenance"] == {
        "model": "nuclei",
        "source": "/data/zélie & co/<1>.tif",
        "settings": {"tile": [256, 256], "memory": None},
        "peak": 7,
        "colours": [1.5, 2],
    }
    assert told["kind"] == "classes"
    assert told["axes"] == ["y", "x"]
    assert told["classes"] == [list(pair) for pair in CLASSES]


def test_a_foreign_file_has_no_record(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 6)))
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((4, 6), np.uint8), metadata={"MapAnnotation": {"a": "b"}})
    Image.new("L", (4, 6)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros(3))
    zarr.create_group(str(tmp_path / "a.zarr"))
    for name in ("a.tif", "a.ome.tif", "a.png", "a.npy", "a.zarr"):
        assert read_result_meta(tmp_path / name) == {}


def test_reading_the_record_of_a_missing_or_damaged_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no file"):
        read_result_meta(tmp_path / "a.tif")
    for suffix in ("tif", "png"):
        (tmp_path / f"a.{suffix}").write_text("a letter")
        with pytest.raises(ImageError, match="damaged"):
            read_result_meta(tmp_path / f"a.{suffix}")


def test_ome_xml_names_and_colours_the_channels_and_states_the_pixel_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ome.tif", np.zeros((3, 2, 20, 30), np.float32), "zyx", "probabilities")
    with tifffile.TiffFile(path) as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tiff.pages.first.is_tiled
        assert tiff.pages.first.tags.valueof("ResolutionUnit") == tifffile.RESUNIT.CENTIMETER
    assert [channel["Name"] for channel in pixels["Channel"]] == [name for name, _ in CLASSES]
    assert [channel["Color"] & 0xFFFFFFFF for channel in pixels["Channel"]] == [0x000000FF, 0xE69F00FF, 0x56B4E9FF]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "XYZ"] == [0.25, 0.5, 2.0]
    assert pixels["PhysicalSizeXUnit"] == "µm"


def test_a_tiff_that_may_exceed_four_gigabytes_is_a_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in ((10**6, False), (10, True)):
        monkeypatch.setattr(tiff_writer, "MAX_CLASSIC_BYTES", limit)
        with tifffile.TiffFile(write(tmp_path / f"{limit}.tif", np.zeros((20, 30), np.uint8), "yx")) as tiff:
            assert tiff.is_bigtiff is expected


@pytest.mark.parametrize("kind", RESULT_KINDS)
@pytest.mark.parametrize("axes", ["x", "yx", "tyx", "tzyx"])
def test_ome_zarr_fulfils_the_specification(tmp_path: Path, kind: str, axes: str) -> None:
    shape = ((3,) if kind.startswith("probabilities") else ()) + (2, 3, 20, 30)[-len(axes) :]
    path = write(tmp_path / "a.zarr", np.zeros(shape, "float32" if kind == "probabilities" else "uint8"), axes, kind)
    yaozarrs.validate_zarr_store(str(path))
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    if kind.startswith("probabilities"):
        assert [channel["label"] for channel in ome["omero"]["channels"]] == [name for name, _ in CLASSES]
        assert [channel["color"].lower() for channel in ome["omero"]["channels"]] == ["000000", "e69f00", "56b4e9"]
    if kind == "classes":
        assert ome["image-label"]["colors"][1] == {"label-value": 1, "rgba": [0xE6, 0x9F, 0x00, 255]}
        assert ome["image-label"]["properties"][1] == {"label-value": 1, "class": "nuclei"}
    if kind == "objects":
        assert "colors" not in ome["image-label"]


# The pyramid


def test_each_level_halves_the_finest_axes_until_the_image_is_small() -> None:
    levels = plan_pyramid("tczyx", (9, 3, 40, 1000, 600), (1, 1, 2.0, 0.5, 0.5))
    assert [level.factors for level in levels] == [(1, 1, 1, 1, 1), (1, 1, 1, 2, 2), (1, 1, 1, 4, 4)]
    assert [level.shape for level in levels][1:] == [(9, 3, 40, 500, 300), (9, 3, 40, 250, 150)]
    assert [level.factors for level in plan_pyramid("zyx", (300, 300, 300), (1.2, 1, 1))] == [(1, 1, 1), (2, 2, 2)]


@hypothesis.given(
    st.lists(st.integers(1, 5000), min_size=2, max_size=3), st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3)
)
def test_a_pyramid_always_ends_with_a_small_image(shape: list[int], scale: list[float]) -> None:
    levels = plan_pyramid("zyx"[-len(shape) :], shape, scale[-len(shape) :])
    assert max(levels[-1].shape) <= zarr_writer.COARSEST_SIDE
    assert all(min(level.shape) >= 1 for level in levels)


def test_coarse_levels_are_sampled_for_labels_and_averaged_for_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORLD, "y", WORLD["x"])
    monkeypatch.setattr(zarr_writer, "COARSEST_SIDE", 8)
    monkeypatch.setattr(zarr_writer, "CHUNK_SHAPES", {2: (8, 8), 3: (2, 8, 8)})
    data = np.random.default_rng(0).integers(0, 200, (2, 21, 30), np.uint8)
    labels = write(tmp_path / "labels.zarr", data[0], "yx", "objects")
    means = write(tmp_path / "means.zarr", data, "yx", "probabilities8")
    picked, averaged = read_image(labels, 1), read_image(means, 1)
    assert read_image(labels).levels == read_image(means).levels == 3
    assert np.array_equal(np.asarray(picked.data), data[0, ::2, ::2])
    assert np.array_equal(np.asarray(averaged.data), downsample_mean(data, (1, 2, 2)))
    assert averaged.scale == (1.0, 0.5, 0.5)
    assert np.array_equal(np.asarray(read_image(labels, 2).data), data[0, ::4, ::4])


def test_an_odd_last_pixel_is_kept_in_the_mean() -> None:
    assert downsample_mean(np.array([[0, 10, 5]], np.uint8), (1, 2)).tolist() == [[5, 5]]
    assert downsample_mean(np.array([[0, 1, 4]], np.float32), (1, 2)).tolist() == [[0.5, 4]]


def test_means_are_centred_on_their_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORLD, "y", WORLD["x"])
    monkeypatch.setattr(zarr_writer, "COARSEST_SIDE", 8)
    path = write(tmp_path / "a.zarr", np.zeros((3, 10, 12), np.float32), "yx", "probabilities")
    coarse = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"][1]
    steps = {step["type"]: step[step["type"]] for step in coarse["coordinateTransformations"]}
    assert steps == {"scale": [1.0, 0.5, 0.5], "translation": [0.0, 0.125, 0.125]}


def test_a_damaged_chunk_is_detected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", np.random.default_rng(0).integers(0, 9, (40, 50), np.uint8), "yx")
    chunk = path / "0" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ImageError, match="damaged"):
        np.asarray(read_image(path).data)


# All or nothing


@pytest.mark.parametrize("suffix", [*FORMATS, ".png"])
def test_a_result_appears_only_when_complete(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    writer = open_result(path, "classes", (4, 6), "uint8", meta_of("yx"))
    assert not path.exists()
    writer.close()
    assert path.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [*FORMATS, ".png"])
def test_an_interrupted_result_leaves_no_files_and_keeps_the_old_one(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", np.full((4, 6), 2, np.uint8), "yx")

    def interrupted() -> None:
        with open_result(path, "classes", (4, 6), "uint8", meta_of("yx"), overwrite=True) as writer:
            writer.write(Region.whole((4, 6)), np.ones((4, 6), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert np.asarray(read_image(path).data).min() == 2
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [*FORMATS, ".png"])
def test_overwriting_replaces_the_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for value in (2, 1):
        write(path, np.full((4, 6), value, np.uint8), "yx", overwrite=True)
    assert np.asarray(read_image(path).data).max() == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [*FORMATS, ".png"])
def test_an_existing_result_is_kept_without_overwrite(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", np.full((4, 6), 2, np.uint8), "yx")
    with pytest.raises(OutputError, match="--overwrite"):
        open_result(path, "classes", (4, 6), "uint8", meta_of("yx"))
    assert np.asarray(read_image(path).data).min() == 2


def test_a_result_written_by_another_program_meanwhile_is_kept(tmp_path: Path) -> None:
    writer = open_result(tmp_path / "a.npy", "classes", (4, 6), "uint8", meta_of("yx"))
    (tmp_path / "a.npy").write_text("faster")
    with pytest.raises(OutputError, match="exists"):
        writer.close()
    assert (tmp_path / "a.npy").read_text() == "faster"
    assert leftovers(tmp_path) == []


def test_the_old_zarr_is_restored_if_the_new_one_cannot_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.zarr", np.full((4, 6), 2, np.uint8), "yx")
    rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if target == path and not (Path(source) / ".DS_Store").exists():
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    writer = open_result(path, "classes", (4, 6), "uint8", meta_of("yx"), overwrite=True)
    (path / ".DS_Store").touch()
    monkeypatch.setattr(os, "rename", refuse_new)
    with pytest.raises(OutputError, match="Input/output"):
        writer.close()
    assert np.asarray(read_image(path).data).min() == 2
    assert leftovers(tmp_path) == []


def test_parent_folders_of_a_result_are_created(tmp_path: Path) -> None:
    assert write(tmp_path / "new" / "deep" / "a.tif", np.zeros((4, 6), np.uint8), "yx").is_file()


def test_closing_twice_is_closing_once_and_writing_after_it_is_an_error(tmp_path: Path) -> None:
    writer = open_result(tmp_path / "a.npy", "classes", (4, 6), "uint8", meta_of("yx"))
    writer.close()
    writer.close()
    writer.abort()
    assert (tmp_path / "a.npy").exists()
    with pytest.raises(ValueError, match="closed"):
        writer.write(Region.whole((4, 6)), np.zeros((4, 6), np.uint8))


# A full disk

FULL = {
    ".npy reserving": (".npy", array_writer.disk, "reserve"),
    ".npy syncing": (".npy", array_writer.disk, "sync_to_disk"),
    ".png encoding": (".png", Image.Image, "save"),
    ".tif compressing": (".ome.tif", tifffile, "imwrite"),
    ".zarr opening": (".zarr", zarr, "create_group"),
    ".zarr writing": (".zarr", ZarrSink, "put"),
    ".zarr finishing": (".zarr", ZarrSink, "finish"),
    "renaming": (".npy", disk.os, "replace"),
}


@pytest.mark.parametrize(("suffix", "target", "name"), FULL.values(), ids=FULL.keys())
def test_a_full_disk_is_an_error_with_sizes_and_keeps_the_old_result(
    tmp_path: Path, suffix: str, target: object, name: str
) -> None:
    path = write(tmp_path / f"a{suffix}", np.full((4, 6), 2, np.uint8), "yx")
    with pytest.raises(OutputError, match=r"disk is full.*24 bytes.*free"), failing(target, name):
        write(path, np.ones((4, 6), np.uint8), "yx", overwrite=True)
    assert np.asarray(read_image(path).data).min() == 2
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system has no limit on the size of a file")
@pytest.mark.parametrize("suffix", FORMATS)
def test_exceeding_the_file_size_limit_is_an_error(tmp_path: Path, suffix: str) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 9, (512, 512), np.uint32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputError, match="would be larger than a file may be"):
            write(tmp_path / f"a{suffix}", noise, "yx", "objects")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", [".ome.tif", ".npy", ".png"])
def test_too_little_disk_space_is_detected_at_the_start(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 2_000_000))
    with pytest.raises(OutputError, match=r"needs at least 4\.0 MB .* 2\.0 MB free"):
        open_result(tmp_path / f"a{suffix}", "classes", (2000, 2000), "uint8", meta_of("yx"))
    assert leftovers(tmp_path) == []


def test_bytes_are_written_if_they_cannot_be_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "BLOCK_BYTES", 7)
    data = np.arange(24, dtype=np.uint8).reshape(4, 6)
    with failing(os, "posix_fallocate", errno.EOPNOTSUPP):
        write(tmp_path / "a.npy", data, "yx")
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    write(tmp_path / "b.npy", data, "yx")
    for name in "ab":
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), data)


# Targets that cannot be


def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.zarr.*\.tif.*\.npy.*\.png"):
        open_result(tmp_path / "a.czi", "classes", (4, 6), "uint8", meta_of("yx"))


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_folder_is_never_replaced_by_a_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.mkdir()
    (path / "thesis.txt").touch()
    with pytest.raises(OutputError, match="is a folder"):
        open_result(path, "classes", (4, 6), "uint8", meta_of("yx"), overwrite=True)
    assert (path / "thesis.txt").exists()


def test_a_file_is_never_replaced_by_a_zarr(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").touch()
    with pytest.raises(OutputError, match="is a file"):
        open_result(tmp_path / "a.zarr", "classes", (4, 6), "uint8", meta_of("yx"), overwrite=True)


def test_a_result_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        open_result(tmp_path / "a" / "b.tif", "classes", (4, 6), "uint8", meta_of("yx"))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_without_permission_is_an_error(tmp_path: Path, suffix: str) -> None:
    target = zarr if suffix.endswith("zarr") else np.lib.format
    name = "create_group" if suffix.endswith("zarr") else "open_memmap"
    with failing(target, name, errno.EACCES), pytest.raises(OutputError, match="permission"):
        open_result(tmp_path / f"a{suffix}", "classes", (4, 6), "uint8", meta_of("yx"))


@pytest.mark.parametrize(
    ("kind", "axes", "dtype"), [("classes", "zyx", "uint8"), ("objects", "yx", "uint32"), ("classes", "yx", "uint16")]
)
def test_a_png_holds_classes_of_a_plane_only(tmp_path: Path, kind: str, axes: str, dtype: str) -> None:
    with pytest.raises(OutputError, match=r"a\.tif or a\.zarr"):
        open_result(tmp_path / "a.png", kind, (4,) * len(axes), dtype, meta_of(axes))


@pytest.mark.parametrize(("suffix", "axes", "dtype"), [(".tif", "yx", "int64"), (".zarr", "vtzyx", "float32")])
def test_unsupported_axes_and_types_are_an_error_at_the_start(
    tmp_path: Path, suffix: str, axes: str, dtype: str
) -> None:
    kind, shape = ("objects", (4,) * len(axes)) if dtype == "int64" else ("probabilities", (3,) + (4,) * len(axes))
    with pytest.raises(OutputError, match="cannot hold") as caught:
        open_result(tmp_path / f"a{suffix}", kind, shape, dtype, meta_of(axes))
    assert ".npy" in str(caught.value)
    assert leftovers(tmp_path) == []


# Callers' mistakes


@pytest.mark.parametrize(
    ("kind", "shape", "dtype", "axes"),
    [
        ("masks", (4, 6), "uint8", "yx"),
        ("classes", (3, 4, 6), "uint8", "yx"),
        ("probabilities", (4, 6), "float32", "yx"),
        ("probabilities8", (3, 4, 6), "float32", "yx"),
        ("probabilities", (3, 4, 6), "float32", "cx"),
        ("classes", (0, 6), "uint8", "yx"),
    ],
)
def test_arguments_that_do_not_fit_each_other_are_an_error(
    tmp_path: Path, kind: str, shape: tuple[int, ...], dtype: str, axes: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        open_result(tmp_path / "a.npy", kind, shape, dtype, meta_of(axes))
    assert not isinstance(caught.value, FcnError)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan")])
def test_an_invalid_spacing_is_an_error(tmp_path: Path, size: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        open_result(tmp_path / "a.npy", "classes", (4,), "uint8", ResultMeta(("x",), (size,), ("pixel",)))


@pytest.mark.parametrize(
    ("region", "block"),
    [
        (Region((0, 0), (4, 6)), np.zeros((3, 6), np.uint8)),
        (Region((1, 0), (5, 6)), np.zeros((4, 6), np.uint8)),
        (Region((-1, 0), (3, 6)), np.zeros((4, 6), np.uint8)),
        (Region((0, 0), (4, 6)), np.zeros((4, 6), np.float32)),
    ],
)
def test_a_block_that_does_not_fit_is_an_error(tmp_path: Path, region: Region, block: np.ndarray) -> None:
    with open_result(tmp_path / "a.npy", "classes", (4, 6), "uint8", meta_of("yx")) as writer:
        with pytest.raises(ValueError, match="does not fit"):
            writer.write(region, block)
        writer.write(Region((0, 0), (4, 6)), np.ones((4, 6), np.uint8))
    assert np.load(tmp_path / "a.npy").all()


# Real files


def test_a_real_volume_survives_a_round_trip_in_every_format(shared_data: Path, tmp_path: Path) -> None:
    labels = read_image(shared_data / "plantseg_3d" / "ovule_walls_label.tif")
    for suffix in FORMATS:
        back = read_image(write(tmp_path / f"a{suffix}", np.asarray(labels.data), "zyx", "objects"))
        assert np.array_equal(np.asarray(back.data), np.asarray(labels.data))


# Results that outlive their writer


@pytest.mark.parametrize("suffix", [*FORMATS, ".png"])
def test_a_staged_result_is_continued_by_another_writer(suffix: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(1, 9, (600, 40)).astype(np.uint8)
    top, bottom = Region((0, 0), (300, 40)), Region((300, 0), (600, 40))
    place = {"staging": tmp_path / "work" / "classes"}
    path, given = tmp_path / f"a{suffix}", ("classes", data.shape, data.dtype, meta_of("yx"))
    writer = open_result(path, *given, **place)
    writer.write(top, data[:300])
    writer.close_incomplete()
    assert not path.exists()
    with open_result(path, *given, **place) as writer:
        np.testing.assert_array_equal(writer.read(top), data[:300])
        assert not writer.read(bottom).any()
        writer.write(bottom, data[300:])
    np.testing.assert_array_equal(np.asarray(read_image(path).data), data)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("axes", ["x", "tzyx", "zxy"])
def test_blocks_are_read_back_with_the_axes_of_the_result(axes: str, suffix: str, tmp_path: Path) -> None:
    shape = (2, *range(3, 3 + len(axes)))
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    with open_result(tmp_path / f"a{suffix}", "probabilities", shape, "float32", meta_of(axes)) as writer:
        whole = Region.whole(shape[1:])
        writer.write(whole, data)
        np.testing.assert_array_equal(writer.read(whole), data)


def test_a_staged_result_of_another_shape_is_not_continued(tmp_path: Path) -> None:
    for suffix in (".npy", ".zarr"):
        place = tmp_path / f"work{suffix}"
        for shape in ((4, 6), (6, 4)):
            writer = open_result(tmp_path / f"a{suffix}", "classes", shape, "u1", meta_of("yx"), staging=place)
            assert not writer.read(Region.whole(shape)).any()
            writer.write(Region.whole(shape), np.ones(shape, np.uint8))
            writer.close_incomplete()


def test_a_damaged_chunk_of_a_staged_result_is_empty_and_writable(tmp_path: Path) -> None:
    data, place = np.ones((600, 600), np.uint8), tmp_path / "work"
    given = (tmp_path / "a.zarr", "classes", data.shape, data.dtype, meta_of("yx"))
    writer = open_result(*given, staging=place)
    writer.write(Region.whole(data.shape), data)
    chunk = place / "0" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    (chunk.parent / "1.partial").write_bytes(b"half")
    assert writer.read(Region.whole(data.shape)) is None
    writer.close_incomplete()
    with open_result(*given, staging=place) as writer:
        assert not writer.read(Region((0, 0), (512, 512))).any()
        assert writer.read(Region((512, 0), (600, 600))).all()
        writer.write(Region((3, 3), (9, 9)), data[3:9, 3:9])
    assert not list(given[0].rglob("*.partial"))


def test_a_full_disk_keeps_a_staged_result(tmp_path: Path) -> None:
    data = np.ones((8, 8), np.uint8)
    given = (tmp_path / "a.zarr", "classes", data.shape, data.dtype, meta_of("yx"))
    writer = open_result(*given, staging=tmp_path / "work")
    writer.write(Region((0, 0), (4, 8)), data[:4])
    with failing(ZarrSink, "put"), pytest.raises(OutputError, match="disk is full"):
        writer.write(Region((4, 0), (8, 8)), data[4:])
    with open_result(*given, staging=tmp_path / "work") as writer:
        assert writer.read(Region((0, 0), (4, 8))).all()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="maps are listed as on Linux")
@pytest.mark.parametrize("name", ["out.npy", "out.ome.tif", "out.png"])
def test_a_file_is_not_mapped_between_blocks(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    data = rng.integers(0, 3, (64, 64), np.uint8)
    with open_result(tmp_path / name, "classes", data.shape, data.dtype, meta_of("yx")) as writer:
        writer.write(Region((0, 0), (32, 64)), data[:32])
        assert str(tmp_path) not in Path("/proc/self/maps").read_text()
        writer.write(Region((32, 0), (64, 64)), data[32:])
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name).data[:]), data)


def test_pages_of_a_tiff_larger_than_a_row_of_tiles_are_written_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(tiff_writer, "TILE_SIDE", 16)
    data = rng.integers(0, 255, (2, 3, 45, 37)).astype(np.uint8)
    path = write(tmp_path / "out.ome.tif", data, "tzyx")
    np.testing.assert_array_equal(tifffile.imread(path), data)
