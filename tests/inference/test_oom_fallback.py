"""If memory runs out, a run continues with less memory and the same prediction."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from net_contract import EXACT, SPECS

from napari_fcn.errors import DeviceError, MemoryShortage
from napari_fcn.events import FallbackTaken, RunDone, TileDone
from napari_fcn.geometry import Region, TilePlan
from napari_fcn.inference import oom_fallback
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.inference.oom_fallback import ExecutionConfig, OomFallback, parts
from napari_fcn.inference.predictor import Predictor
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SPEC = SPECS["unet-2d"]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GiB)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("could not create a primitive"),  # oneDNN, where the system refuses memory
    MemoryError(),
]
Refuses = Callable[[TorchBackend, tuple[int, ...]], bool]


@pytest.fixture(autouse=True)
def plane_by_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict each plane by itself, as large ones are."""
    monkeypatch.setattr("napari_fcn.inference.tile_planner.PLANES_PIXELS", 0)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(100, 20, (2, 150, 141))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets the network run out of memory on the blocks that a function refuses."""
    place = TorchBackend.__init__

    def arrange(refuses: Refuses, error: Exception = SHORTAGES[0]) -> None:
        def init(self: TorchBackend, *arguments: Any, **options: Any) -> None:
            place(self, *arguments, **options)
            net = self.net

            def run(x: torch.Tensor) -> torch.Tensor:
                if refuses(self, tuple(x.shape[2:])):
                    raise error
                return net(x)

            self.net = run  # type: ignore[assignment]

        monkeypatch.setattr(TorchBackend, "__init__", init)

    return arrange


def run(image: np.ndarray, **settings: Any) -> tuple[np.ndarray, list[Any]]:
    """Return the joined probabilities, and all events but the tiles."""
    session = Session(image, net_contract.checkpoint(SPEC), settings=PredictSettings(device="cpu", **settings))
    out = np.full((SPEC.classes, *image.shape), np.nan, np.float32)
    others = []
    for event in session.predict():
        if isinstance(event, TileDone):
            assert np.isnan(out[(slice(None), *event.region.slices)]).all()
            out[(slice(None), *event.region.slices)] = event.probabilities
        else:
            others.append(event)
    return out, others


def steps(events: list[Any]) -> list[FallbackTaken]:
    return [event for event in events if isinstance(event, FallbackTaken)]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_smaller_tiles_give_the_same_prediction(image: np.ndarray, short: Any, error: Exception) -> None:
    expected, _ = run(image)
    short(lambda backend, shape: prod(shape) > 120 * 120, error)
    found, events = run(image)
    assert np.abs(found - expected).max() <= EXACT
    (step,) = steps(events)
    assert step.tile == (1, 76, 72)
    assert "does not fit in the free memory of cpu." in step.line
    assert "Continuing with tiles of 1 x 76 x 72 px." in step.line
    assert step.total == 2 * 4


def test_tiles_that_are_done_are_kept(image: np.ndarray, short: Any) -> None:
    seen: list[tuple[int, ...]] = []

    def later(backend: TorchBackend, shape: tuple[int, ...]) -> bool:
        seen.append(shape)
        return len(seen) > 1 and prod(shape) > 120 * 120

    expected, _ = run(image)
    short(later)
    found, events = run(image)
    assert np.abs(found - expected).max() <= EXACT
    assert steps(events)[0].total == 1 + 4


def test_tiles_are_counted_on_across_a_step(image: np.ndarray, short: Any) -> None:
    short(lambda backend, shape: prod(shape) > 120 * 120)
    session = Session(image, net_contract.checkpoint(SPEC), settings=PredictSettings(device="cpu"))
    tiles = [event for event in session.predict() if isinstance(event, TileDone)]
    assert [(event.done, event.total) for event in tiles] == [(i + 1, 8) for i in range(8)]


def test_reading_ahead_ends_where_tiles_cannot_shrink(
    image: np.ndarray, short: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    aheads: list[int] = []
    through = Predictor.run

    def watched(self: Predictor, tiles: Any, total: int, ahead: int) -> Iterator[TileDone]:
        aheads.append(ahead)
        return through(self, tiles, total, ahead)

    expected, _ = run(image)
    monkeypatch.setattr(Predictor, "run", watched)
    short(lambda backend, shape: aheads[-1] > 0)
    found, events = run(image)
    assert np.abs(found - expected).max() <= EXACT
    assert "Continuing with no prefetched tiles." in steps(events)[-1].line


def test_half_precision_is_tried_where_the_user_allows_it(image: np.ndarray, short: Any) -> None:
    expected, _ = run(image)
    short(lambda backend, shape: backend.dtype is torch.float32)
    found, events = run(image, fallback="half")
    assert 0 < np.abs(found - expected).max() < 0.1
    assert "Continuing with half precision." in steps(events)[-1].line
    assert isinstance(events[-1], RunDone)
    assert events[-1].precision == steps(events)[-1].precision == "bfloat16"


def test_numbers_stay_as_they_are_where_the_user_does_not_say_otherwise(image: np.ndarray, short: Any) -> None:
    short(lambda backend, shape: backend.dtype is torch.float32)
    with pytest.raises(MemoryShortage, match=r"does not fit in the free memory of cpu\. Set a smaller tile"):
        run(image)


def test_no_fallback_is_tried_if_it_is_off(image: np.ndarray, short: Any) -> None:
    short(lambda backend, shape: prod(shape) > 120 * 120)
    with pytest.raises(DeviceError, match="does not fit"):
        run(image, fallback="off")


def test_the_last_resort_of_a_gpu_is_the_cpu(image: np.ndarray) -> None:
    """The GPU is played by a predictor that has no memory at all."""
    predictor = net_contract.predictor(SPEC, net_contract.random_image(SPEC, (90, 80)))
    plan = TilePlan((90, 80), (48, 40), theoretical(SPEC).halo, SPEC.multiple)
    expected = net_contract.whole(predictor)

    class Full(Predictor):
        def __init__(self) -> None:
            self.backend = predictor.backend

        def run(self, *arguments: Any) -> Iterator[TileDone]:
            raise MemoryShortage("A tile does not fit.", "")
            yield

    def make(config: ExecutionConfig) -> Predictor:
        return predictor if config.device == CPU else Full()

    start = ExecutionConfig(CUDA, torch.bfloat16, plan.tile)
    out = np.full_like(expected, np.nan)
    lines = []
    for event in OomFallback(plan).run(plan, start, make):
        if isinstance(event, FallbackTaken):
            lines.append(event.line)
        else:
            out[(slice(None), *event.region.slices)] = event.probabilities
    assert np.abs(out - expected).max() <= EXACT
    assert lines[-1] == "A tile does not fit. Continuing with the CPU, in float32."


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oom_fallback.devices, "label", str)
    monkeypatch.setattr(oom_fallback.devices, "release", lambda device: None)


def test_the_fallbacks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    plan = TilePlan((5, 3000, 2000), (1, 1024, 1024), ((0, 0), (22, 22), (22, 22)), (1, 4, 4))
    config, taken = ExecutionConfig(CUDA, torch.float32, plan.tile), []
    while step := OomFallback(plan, "half").next(config):
        taken.append(step[0])
        config = step[1]
    assert taken.index("no prefetched tiles") < taken.index("half precision") < taken.index("the CPU, in float32")
    assert config.device == CPU
    assert len(taken) < 20


@given(st.data())
def test_parts_are_a_partition_on_the_grid(data: st.DataObject) -> None:
    start = data.draw(st.tuples(*[st.integers(0, 9)] * 2))
    core = Region(
        start, tuple(a + n for a, n in zip(start, data.draw(st.tuples(*[st.integers(1, 30)] * 2)), strict=True))
    )
    tile = data.draw(st.tuples(*[st.integers(1, 12)] * 2))
    counts = np.zeros((40, 40), int)
    for part in parts(core, tile):
        counts[part.slices] += 1
        assert all((a - b) % t == 0 for a, b, t in zip(part.start, core.start, tile, strict=True))
    assert counts[core.slices].min() == counts.max() == 1
    assert counts.sum() == core.size


LIMITED = """
import resource, sys
import numpy as np, psutil, torch
torch.set_num_threads(1)
import net_contract
from napari_fcn.events import RunPlanned, FallbackTaken, TileDone
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

image = np.random.default_rng(0).integers(0, 255, (1600, 1600), np.uint8)
checkpoint = net_contract.checkpoint(NetSpec(width=16, depth=2))
session = Session(image, checkpoint, settings=PredictSettings(device="cpu", tile=(1600,), backend="torch"))
small = Session(image[:64, :64], checkpoint, settings=PredictSettings(device="cpu"))
list(small.predict())
session.predictor
taken = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (taken + 500 * 2**20, resource.RLIM_INFINITY))
lines, pixels = [], 0
for event in session.predict():
    if isinstance(event, FallbackTaken):
        lines.append(event.line)
    elif isinstance(event, TileDone):
        pixels += event.region.size
print(pixels == image.size, lines)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited as Linux does it")
def test_a_run_completes_if_the_system_refuses_memory() -> None:
    """The network needs 700 MiB for the image in one piece; the system gives 500."""
    path = [str(folder) for folder in sys.path if folder]
    script = f"import sys; sys.path[:0] = {path!r}\n{LIMITED}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(
        "True ['A tile of 1600 x 1600 px does not fit in the free memory of cpu. Continuing with"
    )
