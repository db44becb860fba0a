"""A network on an image: events, notes and errors of a session."""

import threading
from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS, one_thread  # noqa: F401

from napari_fcn.errors import DeviceError, FcnError, ImageError, ModelError
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Axes, Region
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SPEC = NetSpec(width=2, depth=1)


def session(image: Any, spec: NetSpec = SPEC, axes: Axes | None = None, rgb: bool = False, **settings: Any) -> Session:
    return Session(image, net_contract.checkpoint(spec), axes, PredictSettings(**{"device": "cpu", **settings}), rgb)


def planned(image: Any, spec: NetSpec = SPEC, **settings: Any) -> RunPlanned:
    event = next(session(image, spec, **settings).predict())
    assert isinstance(event, RunPlanned)
    return event


def answer(running: Session, first: Region | None = None) -> np.ndarray:
    """Return the joined probabilities."""
    out = np.full((running.spec.classes, *running.source.shape), np.nan, np.float32)
    for event in running.predict(first):
        if isinstance(event, TileDone):
            out[(slice(None), *event.region.slices)] = event.probabilities
    return out


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(100, 20, (41, 38))


def test_a_run_is_a_plan_its_tiles_and_an_end(image: np.ndarray) -> None:
    first, *tiles, last = session(image, tile=(16,)).predict()
    assert isinstance(first, RunPlanned)
    assert isinstance(last, RunDone)
    assert all(isinstance(event, TileDone) for event in tiles)
    assert first.tiles == len(tiles) == 9
    assert first.tile == (16, 16)
    assert first.halo == theoretical(SPEC).halo
    assert (first.device, first.precision) == (last.device, last.precision) == ("cpu", "float32")
    assert [(event.done, event.total) for event in tiles] == [(i + 1, 9) for i in range(9)]  # type: ignore[union-attr]
    assert last.pixels == image.size
    assert last.seconds > 0


def test_the_plan_comes_before_the_network_runs(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    running = session(image)
    monkeypatch.setattr(Session, "predictor", property(lambda self: pytest.fail("the network was built")))
    assert isinstance(next(running.predict()), RunPlanned)


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "unet-3d", "channels-and-classes"])
def test_probabilities_cover_the_image_and_sum_to_one(name: str, rng: np.random.Generator) -> None:
    spec = SPECS[name]
    shape = (30, 20, 10)[: spec.ndim]
    block = rng.normal(size=(spec.channels, *shape))
    axes = Axes(("c", *"zyx"[-spec.ndim :]), tuple("zyx"[-spec.ndim :]), "c")
    found = answer(session(block, spec, axes, tile=(12,)))
    assert found.shape == (spec.classes, *shape)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_two_runs_give_the_same_prediction(image: np.ndarray) -> None:
    np.testing.assert_array_equal(answer(session(image)), answer(session(image)))


def test_the_prediction_depends_neither_on_the_tile_nor_on_the_order(image: np.ndarray) -> None:
    whole = answer(session(image))
    for tile, first in [((8,), None), ((16, 10), None), ((8,), Region((20, 20), (30, 30)))]:
        assert np.abs(answer(session(image, tile=tile), first) - whole).max() <= net_contract.EXACT


def test_the_tiles_on_screen_come_first(image: np.ndarray) -> None:
    running = session(image, tile=(8,))
    shown = Region((17, 9), (30, 22))
    expected = {tile.core for tile in running.plan().touching(shown)}
    regions = [event.region for event in running.predict(shown) if isinstance(event, TileDone)]
    assert set(regions[: len(expected)]) == expected
    assert len(regions) == len(set(regions)) == len(running.plan())


def test_tiles_follow_the_visible_region_during_a_run(image: np.ndarray) -> None:
    running = session(image, tile=(16,))
    first, last = Region((0, 0), (9, 9)), Region(tuple(n - 9 for n in image.shape), image.shape)
    seen: list[Region] = []
    for event in running.predict(lambda: last if len(seen) > 2 else first):
        if isinstance(event, TileDone):
            seen.append(event.region)
    assert seen[0].intersects(first)
    assert len(set(seen)) == len(seen) == len(running.plan())
    assert any(region.intersects(last) for region in seen[3:8])  # some were read ahead before the eye moved


def test_the_plane_on_screen_comes_first(rng: np.random.Generator) -> None:
    running = session(rng.random((5, 20, 20)), tile=(10,))
    shown = Region((3, 0, 0), (4, 20, 20))
    planes = [event.region.start[0] for event in running.predict(shown) if isinstance(event, TileDone)]
    assert planes[:4] == [3] * 4
    assert set(planes[4:12]) == {2, 4}


def test_tiles_of_a_watched_run_are_smaller_where_that_is_hardly_slower() -> None:
    running = session(np.broadcast_to(np.uint8(3), (9000, 9000)))
    watched, alone = running.live_plan(), running.plan()
    assert len(watched) > len(alone)
    assert watched.read_pixels <= 1.1 * alone.read_pixels


def test_an_image_that_fits_is_one_tile(image: np.ndarray) -> None:
    assert planned(image).tiles == 1


@pytest.mark.parametrize("memory", [0.1, 0.5])
def test_a_run_is_planned_within_the_memory_allowed(memory: float) -> None:
    found = planned(np.broadcast_to(np.uint8(3), (30_000, 30_000)), memory=memory)
    assert found.tiles > 1
    assert 0.3 * memory * 2**30 < found.peak_bytes <= memory * 2**30


def test_a_run_that_is_cancelled_leaves_no_thread(image: np.ndarray) -> None:
    before = threading.active_count()
    running = session(image, tile=(8,)).predict()
    next(running)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_session_can_run_again(image: np.ndarray) -> None:
    running = session(image)
    np.testing.assert_array_equal(answer(running), answer(running))


def test_the_statistics_are_read_once(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    running = session(image)
    looks: list[int] = []
    sample = type(running.source).sample
    monkeypatch.setattr(type(running.source), "sample", lambda self: looks.append(1) or sample(self))
    list(running.predict())
    list(running.predict())
    assert len(looks) == 1


@pytest.mark.parametrize(("value", "count"), [(np.nan, 3), (np.inf, 3), (-np.inf, 1)])
def test_pixels_that_are_not_finite_are_noted_and_predicted(image: np.ndarray, value: float, count: int) -> None:
    image[5, 5 : 5 + count] = value
    assert any(note.startswith(f"{count} of {image.size} sampled pixels") for note in planned(image).notes)
    assert np.isfinite(answer(session(image))).all()


@pytest.mark.parametrize("value", [np.float32(7.5), np.uint8(7), np.int16(-7), np.True_, np.float64(0)])
def test_a_constant_image_is_noted_and_predicted(value: np.generic) -> None:
    image = np.full((12, 12), value)
    assert [note for note in planned(image).notes if "constant" in note]
    assert np.isfinite(answer(session(image))).all()


def test_an_image_of_nan_alone_is_noted_and_predicted() -> None:
    image = np.full((12, 12), np.nan)
    assert any("no finite number" in note for note in planned(image).notes)
    assert np.isfinite(answer(session(image))).all()


def test_an_ordinary_image_has_no_notes(image: np.ndarray) -> None:
    assert planned(image).notes == ()


def test_automatic_choices_are_noted(rng: np.random.Generator) -> None:
    assert any("luminance" in note for note in planned_rgb(rng.random((8, 8, 3))).notes)


def planned_rgb(image: np.ndarray) -> RunPlanned:
    event = next(session(image, rgb=True).predict())
    assert isinstance(event, RunPlanned)
    return event


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "float16", "float64", ">u2"])
def test_every_real_type_is_predicted(image: np.ndarray, dtype: str) -> None:
    found = answer(session((image > 100) if dtype == "bool" else image.astype(dtype)))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 30), (30, 1), (1, 1, 1), (3, 1, 9)])
def test_axes_of_one_pixel_are_predicted(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    spec = NetSpec(ndim=len(shape), width=2, depth=2)
    assert answer(session(rng.random(shape), spec)).shape == (2, *shape)


@pytest.mark.parametrize(
    ("image", "spec", "message"),
    [
        (np.zeros((0, 5)), SPEC, "The image is empty"),
        (np.zeros((5, 5)), SPECS["unet-3d"], "3-D model needs 3 axes in space; the image has 2"),
        (np.zeros((5, 5)), SPECS["channels-and-classes"], "reads 3 channels; the image has 1"),
        (np.zeros((2, 4, 3, 5, 5)), SPECS["channels-and-classes"], "reads 3 channels; the image has 4"),
        (np.zeros((5, 5), complex), SPEC, "complex numbers"),
        (np.zeros((5, 5), object), SPEC, "real numbers"),
        (np.zeros(()), SPEC, "name them"),
        ([[1, 2], [3, 4]], SPEC, "Expected an array with shape and dtype, got list"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: Any, spec: NetSpec, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        session(image, spec)


def test_axes_of_another_dimension_than_the_model_are_refused() -> None:
    with pytest.raises(ImageError, match="The model is 2-D; the axes in space are z y x"):
        session(np.zeros((4, 5, 6)), axes=Axes(("z", "y", "x"), ("z", "y", "x")))


def test_a_tile_with_a_wrong_number_of_lengths_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ModelError, match=r"has 3 lengths; give one, or 2 \(y x\)"):
        planned(image, tile=(8, 8, 8))


@pytest.mark.parametrize(("tile", "rounded"), [((9,), (10, 10)), ((1, 16), (2, 16)), ((999,), (1000, 1000))])
def test_a_tile_is_rounded_up_to_the_pooling_grid(
    image: np.ndarray, tile: tuple[int, ...], rounded: tuple[int, int]
) -> None:
    assert planned(image, tile=tile).tile == rounded


def test_a_precision_that_the_device_lacks_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DeviceError, match="float16 is slow and inexact on a CPU"):
        session(image, precision="float16")


def test_errors_that_users_can_fix_have_one_base_class() -> None:
    assert all(issubclass(error, FcnError) for error in (ImageError, ModelError, DeviceError))


def test_tiles_keep_to_the_memory_limit_and_say_so_where_they_cannot() -> None:
    checkpoint = net_contract.checkpoint(NetSpec(width=8, depth=2))
    image = np.broadcast_to(np.uint8(3), (4000, 4000))
    limit = 0.1  # GiB
    for tile, fits in (((), True), ((1504,), False)):
        settings = PredictSettings(memory=limit, tile=tile, device="cpu")
        events = Session(image, checkpoint, settings=settings).predict()
        planned = next(events)
        events.close()
        assert (planned.peak_bytes <= limit * 2**30) is fits
        assert any("may need" in note for note in planned.notes) is not fits


def test_a_large_image_is_cut_where_mapping_memory_costs_more_than_halos() -> None:
    checkpoint = net_contract.checkpoint(NetSpec(width=8, depth=2))
    plans = [
        Session(np.zeros((n, n), np.uint8), checkpoint, settings=PredictSettings(memory=64, device="cpu")).plan()
        for n in (256, 4096)
    ]
    assert len(plans[0]) == 1
    assert len(plans[1]) > 1
    assert plans[1].read_pixels < 1.3 * 4096**2


def test_a_run_leaves_no_memory_on_a_gpu(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU is played by torch's device without memory."""
    running = session(image)
    released: list[str] = []
    answer(running)
    kept = running.predictor
    monkeypatch.setattr("napari_fcn.session.devices.release", lambda device: released.append(device.type))
    running._free_memory()
    assert running.predictor is kept
    running.device = torch.device("meta")
    running._free_memory()
    assert "predictor" not in running.__dict__
    assert released[-1] == "meta"


@pytest.mark.parametrize(
    ("name", "shape", "edit"),
    [
        ("unet-2d", (70, 90), Region((30, 40), (33, 47))),
        ("unet-2d", (3, 60, 70), Region((1, 0, 66), (2, 5, 70))),
        ("unet-3d", (20, 30, 30), Region((9, 13, 2), (10, 15, 4))),
        ("video-3d", (2, 12, 24, 24), Region((1, 0, 3, 3), (2, 1, 4, 4))),
    ],
)
def test_after_an_edit_only_pixels_that_depend_on_it_are_predicted_again(
    name: str, shape: tuple[int, ...], edit: Region, rng: np.random.Generator
) -> None:
    image = rng.normal(size=shape).astype(np.float32)
    running = session(image, SPECS[name], tile=(16,))
    found = answer(running)
    image[edit.slices] = 3.0
    again = np.zeros(shape, int)
    events = list(running.predict(edit=edit))
    for event in events:
        if isinstance(event, TileDone):
            again[event.region.slices] += 1
            found[(slice(None), *event.region.slices)] = event.probabilities
    np.testing.assert_allclose(found, answer(running), atol=1e-5)
    reach = running.reach_of(edit).region
    expected = np.zeros(shape, int)
    expected[reach.slices] = 1
    np.testing.assert_array_equal(again, expected)
    assert again.sum() < again.size
    first, last = events[0], events[-1]
    assert isinstance(first, RunPlanned)
    assert isinstance(last, RunDone)
    assert first.tiles == len(events) - 2
    assert last.pixels == again.sum()


def test_an_edit_outside_of_the_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match="edit is outside"):
        list(session(image).predict(edit=Region((50, 0), (60, 5))))


def test_the_plan_states_the_memory_that_a_run_needs_and_may_take(image: np.ndarray) -> None:
    event = planned(image, memory=0.5)
    assert event.allowed_bytes == 2**29
    assert 0 < event.peak_bytes < event.allowed_bytes


def test_an_image_of_too_many_tiles_is_refused() -> None:
    image = np.broadcast_to(np.uint8(3), (10**9, 300, 300))
    with pytest.raises(ImageError, match="would be cut into 1,000,000,000 tiles"):
        session(image, axes=Axes(("z", "y", "x"), ("y", "x")), memory=1.0).plan()


STACK = Axes(("t", "z", "y", "x"), ("y", "x"))


@pytest.mark.parametrize(
    ("side", "roi", "tile"),
    [(100, "", (1, 6, 112, 112)), (60, "", (1, 7, 64, 64)), (60, "0:2,1:4,0:60,0:60", (1, 3, 64, 64)), (200, "", None)],
)
def test_small_planes_of_a_stack_are_predicted_together(
    side: int, roi: str, tile: tuple[int, ...] | None, rng: np.random.Generator
) -> None:
    running = session(rng.normal(100, 20, (2, 7, side, side)), axes=STACK, roi=roi)
    assert running.plan().tile[1] == (1 if tile is None else tile[1])
    assert all(n >= side for n in running.plan().tile[2:])
    alone = session(running.source.array, axes=STACK, tile=(32,))
    assert alone.plan().tile == (1, 1, 32, 32)
    np.testing.assert_allclose(
        np.nan_to_num(answer(running)), np.where(np.isnan(answer(running)), 0, answer(alone)), atol=1e-5
    )


def test_a_stack_is_read_in_as_few_parts_as_small_planes_allow(rng: np.random.Generator) -> None:
    planes = rng.normal(100, 20, (40, 64, 64))
    plan = session(planes, axes=Axes(("z", "y", "x"), ("y", "x"))).plan()
    assert plan.tile[0] * np.prod(plan.largest_read[1:]) <= 2**16 < (plan.tile[0] + 1) * np.prod(plan.largest_read[1:])
    assert len(plan) == -(-40 // plan.tile[0])
