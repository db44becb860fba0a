"""A result that can be displayed while it is written is the same as one written at once."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fcn.errors import OutputError
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.io import ResultMeta, open_result, read_result_meta
from napari_fcn.io.incremental_zarr import IncrementalZarr

CLASSES = (("background", "#000000"), ("cell", "#56b4e9"))


def meta_of(axes: tuple[str, ...]) -> ResultMeta:
    return ResultMeta(axes, (1.0,) * len(axes), ("micrometer",) * len(axes), CLASSES)


def levels(path: Path) -> list[npt.NDArray[np.uint8]]:
    group = zarr.open_group(str(path), mode="r")
    return [np.asarray(group[str(number)]) for number in range(len(list(group.array_keys())))]


def grown(path: Path, values: npt.NDArray[np.uint8], axes: tuple[str, ...], tile: tuple[int, ...], seed: int) -> None:
    """Write probabilities ``(C, *space)`` or classes tile by tile, in an order of chance."""
    channels = len(values) if values.ndim > len(axes) else 0
    shape = values.shape[bool(channels) :]
    file = IncrementalZarr(path, "probabilities8" if channels else "classes", channels, shape, tile, meta_of(axes))
    tiles = list(TilePlan(shape, tile, ((0, 0),) * len(shape), (1,) * len(shape)))
    for number in np.random.default_rng(seed).permutation(len(tiles)):
        core = tiles[number].core
        file.put(core, values[(..., *core.slices)])
    file.finish()


@pytest.mark.parametrize(
    ("axes", "shape", "tile"),
    [
        (("y", "x"), (530, 331), (208, 208)),
        (("y", "x"), (530, 331), (97, 130)),  # coarser pixels lie in two tiles
        (("t", "y", "x"), (3, 300, 290), (1, 128, 128)),
        (("z", "y", "x"), (20, 300, 270), (16, 100, 96)),
        (("y", "x", "t"), (300, 20, 2), (128, 20, 1)),  # OME-Zarr turns them
        (("x",), (900,), (128,)),
    ],
)
@pytest.mark.parametrize("kind", ["classes", "probabilities8"])
def test_tiles_in_any_order_give_the_same_file_as_a_single_write(
    tmp_path: Path, axes: tuple[str, ...], shape: tuple[int, ...], tile: tuple[int, ...], kind: str
) -> None:
    count = () if kind == "classes" else (2,)
    values = np.random.default_rng(0).integers(0, 256, (*count, *shape), dtype=np.uint8)
    grown(tmp_path / "grown.ome.zarr", values, axes, tile, 1)
    with open_result(tmp_path / "once.ome.zarr", kind, values.shape, np.uint8, meta_of(axes)) as writer:
        writer.write(Region.whole(shape), values)
    found, expected = levels(tmp_path / "grown.ome.zarr"), levels(tmp_path / "once.ome.zarr")
    assert len(found) > 1
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    told = read_result_meta(tmp_path / "grown.ome.zarr")
    assert told == {**read_result_meta(tmp_path / "once.ome.zarr"), "is_complete": True}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(st.integers(257, 300), st.integers(1, 40)), st.tuples(st.integers(30, 300), st.integers(1, 40)))
def test_every_level_is_up_to_date_after_each_tile(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], tile: tuple[int, int]
) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    file = IncrementalZarr(tmp_path_factory.mktemp("g") / "a.zarr", "classes", 0, shape, tile, meta_of(("y", "x")))
    known = np.zeros(shape, np.uint8)
    for part in TilePlan(shape, tile, ((0, 0), (0, 0)), (1, 1)):
        file.put(part.core, values[part.core.slices])
        known[part.core.slices] = values[part.core.slices]
        for array, factor in zip(file.arrays, (1, 2), strict=False):
            np.testing.assert_array_equal(array[:], known[::factor, ::factor])


def test_an_unfinished_file_is_marked(tmp_path: Path) -> None:
    IncrementalZarr(tmp_path / "a.ome.zarr", "classes", 0, (300, 300), (128, 128), meta_of(("y", "x")))
    assert read_result_meta(tmp_path / "a.ome.zarr")["is_complete"] is False


def test_a_tile_on_the_grid_is_one_chunk_of_the_fine_levels(tmp_path: Path) -> None:
    file = IncrementalZarr(tmp_path / "a.zarr", "probabilities8", 3, (2048, 2048), (256, 256), meta_of(("y", "x")))
    chunks = [array.chunks for array in file.arrays]
    assert chunks == [(3, 256, 256), (3, 128, 128), (3, 64, 64), (3, 256, 256)]


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = IncrementalZarr(tmp_path / "a.zarr", "classes", 0, (300, 300), (128, 128), meta_of(("y", "x")))

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zarr.storage._local._put", fail)
    with pytest.raises(OutputError, match="disk is full"):
        file.put(Region((0, 0), (128, 128)), np.ones((128, 128), np.uint8))
