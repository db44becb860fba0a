"""The same promises on a CUDA GPU."""

import net_contract
import numpy as np
import pytest
import torch
from net_contract import EXACT, SPECS

from napari_fcn import api
from napari_fcn.errors import DeviceError
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned, TileDone
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

pytestmark = pytest.mark.gpu

NAMES = ["unet-1d", "unet-2d", "unet-3d", "reflect", "replicate-3d", "transposed", "anisotropic-stack"]
SHAPES = {1: (500,), 2: (120, 131), 3: (30, 41, 35)}


def image_for(spec: NetSpec) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, SHAPES[spec.ndim])


def test_a_session_runs_on_the_gpu() -> None:
    spec = SPECS["unet-2d"]
    session = Session(image_for(spec), net_contract.checkpoint(spec), settings=PredictSettings(device="cuda"))
    planned, *_, done = list(session.predict())
    assert isinstance(planned, RunPlanned)
    assert isinstance(done, RunDone)
    assert planned.device == done.device == f"cuda ({torch.cuda.get_device_name()})"
    assert all(parameter.device.type == "cuda" for parameter in session.torch_backend.net.parameters())


def test_auto_takes_the_gpu_and_half_precision() -> None:
    spec = SPECS["unet-2d"]
    planned = next(Session(image_for(spec), net_contract.checkpoint(spec)).predict())
    assert isinstance(planned, RunPlanned)
    assert planned.device.startswith("cuda")
    assert planned.precision in ("bfloat16", "float16")


@pytest.mark.parametrize("name", NAMES)
def test_tiled_equals_whole_in_float32(name: str) -> None:
    """Also with the settings that PyTorch starts with, which allow TF32 in convolutions."""
    spec = SPECS[name]
    model, image = net_contract.checkpoint(spec), image_for(spec)
    tiled = api.predict(image, model, tile=(16,), device="cuda", precision="float32")
    whole = api.predict(image, model, tile=(2**10,), device="cuda", precision="float32")
    assert np.abs(tiled - whole).max() <= EXACT


@pytest.mark.parametrize("name", NAMES)
def test_float32_on_the_gpu_is_that_of_the_cpu(name: str) -> None:
    spec = SPECS[name]
    model, image = net_contract.checkpoint(spec), image_for(spec)
    answers = [api.predict(image, model, device=device, precision="float32") for device in ("cpu", "cuda")]
    assert np.abs(answers[0] - answers[1]).max() <= EXACT


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_near_float32(name: str, precision: str) -> None:
    spec = SPECS[name]
    model, image = net_contract.checkpoint(spec), image_for(spec)
    half = api.predict(image, model, device="cuda", precision=precision)
    error = np.abs(half - api.predict(image, model, device="cuda", precision="float32"))
    assert half.dtype == np.float32
    assert np.isfinite(half).all()
    assert error.max() < 0.1
    assert error.mean() < 0.01


def test_running_out_of_memory_raises_an_error_with_advice() -> None:
    spec = NetSpec(width=8, depth=1)
    free = torch.cuda.mem_get_info()[0]
    side = 1024
    torch.cuda.set_per_process_memory_fraction(2**26 / torch.cuda.get_device_properties(0).total_memory)
    try:
        settings = PredictSettings(device="cuda", precision="float32", tile=(side,), fallback="off")
        session = Session(
            np.random.default_rng(0).random((side, side)), net_contract.checkpoint(spec), settings=settings
        )
        with pytest.raises(
            DeviceError, match=r"1024 x 1024 px does not fit in the free memory of cuda\. Set a smaller tile"
        ):
            list(session.predict())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert free > 2**26


def test_a_run_goes_on_where_memory_runs_out() -> None:
    spec, side = NetSpec(width=8, depth=1), 1024
    image = np.random.default_rng(0).random((side, side))
    torch.cuda.set_per_process_memory_fraction(2**26 / torch.cuda.get_device_properties(0).total_memory)
    try:
        settings = PredictSettings(device="cuda", precision="float32", tile=(side,))
        events = list(Session(image, net_contract.checkpoint(spec), settings=settings).predict())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(isinstance(event, FallbackTaken) for event in events)
    assert sum(event.region.size for event in events if isinstance(event, TileDone)) == image.size


def test_memory_is_released_after_the_run() -> None:
    spec = NetSpec(width=16, depth=2)
    image = np.random.default_rng(0).random((1024, 1024))
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    api.predict(image, net_contract.checkpoint(spec), device="cuda")
    assert torch.cuda.memory_allocated() <= allocated + 2**20
    assert torch.cuda.memory_reserved() <= reserved + 2**25  # other programs need the GPU too


def test_the_predicted_memory_is_near_the_peak() -> None:
    spec = NetSpec(width=16, depth=2)
    image = np.random.default_rng(0).random((1024, 1024))
    session = Session(
        image, net_contract.checkpoint(spec), settings=PredictSettings(device="cuda", precision="float32")
    )
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    planned = next(iter(list(session.predict())))
    assert isinstance(planned, RunPlanned)
    peak = torch.cuda.max_memory_allocated() - before
    assert 0.5 * planned.peak_bytes < peak < 1.5 * planned.peak_bytes
