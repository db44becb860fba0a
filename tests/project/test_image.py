"""Recognition of an image by its record and fingerprint."""

from math import prod
from pathlib import Path

import dask.array
import hypothesis
import hypothesis.strategies as st
import numpy as np
import painter
import pytest
import zarr

from napari_fcn.geometry import Axes, Region
from napari_fcn.project import ImageRecord, fingerprint
from napari_fcn.project.image import MAX_WHOLE, N_SAMPLES, SAMPLE_SIZE, sample_regions

LARGE = np.random.default_rng(1).integers(0, 4000, (3, 700, 900)).astype(np.uint16)


@hypothesis.given(st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_a_large_image_is_sampled_by_few_blocks_inside_of_it(shape: list[int]) -> None:
    found = sample_regions(shape)
    if prod(shape) <= MAX_WHOLE:
        assert found == [Region.whole(shape)]
        return
    assert len(found) == N_SAMPLES
    assert all(Region.whole(shape).contains(region) and 0 < region.size <= SAMPLE_SIZE for region in found)
    assert len(set(found)) == N_SAMPLES
    assert any(a > 0 for a in found[-1].start)
    for axis, length in enumerate(shape):
        assert min(region.start[axis] for region in found) == 0
        assert max(region.stop[axis] for region in found) == length


class Watched:
    """An array that counts what is read."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.values = shape, np.dtype(np.uint8), 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        block = np.zeros([s.stop - s.start for s in index], np.uint8)
        self.values += block.size
        return block


def test_the_fingerprint_reads_few_pixels_of_an_image_of_any_size() -> None:
    image = Watched((1000, 50_000, 60_000))
    assert len(fingerprint(image)) == 64
    assert image.values <= N_SAMPLES * SAMPLE_SIZE


@pytest.mark.parametrize("image", [LARGE, LARGE[0, :40, :30], LARGE[:, :30, :30].astype(np.float32)])
def test_the_fingerprint_is_the_same_for_every_array_type(image: np.ndarray, tmp_path: Path) -> None:
    stored = zarr.create_array(tmp_path / "a.zarr", shape=image.shape, dtype=image.dtype, chunks=(20,) * image.ndim)
    stored[...] = image
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", image.dtype, image.shape)
    mapped[...] = image
    others = [np.asfortranarray(image), dask.array.from_array(image), stored, mapped]
    others.append(image.astype(image.dtype.newbyteorder(">")))
    assert {fingerprint(other) for other in others} == {fingerprint(image)}


def test_the_fingerprint_depends_on_pixels_shape_and_type() -> None:
    changed = LARGE.copy()
    changed[0, 0, 0] += 1
    others = [changed, LARGE[:, ::-1], LARGE.reshape(3, 900, 700), LARGE.astype(np.int16)]
    assert len({fingerprint(other) for other in (LARGE, *others)}) == 5


def test_the_fingerprint_does_not_depend_on_the_byte_order() -> None:
    big = LARGE.astype(">u2")
    record = ImageRecord("a", "", big.shape, str(big.dtype), painter.AXES, hash=fingerprint(big))
    assert record.difference(big) == record.difference(LARGE) == ""


def test_a_record_is_restored_from_plain_data() -> None:
    axes = Axes(("c", "z", "y", "x"), ("y", "x"), "c")
    record = ImageRecord(
        "a", "/b/a.tif", (2, 3, 4, 5), "uint8", axes, (1.0, 2.0, 0.5, 0.5), ("", "µm", "µm", "µm"), True
    )
    assert ImageRecord.from_dict(record.to_dict()) == record
    assert record.image_shape == (3, 4, 5)


@pytest.mark.parametrize(
    "change", [{"shape": [1, 2]}, {"shape": None}, {"axes": {}}, {"scale": ["wide"]}, {"dtype": "-"}]
)
def test_an_invalid_record_is_refused(change: dict[str, object]) -> None:
    data = {**painter.record_of(painter.IMAGE).to_dict(), **change}
    with pytest.raises((ValueError, KeyError, TypeError)):
        ImageRecord.from_dict(data)
