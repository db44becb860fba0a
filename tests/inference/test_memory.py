"""Memory of a run is estimated before it starts, and tiles fit in it."""

import subprocess
import sys
from math import prod
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from net_contract import SPECS

from napari_fcn.geometry import Axes, TilePlan
from napari_fcn.inference import memory, openvino_backend
from napari_fcn.inference.budget import MAX_RUN_BYTES
from napari_fcn.inference.constant_blocks import MAX_CONSTANT_BLOCKS
from napari_fcn.inference.memory import (
    TensorMemoryTracker,
    budget,
    bytes_per_pixel,
    largest_tile,
    net_bytes,
    process_peak,
    run_bytes,
    statistics_bytes,
)
from napari_fcn.inference.source import SAMPLE_PIXELS, ImageSource
from napari_fcn.nets import NetSpec

CPU = torch.device("cpu")
every_net = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def test_the_tracker_counts_live_tensors() -> None:
    with TensorMemoryTracker() as ledger:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b * 2
        c.relu_()
        view = c[10:]
        del b, c, view
    assert ledger.peak == 2 * 4000
    assert ledger.current == 0


@pytest.mark.parametrize(
    ("spec", "floats"),
    [
        # input, and the first and the second convolution of the block
        (NetSpec(depth=0, width=8, kernel=1, norm="none"), 1 + 8 + 8),
        (NetSpec(ndim=3, depth=0, width=4, norm="none"), 1 + 4 + 4),
        # input, skip, and what the decoder joins: skip and upsampled (8 + 8), then its first convolution
        (NetSpec(ndim=1, depth=1, width=8, up="transposed"), 1 + 8 + 16 + 8),
    ],
)
def test_activations_are_counted_as_by_hand(spec: NetSpec, floats: int) -> None:
    assert bytes_per_pixel(spec) == pytest.approx(4 * floats, rel=0.3)


@every_net
def test_wider_nets_need_more(spec: NetSpec) -> None:
    from dataclasses import replace

    assert bytes_per_pixel(replace(spec, width=4 * spec.width)) > 1.5 * bytes_per_pixel(spec)


def whole(*shape: int) -> TilePlan:
    return TilePlan(shape, shape, ((0, 0),) * len(shape), (1,) * len(shape))


def test_a_run_needs_more_for_more_pixels_channels_and_digits() -> None:
    spec = NetSpec(width=4, depth=1)
    plain = net_bytes(spec, (100, 100), torch.float32)
    assert net_bytes(spec, (200, 100), torch.float32) == pytest.approx(2 * plain, rel=1e-6)
    assert net_bytes(spec, (100, 100), torch.bfloat16) == pytest.approx(plain / 2, rel=1e-6)
    assert net_bytes(NetSpec(channels=8, width=4, depth=1), (100, 100), torch.float32) > plain
    assert run_bytes(spec, whole(100, 100), torch.float32, CPU) > plain


def test_a_run_in_tiles_needs_room_for_blocks_that_wait_and_for_each_shape() -> None:
    spec = NetSpec(width=4, depth=1)
    one = run_bytes(spec, whole(100, 100), torch.float32, CPU)
    alike = run_bytes(spec, TilePlan((100, 300), (100, 100), ((0, 0),) * 2, (1, 1)), torch.float32, CPU)
    unlike = run_bytes(spec, TilePlan((100, 250), (100, 100), ((0, 0),) * 2, (1, 1)), torch.float32, CPU)
    predictions = (1 + MAX_CONSTANT_BLOCKS) * spec.classes  # of the last tile, and of constant ones
    assert alike == one + 4 * 100 * 100 * (2 * spec.channels + predictions)
    assert unlike == alike + memory.BYTES_PER_SHAPE


def test_a_gpu_holds_the_memory_of_the_network_without_prefetched_blocks() -> None:
    spec, plan = NetSpec(width=4, depth=1), TilePlan((100, 300), (100, 100), ((0, 0),) * 2, (1, 1))
    assert run_bytes(spec, plan, torch.float32, torch.device("cuda")) == net_bytes(spec, (100, 100), torch.float32)


def test_the_statistics_of_a_large_image_need_no_more_than_its_sample() -> None:
    def need(*shape: int) -> int:
        image = np.broadcast_to(np.uint16(0), shape)
        return statistics_bytes(ImageSource(image, Axes(("y", "x"), ("y", "x")), (0,)))

    assert need(100, 100) == 100 * 100 * (2 * 2 + 17)
    assert need(10**5, 10**5) == need(SAMPLE_PIXELS, 1)


MEASURED = """
import sys
import numpy as np, psutil
from napari_fcn.inference.memory import bytes_per_pixel, process_peak
from napari_fcn.models.card import ClassLabel, ModelInfo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

spec = NetSpec.suggest(1.0, ndim=int(sys.argv[1]))
info = ModelInfo(spec, Normaliser(), (ClassLabel("no", "#000000"), ClassLabel("yes", "#ffffff")))
shape, tile = (tuple(int(n) for n in text.split("x")) for text in sys.argv[2:4])
image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
settings = PredictSettings(device="cpu", precision="float32", tile=tile, memory=0.1, backend=sys.argv[4])  # scarce
session = Session(image, Checkpoint(info, dict(spec.build().state_dict())), settings=settings)
session.field, bytes_per_pixel(spec), session.backend_choice
idle = psutil.Process().memory_info().rss
planned = next(iter(list(session.predict())))
print(planned.peak_bytes / (process_peak() - idle))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read as Linux counts it")
@pytest.mark.parametrize(
    ("ndim", "shape", "tile", "backend"),
    [
        ("2", "1024x1024", "1024", "torch"),
        ("2", "1500x1500", "512", "torch"),
        ("3", "40x128x128", "128", "torch"),
        ("2", "1024x1024", "1024", "openvino"),
        ("2", "1500x1500", "512", "openvino"),
    ],
)
def test_the_estimated_memory_is_within_15_percent_of_the_measured(
    ndim: str, shape: str, tile: str, backend: str
) -> None:
    if backend == "openvino" and not openvino_backend.is_installed():
        pytest.skip("OpenVINO is not installed")
    command = [sys.executable, "-c", MEASURED, ndim, shape, tile, backend]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(1, abs=0.15)


def test_asking_does_not_touch_the_random_numbers_of_others() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    bytes_per_pixel(NetSpec(width=3, depth=2, kernel=5))
    assert torch.equal(torch.rand(3), expected)


def test_asking_works_while_a_net_predicts() -> None:
    spec = NetSpec(ndim=1, width=5, depth=1)
    outside = bytes_per_pixel(spec)
    memory.bytes_per_pixel.cache_clear()
    with torch.inference_mode():
        assert bytes_per_pixel(spec) == outside


@given(
    st.sampled_from(sorted(SPECS)),
    st.tuples(*[st.integers(1, 5000)] * 3),
    st.integers(2**14, 2**26),
    st.none() | st.integers(2**14, 2**22),
)
def test_a_window_stays_within_the_budget(name: str, lengths: tuple[int, ...], pixels: int, most: int | None) -> None:
    spec = SPECS[name]
    shape = lengths[: spec.ndim]
    allowed = net_bytes(spec, [pixels], torch.float32)
    sides = largest_tile(spec, shape, torch.float32, allowed, most)
    assert net_bytes(spec, sides, torch.float32) <= allowed * 1.001
    assert most is None or prod(sides) <= most
    assert all(side % m == 0 and side < n + m for side, n, m in zip(sides, shape, spec.multiple, strict=True))


@every_net
def test_an_image_that_fits_is_one_window(spec: NetSpec) -> None:
    shape = (37, 41, 43)[: spec.ndim]
    sides = largest_tile(spec, shape, torch.float32, 2**40, None)
    assert all(side >= n for side, n in zip(sides, shape, strict=True))


def test_short_axes_are_read_whole() -> None:
    spec = NetSpec(ndim=3, width=4, depth=1)
    allowed = net_bytes(spec, [10 * 600 * 600], torch.float32)
    sides = largest_tile(spec, (10, 4000, 4000), torch.float32, allowed, None)
    assert sides[0] == 10
    assert sides[1] == pytest.approx(sides[2], abs=8)
    assert prod(sides) > 10 * 400 * 400


def test_a_budget_is_the_limit_or_a_share_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget(CPU, 1.5) == 3 * 2**29
    assert budget(CPU, 1.5, processes=3) == 2**29
    for free, default in ((2**40, MAX_RUN_BYTES), (3 * 2**20, 2**20)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: SimpleNamespace(available=free))
        assert budget(CPU, None) == default
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4000, 9000))
    assert budget(torch.device("cuda"), None) == 2000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux passes the peak on")
def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    held = np.ones(300 * 2**20, np.uint8)
    script = "from napari_fcn.inference.memory import process_peak; print(process_peak())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert held.all()
    assert int(done.stdout) < process_peak() - 100 * 2**20


def test_the_peak_of_the_process_is_at_least_its_present_memory() -> None:
    held = psutil.Process().memory_info().rss
    assert held * 0.9 < process_peak() < psutil.virtual_memory().total
