"""Tiles of an image are predicted at the pixel size of the training images."""

from dataclasses import replace
from typing import Any

import net_contract
import numpy as np
import pytest
from net_contract import EXACT, SPECS

from napari_fcn.errors import ImageError
from napari_fcn.events import RunPlanned, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.geometry.resampling import Resampling
from napari_fcn.inference.resampling import sizes_differ
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

CASES = {
    "unet-1d": ((150,), (0.6,), "x"),
    "unet-2d": ((61, 90), (0.5, 2.1), "yx"),
    "unet-3d": ((14, 30, 26), (1.9, 1.0, 0.7), "zyx"),
    "reflect": ((3, 50, 41), (1.7, 0.4), "tyx"),
}


def learnt(name: str) -> Checkpoint:
    """Return a network that learnt on pixels of 1 micrometre."""
    checkpoint = net_contract.checkpoint(SPECS[name])
    return Checkpoint(replace(checkpoint.info, voxel_size=(1.0,) * SPECS[name].ndim), checkpoint.weights)


def session(name: str, tile: tuple[int, ...] = (), **more: Any) -> Session:
    shape, spacing, names = CASES[name]
    image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    axes = Axes(tuple(names), tuple(names[-SPECS[name].ndim :]))
    options = PredictSettings(**{"device": "cpu", "resample": "auto", "tile": tile, **more.pop("options", {})})
    return Session(image, learnt(name), axes, options, spacing=more.get("spacing", spacing))


def answer(running: Session, first: Region | None = None) -> np.ndarray:
    out = np.full((running.spec.classes, *running.source.shape), np.nan, np.float32)
    for event in running.predict(first):
        if isinstance(event, TileDone):
            assert np.isnan(out[(slice(None), *event.region.slices)]).all()
            out[(slice(None), *event.region.slices)] = event.probabilities
    return out


def by_hand(running: Session) -> np.ndarray:
    """Return the answer of the whole image: resampled, one pass of the network, resampled back."""
    grid = running.resampling
    assert grid is not None
    image = grid.apply(running.source.read(Region.whole(grid.source)), Region.whole(grid.target))
    shape, axes = running.network_source.shape, running.axes
    found = running.predictor.backend.probabilities(np.ascontiguousarray(axes.to_net(running.scaling.apply(image))))
    return grid.back.apply(axes.from_net(found, shape), Region.whole(grid.source))


@pytest.mark.parametrize("kernel", ["auto", "cubic", "gaussian"])
@pytest.mark.parametrize("name", CASES)
def test_tiled_equals_whole_on_both_grids(name: str, kernel: str) -> None:
    tiled = session(name, (8,), options={"resample": kernel})
    assert len(tiled.plan()) > 3
    found = answer(tiled)
    assert np.abs(found - by_hand(tiled)).max() <= EXACT
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "reflect"])
def test_the_image_is_read_tile_by_tile(name: str) -> None:
    running, whole = session(name, (8,)), session(name)
    sizes = [running.predictor.read(tile).size for tile in running.plan()]
    assert max(sizes) < whole.predictor.read(next(iter(whole.plan()))).size


def test_the_visible_region_comes_first() -> None:
    running = session("unet-2d", (8,))
    shown = Region((40, 60), (50, 70))
    first = next(event for event in running.predict(shown) if isinstance(event, TileDone))
    assert first.region.intersects(shown)
    assert np.abs(answer(running, shown) - by_hand(running)).max() <= EXACT


def test_loops_are_not_resampled() -> None:
    assert session("reflect").network_source.shape == (3, 85, 16)


def notes(running: Session) -> str:
    events = running.predict()
    planned = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(planned, RunPlanned)
    return " ".join(planned.notes)


def test_a_note_states_the_resampling() -> None:
    assert "0.5 x 2.1 µm, that of the training images 1 x 1 µm: the image is resampled" in notes(session("unet-2d"))


def test_a_note_states_pixel_sizes_that_differ_without_resampling() -> None:
    running = session("unet-2d", options={"resample": "off"})
    assert running.resampling is None
    assert "resample it" in notes(running)
    assert "µm" not in notes(session("unet-2d", options={"resample": "off"}, spacing=(1.1, 0.9)))


def test_sizes_nearly_alike_are_left_alone_unless_a_kernel_is_named() -> None:
    assert session("unet-2d", spacing=(1.1, 0.9)).resampling is None
    named = session("unet-2d", spacing=(1.1, 0.9), options={"resample": "cubic"})
    assert named.resampling == Resampling((61, 90), (67, 81), "cubic")


@pytest.mark.parametrize("mode", ["auto", "linear", "cubic", "gaussian"])
def test_an_image_without_a_pixel_size_is_not_resampled_without_a_word(mode: str) -> None:
    with pytest.raises(ImageError, match=r"the pixel size of the image is unknown\. State it with --voxel-size"):
        session("unet-2d", spacing=(), options={"resample": mode})
    assert session("unet-2d", spacing=(), options={"resample": "off"}).resampling is None
    assert session("unet-2d", spacing=(0.0, 2.0)).network_source.shape == (61, 180)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, -2.0), (1.0, float("nan")), (1.0, float("inf"))])
def test_sizes_that_make_no_sense_are_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ImageError, match="needed is a positive number of micrometres for each of y x"):
        session("unet-2d", spacing=spacing)


def test_tiles_that_are_fixed_are_of_the_image_and_change_nothing() -> None:
    running = session("unet-2d")
    plan = running.plan_with_tile((16, 24))
    assert plan.tile == (16, 24)
    assert running.plan_with_tile(running.plan().tile) == running.plan()
    found = np.zeros_like(answer(running))
    for event in running.predict(plan=plan):
        if isinstance(event, TileDone):
            found[(slice(None), *event.region.slices)] = event.probabilities
    np.testing.assert_allclose(found, answer(running), atol=EXACT)


def test_a_resumed_run_skips_predicted_tiles() -> None:
    running = session("unet-2d")
    plan = running.plan_with_tile((16, 24))
    tiles = [event for event in running.predict(plan=plan) if isinstance(event, TileDone)]
    done = {event.region for event in tiles[:7]}
    planned, *rest = running.predict(done=done, plan=plan)
    assert isinstance(planned, RunPlanned)
    assert (planned.tiles, planned.done) == (len(tiles), 7)
    again = [event for event in rest if isinstance(event, TileDone)]
    assert [event.region for event in again] == [event.region for event in tiles[7:]]
    assert [event.done for event in again] == list(range(8, len(tiles) + 1))
    for one, other in zip(again, tiles[7:], strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_an_edit_of_a_resampled_image_predicts_the_tiles_that_read_it_again() -> None:
    running = session("unet-2d", (8,))
    found = answer(running)
    edit = Region((3, 4), (5, 6))
    running.source.array[edit.slices] = 500
    tiles = [event for event in running.predict(edit=edit) if isinstance(event, TileDone)]
    for event in tiles:
        found[(slice(None), *event.region.slices)] = event.probabilities
    assert 0 < len(tiles) < len(running.plan())
    np.testing.assert_allclose(found, answer(running), atol=1e-5)


@pytest.mark.parametrize(
    ("here", "learnt", "is_apart"),
    [
        ((0.5, 0.5), (0.5, 0.59), False),
        ((0.5, 0.5), (0.5, 0.61), True),
        ((0.61, 0.5), (0.5, 0.5), True),
        ((0.0, 0.5), (0.5, 0.5), False),  # an axis of which nobody knows says nothing
        ((), (0.5, 0.5), False),
        ((0.5, 0.5), (), False),
    ],
)
def test_pixel_sizes_differ_from_20_percent_on(
    here: tuple[float, ...], learnt: tuple[float, ...], is_apart: bool
) -> None:
    assert sizes_differ(here, learnt) == is_apart


def sized(name: str, best: float) -> Checkpoint:
    """Return a network that works best on objects of a size."""
    checkpoint = net_contract.checkpoint(SPECS[name])
    return Checkpoint(replace(checkpoint.info, object_size=best), checkpoint.weights)


@pytest.mark.parametrize(("name", "shape", "names"), [("unet-2d", (61, 90), "yx"), ("unet-2d", (2, 40, 60), "tyx")])
def test_objects_get_the_size_at_which_the_model_works_best(name: str, shape: tuple[int, ...], names: str) -> None:
    image = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    options = PredictSettings(device="cpu", object_size=50, tile=(16,))
    running = Session(image, sized(name, 20), Axes(tuple(names), ("y", "x")), options)
    assert running.network_source.shape == (*shape[:-2], *(round(n * 20 / 50) for n in shape[-2:]))
    assert "Objects are 50 px; the model works best at 20 px: the image is resampled by 0.4" in running.notes[-1]
    found = answer(running)
    assert np.abs(found - by_hand(running)).max() <= EXACT


def test_an_object_size_needs_no_pixel_size_and_goes_before_it() -> None:
    image = np.zeros((40, 60), np.float32)
    model = Checkpoint(replace(sized("unet-2d", 20).info, voxel_size=(1.0, 1.0)), sized("unet-2d", 20).weights)
    options = PredictSettings(device="cpu", object_size=10, resample="cubic")
    running = Session(image, model, settings=options, spacing=(3.0, 3.0))
    assert running.network_source.shape == (80, 120)
    assert "(cubic)" in running.notes[-1] + running.notes[-2]


def test_objects_that_have_the_size_are_not_resampled() -> None:
    options = PredictSettings(device="cpu", object_size=20)
    assert Session(np.zeros((40, 60), np.float32), sized("unet-2d", 20), settings=options).resampling is None


def test_a_model_without_an_object_size_is_refused() -> None:
    with pytest.raises(ImageError, match=r"does not state at which size it works best\. Leave out --object-size"):
        Session(
            np.zeros((40, 60), np.float32),
            net_contract.checkpoint(SPECS["unet-2d"]),
            settings=PredictSettings(device="cpu", object_size=42),
        )


def test_the_object_size_is_part_of_the_description_only_if_it_is_known() -> None:
    plain, model = net_contract.checkpoint(SPECS["unet-2d"]), sized("unet-2d", 20)
    assert "object_size" not in plain.info.to_json()
    assert type(model.info).from_json(model.info.to_json()).object_size == 20
    assert model.hash != plain.hash
