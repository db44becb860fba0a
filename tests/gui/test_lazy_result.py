"""Results larger than memory, on disk and displayed by levels: they equal those in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui.docks import Dock, MakeModel
from hypothesis import given
from hypothesis import strategies as st

from napari_fcn.events import TileDone
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.gui._layers import Canvas, StoredCanvas, overlay
from napari_fcn.gui._layers.lazy_result import LazyResult
from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.io import ResultMeta
from napari_fcn.settings import OutputSettings, PredictSettings

COLOURS = ("#000000", "#56b4e9", "#e69f00")
VALUES = np.random.default_rng(0).integers(0, 256, (5, 2, 7, 6), dtype=np.uint8)  # t c y x
INDEX = st.one_of(st.integers(-4, 4), st.slices(5).filter(lambda s: s.step is None or s.step > 0))


def first(block: np.ndarray) -> np.ndarray:
    """Return colours computed from the probabilities of two classes."""
    return np.stack([block[0], block[1], block[0] // 2, block[1] // 2], axis=-1)


@given(st.tuples(INDEX, INDEX, INDEX), st.one_of(st.just(slice(None)), st.integers(0, 3)))
def test_a_level_is_indexed_like_an_array(index: tuple[Any, ...], colour: Any) -> None:
    shown = LazyResult(VALUES, (3, 0, 2), first, 1)  # the layer has x t y
    whole = first(VALUES.transpose(1, 3, 0, 2))
    assert (shown.shape, shown.ndim, len(shown), shown.size) == (whole.shape, 4, len(whole), whole.size)
    np.testing.assert_array_equal(shown[index], whole[index])
    np.testing.assert_array_equal(shown[(*index, colour)], whole[(*index, colour)])
    np.testing.assert_array_equal(shown[..., colour], whole[..., colour])
    np.testing.assert_array_equal(np.asarray(shown), whole)


@given(st.tuples(INDEX, st.sampled_from([0, slice(None)]), INDEX))
def test_an_axis_missing_in_the_file_has_length_one(index: tuple[Any, ...]) -> None:
    flat = VALUES[:, 0, 0, :]
    shown = LazyResult(flat[:, None], (0, None, 2))  # the file has an axis of its own, too
    np.testing.assert_array_equal(shown[index], flat[:, None][index])


@pytest.mark.parametrize("channel", [None, 0, 1])
def test_results_on_disk_equal_those_in_memory(tmp_path: Path, channel: int | None) -> None:
    shape, tile = (2, 300, 290), (1, 128, 128)
    meta = ResultMeta(("t", "y", "x"), (1.0,) * 3, ("pixel",) * 3, tuple((c, c) for c in COLOURS))
    disk = StoredCanvas(
        Region.whole(shape), {kind: tmp_path / f"{kind}.ome.zarr" for kind in ("probabilities", "classes")}
    )
    memory = Canvas.empty(shape)
    disk.prepare(tile, lambda: meta)
    rng = np.random.default_rng(0)
    for core in TilePlan(shape, tile, ((0, 0),) * 3, (1,) * 3):
        values = rng.dirichlet(np.ones(3), core.core.shape).astype(np.float32)
        done = TileDone(core.core, np.moveaxis(values, -1, 0), 1, 1)
        stored, coloured = (canvas.process_tile(done, COLOURS) for canvas in (disk, memory))
        np.testing.assert_array_equal(stored.counts, coloured.counts)
        memory.put(coloured)
    disk.finish()
    disk.close()
    classes, colours = (disk.layer_data(kind, channel) for kind in ("classes", "probabilities"))
    expected = memory.layer_data("classes", channel)
    assert [level.shape for level in classes] == [expected[..., ::f, ::f].shape for f in (1, 2)]
    np.testing.assert_array_equal(np.asarray(classes[0]), expected)
    wanted = memory.layer_data("probabilities", channel).astype(int)
    apart = np.abs(np.asarray(colours[0]).astype(int) - wanted)[wanted[..., 3] > 50]  # faint colours are coarse
    assert apart.max() <= 6
    assert np.asarray(colours[1]).shape == (*classes[1].shape, 4)


def test_results_too_large_for_memory_are_stored_and_shown_from_disk(
    dock: Dock, model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 255, (600, 520), np.uint8)
    dock.viewer.add_image(image, name="slide", scale=(0.5, 0.5))
    dock.widget.settings.set_value(PredictSettings(tile=(128,)))
    dock.run()
    in_memory = {kind: np.asarray(dock.layer(kind).data).copy() for kind in overlay.OVERLAY_KINDS}
    monkeypatch.setattr(overlay, "MAX_OVERLAY_BYTES", 1000)
    dock.widget.save.set_value(OutputSettings(folder=str(tmp_path)))
    result = dock.run()
    assert sorted(Path(file).name for file in result.files) == [
        "slide_classes.ome.zarr",
        "slide_probabilities.ome.zarr",
    ]
    classes, colours = (dock.layer(kind) for kind in ("classes", "probabilities"))
    assert classes.multiscale
    assert len(classes.data) == len(colours.data) == 3
    np.testing.assert_array_equal(np.asarray(classes.data[0]), in_memory["classes"])
    np.testing.assert_allclose(classes.scale, (0.5, 0.5))
    assert [layer.name for layer in dock.viewer.layers] == ["slide", "slide probabilities", "slide classes"]
    shot = dock.viewer.screenshot(flash=False)[..., :3]
    monkeypatch.setattr(overlay, "MAX_OVERLAY_BYTES", 2**30)
    dock.run()
    assert not dock.layer("classes").multiscale
    again = dock.viewer.screenshot(flash=False)[..., :3]
    assert np.abs(shot.astype(int) - again).mean() < 12


def test_small_results_on_disk_have_one_level(
    dock: Dock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    dock.viewer.add_image(rng.integers(0, 255, (64, 64), np.uint8), name="small")
    dock.run()
    in_memory = np.asarray(dock.layer("classes").data).copy()
    shot = dock.viewer.screenshot(flash=False)
    monkeypatch.setattr(overlay, "MAX_OVERLAY_BYTES", 10)
    dock.widget.save.set_value(OutputSettings(folder=str(tmp_path)))
    dock.run()
    assert not dock.layer("classes").multiscale
    np.testing.assert_array_equal(np.asarray(dock.layer("classes").data), in_memory)
    apart = np.abs(dock.viewer.screenshot(flash=False).astype(int) - shot)
    assert apart.mean() < 2  # faint colours are coarse


def test_iterating_over_a_result_on_disk_terminates() -> None:
    shown = LazyResult(np.arange(6, dtype=np.uint8).reshape(2, 3), (0, 1))
    assert [row.tolist() for row in shown] == [[0, 1, 2], [3, 4, 5]]
    assert shown[-1].tolist() == [3, 4, 5]
    with pytest.raises(IndexError, match="out of range for an axis of length 3"):
        shown[0, 3]


def test_only_the_requested_plane_of_a_stack_is_read() -> None:
    asked: list[tuple[slice, ...]] = []

    class Watched:
        shape, dtype, ndim = (8, 6, 2, 40, 30), np.dtype(np.uint8), 5

        def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
            asked.append(where)
            return np.zeros(
                [s.stop - s.start if s.stop else n for s, n in zip(where, self.shape, strict=True)], np.uint8
            )

    shown = LazyResult(Watched(), (0, 1, 3, 4), first, 2)
    part = shown[:, :, 5:25:2, 3:9]  # what napari cuts out first
    assert (part.shape, asked) == ((8, 6, 10, 6, 4), [])
    plane = np.asarray(part[7, 2])
    assert plane.shape == (10, 6, 4)
    assert asked == [(slice(7, 8), slice(2, 3), slice(None), slice(5, 25), slice(3, 9))]


def test_results_without_an_output_folder_are_an_error(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "MAX_OVERLAY_BYTES", 10)
    dock.viewer.add_image(np.zeros((64, 64), np.uint8), name="slide")
    dock.click(dock.widget.run_button)
    assert "Choose a folder under Save to" in dock.widget.error.text()


def test_visible_tiles_are_next_after_the_view_moves(dock: Dock) -> None:
    dock.start_long_run()
    seen = dock.widget.controller._run.job.visible
    before = seen.region
    camera = camera_of(dock.viewer)
    camera.zoom *= 8
    camera.center = (0, 900, 900)
    dock.wait(lambda: seen.region != before)
    assert seen() == seen.region
    assert seen.region.contains(Region((900, 900), (901, 901)))
    dock.click(dock.widget.cancel_button)


def test_a_region_on_disk_lies_at_its_origin(tmp_path: Path) -> None:
    meta = ResultMeta(("y", "x"), (1.0,) * 2, ("pixel",) * 2, tuple((c, c) for c in COLOURS))
    paths = {kind: tmp_path / f"{kind}.ome.zarr" for kind in ("probabilities", "classes")}
    stored = StoredCanvas(Region((30, 40), (94, 104)), paths)
    stored.prepare((64, 64), lambda: meta)
    probabilities = np.zeros((len(COLOURS), 64, 64), np.float32)
    probabilities[1] = 1
    stored.process_tile(TileDone(Region((30, 40), (94, 104)), probabilities, 1, 1), COLOURS)
    stored.finish()
    stored.close()
    np.testing.assert_array_equal(np.asarray(stored.layer_data("classes", None)), np.ones((64, 64), np.uint8))
