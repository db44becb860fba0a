"""What is on screen is predicted ahead, at a bounded price, and nothing of it remains in the result."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from types import SimpleNamespace

import net_contract
import numpy as np
import pytest

from napari_fcn.errors import MemoryShortage
from napari_fcn.events import FallbackTaken, PreviewDone, TileDone
from napari_fcn.geometry import Region, Tile, TilePlan
from napari_fcn.inference import budget, tile_planner
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.previews import MAX_EXTRA_WORK, Preview, PreviewPlanner, largest_preview
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

FLAT = ((1, 2, 2),) * 3  # pooling that leaves planes alone
CASES = {  # network, shape of the image, region on screen
    "picture": (NetSpec(depth=3), (2048, 2048), (slice(0, 2048), slice(0, 2048))),
    "picture, part": (NetSpec(depth=3), (2048, 2048), (slice(700, 1300), slice(0, 900))),
    "slide": (NetSpec(depth=3), (20_000, 30_000), (slice(9000, 10_000), slice(9000, 11_000))),
    "strip": (NetSpec(depth=3), (300, 40_000), (slice(0, 300), slice(5000, 7000))),
    "small halo": (NetSpec(depth=1), (6000, 6000), (slice(0, 6000), slice(0, 6000))),
    "halo of 120": (NetSpec(depth=4), (5000, 5000), (slice(100, 5000), slice(0, 2000))),
    "stack": (NetSpec(depth=3), (40, 3000, 3000), (slice(7, 8), slice(0, 3000), slice(0, 3000))),
    "movie": (
        NetSpec("video", ndim=3, depth=3, pool=FLAT),
        (24, 1022, 364),
        (slice(9, 10), slice(0, 1022), slice(364)),
    ),
    "volume": (NetSpec(ndim=3, depth=3, pool=FLAT), (50, 250, 250), (slice(25, 26), slice(0, 250), slice(0, 250))),
    "volume, border": (NetSpec(ndim=3, depth=3, pool=FLAT), (64, 512, 512), (slice(0, 1), slice(512), slice(512))),
    "volume, 3-D view": (NetSpec(ndim=3, depth=2), (128, 300, 300), (slice(128), slice(300), slice(300))),
    "long trace": (NetSpec(ndim=1, depth=3), (30_000_000,), (slice(1000, 9_000_000),)),
}


def box(slices: tuple[slice, ...]) -> Region:
    return Region(tuple(s.start or 0 for s in slices), tuple(s.stop for s in slices))


def session(spec: NetSpec, shape: tuple[int, ...]) -> Session:
    pixels = np.broadcast_to(np.uint8(3), shape)
    settings = PredictSettings(device="cpu", memory=3.0)
    return Session(pixels, net_contract.checkpoint(spec), settings=settings)


@pytest.mark.parametrize("name", CASES)
def test_the_extra_work_is_bounded_and_the_first_prediction_is_early(name: str) -> None:
    spec, shape, shown = CASES[name]
    running, visible = session(spec, shape), box(shown)
    planner = running._planner
    fastest, live = running.plan(), running.live_plan()
    extra, first = planner.preview_pixels(live, None)
    work, tiles, clock = 0.0, [], [0.0]
    for tile in PreviewPlanner(live, lambda: visible, extra, first, planner.preview_work, clock=lambda: clock[0]):
        pixels = planner.preview_work(tile) if isinstance(tile, Preview) else tile.read.size
        tiles.append((tile, pixels))
        work, clock[0] = work + pixels, clock[0] + pixels / 3e5  # of a slow network
    assert work <= (1 + MAX_EXTRA_WORK) * fastest.read_pixels
    cores = [tile.core for tile, _ in tiles if not isinstance(tile, Preview)]
    assert len(cores) == len(set(cores)) == len(live)
    assert tiles[0][0].core.intersects(visible)
    assert tiles[0][1] <= 2 * tile_planner.LIVE_PIXELS["cpu"]


FLAT_KERNEL = ((1, 3, 3), (3, 3, 3))
NETWORKS = {  # network, shape of the image, pixels of a read that is not long
    "2-D": (NetSpec(width=2, depth=1), (80, 90), 2000),
    "3-D, in planes": (NetSpec(ndim=3, width=2, depth=1, pool=((1, 2, 2),), kernel=FLAT_KERNEL), (12, 40, 39), 4000),
    "3-D, pooled": (NetSpec(ndim=3, width=2, depth=1), (24, 40, 40), 16_000),
    "1-D": (NetSpec(ndim=1, width=2, depth=2), (2000,), 300),
}


def watched_session(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, Region]:
    """Return a session whose only tile is long, and what is on screen: a plane of a volume, else half of the image."""
    spec, shape, short = NETWORKS[name]
    monkeypatch.setitem(tile_planner.LIVE_PIXELS, "cpu", short)
    monkeypatch.setattr(tile_planner, "MAX_EXTRA_WORK", 1.0)  # small images are mostly halo
    pixels = np.random.default_rng(0).normal(100, 20, shape)
    settings = PredictSettings(device="cpu", tile=(2048,))
    middle = shape[0] // 2
    visible = Region((middle, *(0,) * (len(shape) - 1)), (middle + 1 if len(shape) == 3 else shape[0], *shape[1:]))
    return Session(pixels, net_contract.checkpoint(spec), settings=settings), visible


@pytest.mark.parametrize("name", NETWORKS)
def test_previews_equal_the_tiles_that_follow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    running, visible = watched_session(name, monkeypatch)
    result = np.full((running.spec.classes, *running.source.shape), np.nan, np.float32)
    previews = []
    for event in running.predict(visible):
        if isinstance(event, PreviewDone):
            assert np.isnan(result[(slice(None), *event.region.slices)]).any()  # ahead of its tile
            previews.append(event)
        elif isinstance(event, TileDone):
            result[(slice(None), *event.region.slices)] = event.probabilities
    assert previews
    assert 0 < previews[0].work < 1
    for event in previews:
        assert event.region.intersects(visible)
        part = result[(slice(None), *event.region.slices)]
        assert np.abs(part - event.probabilities).max() <= net_contract.EXACT
    assert previews[-1].region.size > 1


@pytest.mark.parametrize(("name", "takes_more"), [("volume, 3-D view", True), ("slide", False), ("stack", False)])
def test_a_run_takes_more_memory_than_the_default_only_where_that_is_much_faster(
    name: str, takes_more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 30 * 2**30
    monkeypatch.setattr(budget.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    spec, shape, _ = CASES[name]
    spec = replace(spec, width=32) if takes_more else spec
    pixels = np.broadcast_to(np.uint8(3), shape)
    running, bounded = (
        Session(pixels, net_contract.checkpoint(spec), settings=PredictSettings(device="cpu", memory=memory))
        for memory in (None, budget.MAX_RUN_BYTES / 2**30)
    )
    plan, default = running.plan(), bounded.plan()
    needed, allowed = running._planner.needed_bytes(plan), running._planner.allowed_bytes(plan)
    assert needed <= allowed
    assert bounded._planner.needed_bytes(default) <= budget.MAX_RUN_BYTES
    assert (allowed > budget.MAX_RUN_BYTES) == takes_more
    assert (plan.read_pixels < 0.9 * default.read_pixels) == takes_more
    assert next(running.predict()).allowed_bytes == allowed  # type: ignore[union-attr]
    assert bounded._planner.allowed_bytes(default) == budget.MAX_RUN_BYTES  # a limit of the user holds


def planner(visible: Callable[[], Region], extra: int = 10**6, first: int = 900) -> PreviewPlanner:
    plan = TilePlan((100, 200), (50, 100), ((8, 8), (8, 8)), (2, 2))
    return PreviewPlanner(plan, visible, extra, first, clock=lambda: 0.0)


def test_another_part_that_comes_on_screen_is_previewed_before_the_next_tile() -> None:
    shown = [Region((0, 0), (20, 20))]
    tiles = iter(planner(lambda: shown[0]))
    assert next(tiles) == Preview(Region((0, 0), (20, 20)), Region((0, 0), (28, 28)), 28 * 28)
    assert next(tiles).core == Region((0, 0), (50, 100))
    shown[0] = Region((70, 170), (80, 180))
    preview = next(tiles)
    assert isinstance(preview, Preview)
    assert preview.core.contains(shown[0])


def test_what_is_predicted_already_is_not_previewed() -> None:
    shown = [Region((0, 0), (20, 20))]
    tiles = iter(planner(lambda: shown[0]))
    next(tiles), next(tiles)
    shown[0] = Region((10, 10), (40, 90))  # of the tile that is done
    assert not isinstance(next(tiles), Preview)


def test_previews_end_with_the_work_that_they_may_take() -> None:
    shown = [Region((0, 0), (20, 20))]
    tiles = iter(planner(lambda: shown[0], extra=1000))
    assert isinstance(next(tiles), Preview)
    rest = []
    for number, tile in enumerate(tiles):
        rest.append(tile)
        shown[0] = Region((60, 20 * number), (80, 20 * number + 20))
    assert not any(isinstance(tile, Preview) for tile in rest)
    assert len(rest) == 4


def test_where_nothing_is_on_screen_there_are_tiles_only() -> None:
    nothing = Region((0, 0), (0, 0))
    assert [type(tile) for tile in planner(lambda: nothing)] == [Tile] * 4


def test_a_preview_is_the_middle_of_what_is_too_much() -> None:
    plan = TilePlan((1000, 1000), (1000, 1000), ((10, 10), (10, 10)), (4, 4))
    preview = largest_preview(plan, Region((100, 200), (900, 1000)), 200**2, lambda tile: tile.read.size)
    assert preview is not None
    assert 150**2 < preview.read.size <= 200**2
    assert np.abs(np.subtract(preview.core.middle, (500, 600))).max() <= 4
    assert all(start % 4 == 0 for start in preview.core.start)


def test_a_preview_is_not_nearly_all_halo() -> None:
    plan = TilePlan((1000, 1000), (1000, 1000), ((100, 100), (100, 100)), (4, 4))
    smallest = largest_preview(plan, Region((100, 200), (900, 1000)), 10, lambda tile: tile.read.size)
    assert min(smallest.core.shape) >= 50
    shown = Region((0, 0), (1000, 1000))
    tiles = PreviewPlanner(plan, lambda: shown, smallest.read.size - 1, 10)
    assert not any(isinstance(tile, Preview) for tile in tiles)


def test_previews_end_where_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    running, visible = watched_session("2-D", monkeypatch)
    calls = []

    def run_out(*args: object) -> object:
        calls.append(args)
        raise MemoryShortage("A tile does not fit.")

    monkeypatch.setattr(Predictor, "preview", run_out)
    events = list(running.predict(visible))
    assert len(calls) == 1
    assert any(isinstance(event, FallbackTaken) for event in events)
    assert not any(isinstance(event, PreviewDone) for event in events)
    assert sum(event.region.size for event in events if isinstance(event, TileDone)) == prod(running.source.shape)


def test_the_work_of_tiles_is_their_share_of_the_pixels_that_all_read(rng: np.random.Generator) -> None:
    spec = NetSpec(width=2, depth=1)
    running = Session(rng.random((41, 60)), net_contract.checkpoint(spec), settings=PredictSettings(tile=(8, 24)))
    plan = running.plan()
    tiles = [event for event in running.predict(Region((0, 0), (9, 9))) if isinstance(event, TileDone)]
    reads = np.cumsum([plan.around(event.region).read.size for event in tiles])
    np.testing.assert_allclose([event.work for event in tiles], reads / plan.read_pixels)
    skipped = {event.region for event in tiles[:5]}
    rest = [event for event in running.predict(done=skipped) if isinstance(event, TileDone)]
    assert len(rest) == len(tiles) - 5
    assert rest[-1].work == pytest.approx(1)
    assert rest[0].work == pytest.approx(plan.around(rest[0].region).read.size / (reads[-1] - reads[4]))
