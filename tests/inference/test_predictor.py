"""A network on an image, tile by tile."""

from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from net_contract import SPECS

from napari_fcn.cancellation import Cancelled, cancellation_scope
from napari_fcn.errors import DeviceError
from napari_fcn.events import TileDone
from napari_fcn.geometry import Axes, Region, Tile, TilePlan
from napari_fcn.inference.backends import TorchBackend, memory_errors
from napari_fcn.inference.predictor import Predictor
from napari_fcn.inference.source import ImageSource
from napari_fcn.models.normalise import Scaling
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SPEC = SPECS["channels-and-classes"]
CPU_IS_FULL = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: not enough memory: you tried to allocate"
)


@pytest.fixture
def predictor() -> Predictor:
    return net_contract.predictor(SPEC, net_contract.random_image(SPEC, (30, 26)))


@pytest.fixture
def plan() -> TilePlan:
    return TilePlan((30, 26), (8, 16), theoretical(SPEC).halo, SPEC.multiple)


def test_run_yields_the_tiles_in_the_given_order(predictor: Predictor, plan: TilePlan) -> None:
    tiles = list(plan)[::-1]
    events = list(predictor.run(tiles, 99))
    assert [event.region for event in events] == [tile.core for tile in tiles]
    assert [(event.done, event.total) for event in events] == [(i + 1, 99) for i in range(len(tiles))]
    for event, tile in zip(events, tiles, strict=True):
        np.testing.assert_array_equal(event.probabilities, predictor.tile(tile))


def test_a_tile_is_cancelled_between_two_layers(predictor: Predictor, plan: TilePlan) -> None:
    calls: list[int] = []

    def is_cancelled() -> bool:
        calls.append(1)
        return len(calls) == 3

    with cancellation_scope(is_cancelled), pytest.raises(Cancelled):
        predictor.tile(plan.at((0, 0)))
    assert len(calls) == 3
    assert predictor.tile(plan.at((0, 0))).shape == (5, 8, 16)


def test_probabilities_are_float32_and_sum_to_one(predictor: Predictor, plan: TilePlan) -> None:
    for event in predictor.run(plan, len(plan)):
        assert event.probabilities.dtype == np.float32
        assert event.probabilities.shape == (5, *event.region.shape)
        assert event.probabilities.flags.c_contiguous
        np.testing.assert_allclose(event.probabilities.sum(0), 1, atol=1e-6)


def test_a_tile_of_several_planes_is_predicted_plane_by_plane() -> None:
    spec = NetSpec(width=2, depth=1)
    image = np.random.default_rng(0).normal(size=(3, 12, 4, 10)).astype(np.float32)
    source = ImageSource.open(image, Axes(("t", "x", "z", "y"), ("y", "x")), 1, PredictSettings())
    backend = TorchBackend(net_contract.trained(spec), torch.device("cpu"), torch.float32)  # type: ignore[arg-type]
    predictor = Predictor(backend, source, Scaling((0.0,), (1.0,), 4.0))
    whole = Region.whole(image.shape)
    together = predictor.tile(Tile(whole, whole))
    for t, z in np.ndindex(3, 4):
        plane = Region((t, 0, z, 0), (t + 1, 12, z + 1, 10))
        np.testing.assert_allclose(
            together[(slice(None), *plane.slices)], predictor.tile(Tile(plane, plane)), atol=1e-6
        )


def test_the_network_that_was_given_is_left_as_it_was() -> None:
    net = net_contract.trained(SPEC).double().train()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    TorchBackend(net, torch.device("cpu"), torch.bfloat16)  # type: ignore[arg-type]
    assert net.training
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


@pytest.mark.parametrize("name", ["unet-1d", "unet-2d", "unet-3d", "reflect", "replicate-3d", "transposed"])
def test_bfloat16_is_near_float32(name: str) -> None:
    spec = SPECS[name]
    exact = net_contract.predictor(spec, net_contract.random_image(spec, (16,) * spec.ndim))
    backend = TorchBackend(net_contract.trained(spec), torch.device("cpu"), torch.bfloat16)  # type: ignore[arg-type]
    rough = Predictor(backend, exact.source, exact.scaling)
    error = np.abs(net_contract.whole(rough) - net_contract.whole(exact))
    assert 0 < error.max() < 0.1
    assert error.mean() < 0.01


@pytest.mark.parametrize(
    "error", [RuntimeError(CPU_IS_FULL), torch.OutOfMemoryError("CUDA out of memory"), MemoryError()]
)
def test_running_out_of_memory_raises_an_error_with_advice(
    predictor: Predictor, plan: TilePlan, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(x: torch.Tensor) -> torch.Tensor:
        raise error

    monkeypatch.setattr(predictor.backend, "net", full)
    with pytest.raises(
        DeviceError, match=r"A tile of 18 x 26 px does not fit in the free memory of cpu\. Set a smaller tile"
    ):
        list(predictor.run([plan.at((0, 0))], 1))


def test_running_out_of_memory_while_reading_raises_an_error_with_advice(
    predictor: Predictor, plan: TilePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Huge:
        shape, dtype = (3, 30, 26), np.dtype(np.float32)

        def __getitem__(self, index: Any) -> Any:
            raise MemoryError

    source = ImageSource(Huge(), predictor.source.axes, (0, 1, 2))
    monkeypatch.setattr(predictor, "source", source)
    with pytest.raises(DeviceError, match="does not fit"):
        list(predictor.run(plan, len(plan)))


def test_other_errors_of_the_network_pass_through(
    predictor: Predictor, plan: TilePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(predictor.backend, "net", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        list(predictor.run(plan, len(plan)))


def test_an_unsupported_convolution_is_not_a_lack_of_memory() -> None:
    error = RuntimeError("could not create a primitive descriptor for the convolution forward propagation primitive")
    with pytest.raises(RuntimeError, match="descriptor"), memory_errors((8, 8), torch.device("cpu")):
        raise error


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize("shape", [(90, 75), (3, 60, 50)])
def test_the_distance_is_predicted_with_the_probabilities_and_equals_that_of_the_whole(
    backend: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    model = net_contract.checkpoint(NetSpec(width=4, depth=2, classes=3, distance=True))
    image = rng.normal(100, 20, shape)

    def joined(tile: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        running = Session(image, model, settings=PredictSettings(device="cpu", backend=backend, tile=tile))
        probabilities, distance = np.zeros((3, *shape), np.float32), np.full(shape, np.nan, np.float32)
        for event in running.predict():
            if isinstance(event, TileDone):
                probabilities[(slice(None), *event.region.slices)] = event.probabilities
                assert event.distance is not None
                distance[event.region.slices] = event.distance
        return probabilities, distance

    (probabilities, distance), (in_tiles, distance_in_tiles) = joined((128,)), joined((24,))
    np.testing.assert_allclose(in_tiles, probabilities, atol=net_contract.EXACT)
    np.testing.assert_allclose(distance_in_tiles, distance, atol=net_contract.EXACT)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    session = Session(image, model, settings=PredictSettings(device="cpu"))
    x = torch.from_numpy(session.axes.to_net(session.scaling.apply(image[None])).astype(np.float32))
    net = model.net().eval()
    with torch.no_grad():
        features = net.levels(torch.nn.functional.pad(x, (0, -shape[-1] % 4, 0, -shape[-2] % 4), mode="replicate"))[-1]
        expected = net.distance(features.features)[:, 0, : shape[-2], : shape[-1]].clamp(0, 1).numpy()
    np.testing.assert_allclose(distance, expected.reshape(shape), atol=net_contract.EXACT)


def test_networks_without_a_distance_predict_none(rng: np.random.Generator) -> None:
    events = Session(rng.normal(size=(20, 20)), net_contract.checkpoint(NetSpec(width=2, depth=1))).predict()
    assert [event.distance for event in events if isinstance(event, TileDone)] == [None]
