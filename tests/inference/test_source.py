"""Channels, regions and the sample for statistics that a network reads of an image."""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from teaching_examples import tiny

from napari_fcn.errors import ImageError, in_dock
from napari_fcn.geometry import Axes, Region
from napari_fcn.inference.source import SAMPLE_PIXELS, ImageSource
from napari_fcn.models.binding import is_colour
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings


def source(image: Any, names: str, wanted: int = 1, rgb: bool = False, **settings: Any) -> ImageSource:
    axes = Axes.guess(image.shape, 1 if "y" not in names else 2, names, rgb)
    rgb = is_colour(axes, image.shape, rgb)
    return ImageSource.open(image, axes, wanted, PredictSettings(**settings), rgb)


class Counting:
    """An array that is never in memory and counts the pixels that are read."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.read = shape, np.dtype("uint8"), 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        starts, lengths = zip(
            *((s.start, len(range(*s.indices(n)))) for s, n in zip(index, self.shape, strict=True)), strict=True
        )
        self.read += prod(lengths)
        return np.full(lengths, sum(starts) % 251, np.uint8)


def test_an_image_without_channels_is_one_channel(rng: np.random.Generator) -> None:
    image = rng.random((4, 5))
    np.testing.assert_array_equal(source(image, "yx").read(Region((1, 2), (3, 5))), image[None, 1:3, 2:5])


@pytest.mark.parametrize("names", ["cyx", "ycx", "yxc"])
def test_channels_come_first_wherever_they_are(names: str, rng: np.random.Generator) -> None:
    block = rng.random((2, 6, 7))
    image = np.moveaxis(block, 0, names.index("c"))
    opened = source(image, names, wanted=2)
    assert opened.shape == (6, 7)
    np.testing.assert_array_equal(opened.read(Region((1, 2), (5, 6))), block[:, 1:5, 2:6])
    assert opened.notes == ()


@pytest.mark.parametrize(("samples", "names"), [(3, "yxc"), (4, "yxc"), (3, "yxs"), (4, "yxs")])
def test_colours_are_read_as_luminance(samples: int, names: str) -> None:
    image = np.zeros((2, 3, samples), np.uint8)
    image[0, :, :3] = 200  # grey stays as bright as it is
    image[1, 0, 0] = image[1, 1, 1] = image[1, 2, 2] = 100
    opened = source(image, names, rgb=names == "yxc")
    expected = [[200, 200, 200], [21.26, 71.52, 7.22]]
    np.testing.assert_allclose(opened.read(Region.whole((2, 3)))[0], expected, rtol=1e-5)
    assert opened.notes == ("RGB image: using luminance.",)


def test_a_stain_is_read_as_scikit_image_separates_it(rng: np.random.Generator) -> None:
    from skimage.color import rgb2hed

    image = rng.integers(1, 255, (8, 9, 3)).astype(np.uint8)
    opened = source(image, "yxs", colour="haematoxylin")
    np.testing.assert_allclose(opened.read(Region.whole((8, 9)))[0], rgb2hed(image)[..., 0], atol=1e-6)


def test_a_network_of_three_channels_reads_the_colours_without_alpha(rng: np.random.Generator) -> None:
    image = rng.integers(0, 255, (4, 5, 4))
    opened = source(image, "yxs", wanted=3)
    np.testing.assert_array_equal(opened.read(Region.whole((4, 5))), np.moveaxis(image[..., :3], -1, 0))


def test_the_chosen_channel_is_read(rng: np.random.Generator) -> None:
    image = rng.random((3, 4, 5))
    opened = source(image, "cyx", channel=2)
    np.testing.assert_array_equal(opened.read(Region.whole((4, 5))), image[2:])
    assert opened.notes == ()


def test_the_first_of_several_channels_is_read_with_a_note(rng: np.random.Generator) -> None:
    image = rng.random((4, 4, 5))
    opened = source(image, "cyx")
    np.testing.assert_array_equal(opened.read(Region.whole((4, 5))), image[:1])
    assert opened.notes == ("Image with 4 channels: using channel 0; choose another with --channel.",)
    assert in_dock(opened.notes[0]) == "Image with 4 channels: using channel 0; choose another under Advanced."


@pytest.mark.parametrize(
    ("channels", "wanted", "channel", "message"),
    [
        (2, 3, None, "reads 3 channels; the image has 2"),
        (4, 2, None, "reads 2 channels; the image has 4"),
        (3, 1, 3, "Channel 3 was requested; the image has channels 0 to 2"),
        (3, 3, 1, "reads 3 channels; one was chosen"),
    ],
)
def test_channels_that_do_not_fit_are_refused(channels: int, wanted: int, channel: int | None, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        source(np.zeros((channels, 4, 4)), "cyx", wanted=wanted, channel=channel)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [("complex64", "complex numbers"), ("object", "holds object"), ("U3", "floats or booleans"), ("M8[s]", "booleans")],
)
def test_numbers_that_are_not_real_are_refused(dtype: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        source(np.zeros((4, 4), dtype), "yx")


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_an_empty_image_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="The image is empty"):
        source(np.zeros(shape), "yx")


def test_objects_that_are_not_arrays_are_refused() -> None:
    with pytest.raises(ImageError, match="Expected an array with shape and dtype, got list"):
        ImageSource.open([[1, 2], [3, 4]], Axes(("y", "x"), ("y", "x")), 1, PredictSettings())


@pytest.mark.parametrize("kind", ["dask", "zarr"])
@pytest.mark.parametrize("names", ["yx", "cyx", "yxc"])
def test_lazy_arrays_are_read_by_region(kind: str, names: str, rng: np.random.Generator) -> None:
    image = rng.integers(0, 999, tuple({"c": 2, "y": 50, "x": 60}[name] for name in names)).astype(np.uint16)
    lazy: Any = da.from_array(image, chunks=16)
    if kind == "zarr":
        lazy = zarr.create_array({}, data=image, chunks=(2,) * image.ndim)
    region = Region((10, 20), (33, 57))
    block = source(lazy, names).read(region)
    assert type(block) is np.ndarray
    np.testing.assert_array_equal(block, source(image, names).read(region))


def test_dask_computes_only_the_chunks_of_the_region() -> None:
    computed: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        computed.append(block_info[None]["chunk-location"])
        return np.zeros((16, 16), np.uint8)

    image = da.map_blocks(block, chunks=((16,) * 8, (16,) * 8), dtype=np.uint8, meta=np.zeros((0, 0), np.uint8))
    source(image, "yx").read(Region((17, 17), (30, 40)))
    assert sorted(computed) == [(1, 1), (1, 2)]


@given(st.lists(st.integers(1, 12), min_size=2, max_size=4))
def test_the_sample_of_a_small_image_is_all_of_it(shape: list[int]) -> None:
    image = np.random.default_rng(0).permutation(prod(shape)).reshape(shape)
    sample = source(image, "tzyx"[-len(shape) :]).sample()
    assert sample.shape == (1, image.size)
    np.testing.assert_array_equal(np.sort(sample[0]), np.arange(image.size))


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((60_000, 60_000), "yx"),
        ((4000, 70, 3000, 2000), "tzyx"),
        ((5_000_000, 3), "yx"),
        ((100_000_000,), "x"),
        ((3, 9_000, 9_000), "tyx"),
    ],
)
def test_the_sample_of_a_large_image_is_bounded_and_spread(shape: tuple[int, ...], names: str) -> None:
    image = Counting(shape)
    sample = source(image, names).sample()
    assert SAMPLE_PIXELS / 3 < image.read <= SAMPLE_PIXELS
    assert sample.shape == (1, image.read)
    assert len(np.unique(sample)) > 10  # blocks from many places
    np.testing.assert_array_equal(source(image, names).sample(), sample)


def test_the_statistics_of_a_sampled_image_are_those_of_the_whole(rng: np.random.Generator) -> None:
    image = rng.normal(100, 20, (2500, 2500)).astype(np.float32)
    assert image.size > SAMPLE_PIXELS
    sample = source(image, "yx").sample()
    np.testing.assert_allclose(np.percentile(sample, [1, 50, 99.8]), np.percentile(image, [1, 50, 99.8]), rtol=1e-2)


def lazy(frames: list[Any], promised: tuple[int, ...] = (6, 7)) -> da.Array:
    """Return a stack of frames that are made when they are looked at: arrays, or errors to be raised."""

    def make(frame: Any) -> np.ndarray:
        if isinstance(frame, Exception):
            raise frame
        return frame

    return da.stack([da.from_delayed(dask.delayed(make)(frame), promised, np.uint8) for frame in frames])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file", "t2.tif"), r"from t2\.tif: there is no such file .*Check the name"),
        (OSError("not a TIFF"), r"\(not a TIFF\)\. Check its files and open the image again\.$"),
    ],
)
def test_a_lazy_image_whose_file_cannot_be_read_raises_an_image_error(error: Exception, words: str) -> None:
    image = source(lazy([np.zeros((6, 7), np.uint8), error]), "tyx")
    assert image.read(Region((0, 0, 0), (1, 6, 7))).shape == (1, 1, 6, 7)
    with pytest.raises(ImageError, match=r"part \[1:2, 0:6, 0:7\] of the image cannot be read " + words):
        image.read(Region((1, 0, 0), (2, 6, 7)))


class ArrayWithBug:
    """An array whose code raises an error when it is sliced."""

    shape, dtype, ndim, size = (6, 7), np.dtype(np.uint8), 2, 42

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, index: Any) -> np.ndarray:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("my bug"), AttributeError("my bug"), ValueError("my bug")])
@pytest.mark.parametrize("make", [ArrayWithBug, lambda error: lazy([error])[0]])
def test_an_error_in_the_code_of_a_lazy_array_reaches_the_caller(
    make: Callable[[Exception], Any], error: Exception
) -> None:
    with pytest.raises(type(error), match=r"^my bug$"):
        source(make(error), "yx").read(Region((0, 0), (6, 7)))
    with pytest.raises(type(error), match=r"^my bug$"):
        list(Session(make(error), tiny()).predict())


@pytest.mark.parametrize("names", ["tyx", "tcyx"])
def test_frames_that_differ_in_shape_raise_an_error(names: str) -> None:
    promised = (6, 7) if names == "tyx" else (2, 6, 7)
    image = source(lazy([np.zeros(promised, np.uint8), np.zeros((*promised[:-1], 5), np.uint8)], promised), names)
    with pytest.raises(ImageError, match=r"has 1 x 6 x 5 pixels, expected 1 x 6 x 7.*Crop or pad"):
        image.read(Region((1, 0, 0), (2, 6, 7)))


def test_memory_that_runs_out_while_reading_is_not_taken_for_damage() -> None:
    with pytest.raises(MemoryError):
        source(lazy([MemoryError()]), "tyx").read(Region((0, 0, 0), (1, 6, 7)))


@pytest.mark.parametrize(("names", "words"), [("tyx", "name the axes"), ("tcyx", "another model or image.$")])
def test_missing_channels_may_be_an_unnamed_axis(names: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        source(np.zeros((5, 2, 6, 7)[-len(names) :], np.uint8), names, wanted=3)


def stained(white: float, dtype: str, rng: np.random.Generator) -> np.ndarray:
    light = rng.integers(1, 256, (8, 9, 3)) / 255
    light[0, 0] = 1
    found = light * white
    return (np.round(found) if np.dtype(dtype).kind in "iu" else found).astype(dtype)


@pytest.mark.parametrize(
    ("white", "dtype"),
    [
        (255, "float32"),
        (255, "int32"),
        (255, "uint16"),
        (255, "int64"),
        (1, "float32"),
        (1, "float64"),
        (4095, "uint16"),
        (4095, "float32"),
        (65535, "uint16"),
        (65535, "uint32"),
    ],
)
def test_stains_do_not_depend_on_the_type_of_the_colours(white: float, dtype: str, rng: np.random.Generator) -> None:
    from skimage.color import rgb2hed

    image = stained(white, dtype, rng)
    opened = source(image, "yxs", colour="haematoxylin")
    expected = rgb2hed(image / white)[..., 0]
    np.testing.assert_allclose(opened.read(Region.whole((8, 9)))[0], expected, atol=1e-5)
    assert f"0 to {white:g}" in opened.range_notes[0]


def test_interpolated_colours_slightly_above_white_stay_shares_of_it(
    rng: np.random.Generator,
) -> None:
    image = stained(1, "float32", rng)
    image[0, 0], image[1, 1] = 1.02, -0.01
    opened = source(image, "yxs", colour="haematoxylin")
    assert opened.white == 1
    assert np.isfinite(opened.read(Region.whole((8, 9)))).all()


@pytest.mark.parametrize("value", [-3, 70000])
def test_intensities_out_of_range_have_no_stains(value: int, rng: np.random.Generator) -> None:
    image = stained(255, "int32", rng)
    image[2, 2] = value
    opened = source(image, "yxs", colour="eosin")
    with pytest.raises(ImageError, match="Convert the image to 8 or 16 bits"):
        opened.read(Region.whole((8, 9)))


def test_white_is_that_of_the_image_in_every_part_of_it(rng: np.random.Generator) -> None:
    image = stained(4095, "uint16", rng)
    image[4:] //= 100
    opened, whole = source(image, "yxs", colour="dab"), source(image, "yxs", colour="dab")
    part = opened.read(Region((4, 0), (8, 9)))
    np.testing.assert_array_equal(part, whole.read(Region.whole((8, 9)))[:, 4:])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="pages are counted as on Linux")
def test_pages_of_a_mapped_file_are_released_after_each_read(tmp_path: Path, rng: np.random.Generator) -> None:
    data = rng.integers(0, 255, (1000, 1000), np.uint8)
    np.save(tmp_path / "image.npy", data)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    source = ImageSource(mapped, Axes(("y", "x"), ("y", "x")), (0,))
    np.testing.assert_array_equal(source.read(Region((100, 0), (900, 1000)))[0], data[100:900])
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith(str(tmp_path / "image.npy")))
    resident = next(line for line in lines[start:] if line.startswith("Rss:"))
    assert int(resident.split()[1]) == 0
