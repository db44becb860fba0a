"""Tiles that are partly of one constant value are divided."""

import net_contract
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.test_constant_blocks import CountingBackend
from net_contract import SPECS

from napari_fcn.geometry import Axes, TilePlan
from napari_fcn.inference import partly_constant
from napari_fcn.inference.partly_constant import divide
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.source import ImageSource
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.settings import PredictSettings


def islands(shape: tuple[int, ...], boxes: list[tuple[slice, ...]], channels: int = 1) -> np.ndarray:
    """Return an image of noise in some boxes and else of one value."""
    image = np.full((channels, *shape), 7.0, np.float32)
    for box in boxes:
        part = image[(slice(None), *box)]
        part[...] = np.random.default_rng(1).normal(size=part.shape)
    return image if channels > 1 else image[0]


def plan_of(name: str, shape: tuple[int, ...]) -> TilePlan:
    spec = SPECS[name]
    whole = tuple(-(-n // m) * m for n, m in zip(shape, spec.multiple, strict=True))
    return TilePlan(shape, whole, theoretical(spec).halo, spec.multiple)


@pytest.mark.parametrize(
    ("name", "shape", "boxes"),
    [
        ("unet-2d", (900, 1000), [(slice(30, 60), slice(20, 90)), (slice(330, 390), slice(400, 490))]),
        ("transposed", (801, 733), [(slice(200, 201), slice(100, 101))]),
        ("channels-and-classes", (600, 700), [(slice(0, 600), slice(150, 160))]),
        ("reflect-3d", (40, 44, 900), [(slice(10, 20), slice(10, 30), slice(0, 20))]),
    ],
)
def test_divided_tiles_equal_the_whole(
    name: str, shape: tuple[int, ...], boxes: list[tuple[slice, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partly_constant, "MIN_CELL", 16)
    image = islands(shape, boxes, SPECS[name].channels)
    predictor, plan = net_contract.predictor(SPECS[name], image), plan_of(name, shape)
    counting = CountingBackend(predictor)
    (event,) = predictor.with_backend(counting).with_plan(plan).run(plan, 1)
    assert counting.runs > 1
    assert counting.pixels < 0.8 * np.prod(shape)
    expected = predictor.tile(next(iter(plan)))
    assert np.abs(event.probabilities - expected).max() <= net_contract.EXACT
    assert np.ptp(expected) > net_contract.VISIBLE


@settings(max_examples=20)
@given(st.data())
def test_parts_cover_the_core_once_and_read_inside_the_tile(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(100, 300)), data.draw(st.integers(100, 300)))
    plan = TilePlan(shape, (128, 128), ((5, 6), (4, 7)), (4, 4))
    image = np.zeros(shape, np.float32)
    for _ in range(data.draw(st.integers(0, 3))):
        start = [data.draw(st.integers(0, n - 1)) for n in shape]
        image[tuple(slice(a, a + data.draw(st.integers(1, 60))) for a in start)] = data.draw(st.integers(1, 2))
    tile = data.draw(st.sampled_from(list(plan)))
    block = image[tile.read.slices][None, None]
    parts = divide(tile, block, plan, (0, 1))
    if parts:
        covered = np.zeros(shape, int)
        for part in parts:
            covered[part.core.slices] += 1
            assert tile.read.contains(part.read)
        assert (covered[tile.core.slices] == 1).all()
        assert covered.sum() == tile.core.size


@pytest.mark.parametrize("value", ["noise", "constant rows"])
def test_tiles_without_constant_parts_are_not_divided(value: str) -> None:
    plan = TilePlan((512, 512), (512, 512), ((20, 20), (20, 20)), (8, 8))
    image = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    if value == "constant rows":
        image[:] = image[:, :1]
    tile = next(iter(plan))
    assert divide(tile, image[None, None], plan, (0, 1)) == []


def test_planes_of_a_stack_are_divided_one_by_one() -> None:
    spec, shape = SPECS["unet-2d"], (3, 900, 900)
    image = islands(shape, [(slice(1, 2), slice(0, 40), slice(0, 40))])
    plane = net_contract.predictor(spec, image[1])
    source = ImageSource.open(image, Axes(("t", "p", "q"), ("p", "q")), 1, PredictSettings())
    counting = CountingBackend(plane)
    predictor = Predictor(counting, source, plane.scaling)
    plan = TilePlan(shape, (1, 900, 900), ((0, 0), *theoretical(spec).halo), (1, *spec.multiple))
    events = list(predictor.with_plan(plan).run(plan, 3))
    assert counting.runs > 3
    for event, tile in zip(events, plan, strict=True):
        assert np.abs(event.probabilities - predictor.tile(tile)).max() <= net_contract.EXACT
