"""Device and precision of a network, and errors where they are not available."""

import pytest
import torch

from napari_fcn.errors import DeviceError
from napari_fcn.inference.device import full_float32, label, pick_device, pick_precision, place, release
from napari_fcn.nets import NetSpec

CPU = torch.device("cpu")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has one CUDA GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.usefixtures("bare")
def test_auto_is_the_cpu_where_there_is_nothing_else() -> None:
    assert pick_device("auto") == CPU
    assert pick_precision("auto", CPU) is torch.float32


@pytest.mark.usefixtures("one_gpu")
def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert pick_device() == torch.device("cuda")


def test_auto_is_apples_gpu_where_there_is_one(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device() == torch.device("mps")
    assert pick_precision("auto", torch.device("mps")) is torch.float32


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "PyTorch finds no NVIDIA GPU here. Choose auto or cpu"),
        ("cuda:1", "PyTorch finds no NVIDIA GPU"),
        ("mps", "no Apple GPU"),
        ("gpu", "no device 'gpu'. Choose auto, cpu, cuda, mps"),
        ("cuda:first", "no device 'cuda:first'"),
        ("meta", "no device 'meta'"),
        ("", "no device ''"),
    ],
)
def test_a_missing_device_is_refused(name: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        pick_device(name)


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_beyond_the_last_is_refused() -> None:
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match="cuda:1 was requested; this machine has cuda:0 to cuda:0"):
        pick_device("cuda:1")


@pytest.mark.parametrize("supported", [True, False])
def test_auto_on_a_gpu_is_the_half_precision_that_it_has(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    expected = torch.bfloat16 if supported else torch.float16
    assert pick_precision("auto", torch.device("cuda")) is expected


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("float16", "cpu", "Choose bfloat16, float32 or auto"),
        ("bfloat16", "mps", "Choose float32 or auto"),
        ("float16", "mps", "Choose float32 or auto"),
        ("float64", "cpu", "no precision 'float64'. Choose auto, float32, bfloat16, float16"),
        ("double", "cpu", "no precision 'double'"),
    ],
)
def test_a_precision_that_the_device_lacks_is_refused(name: str, device: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        pick_precision(name, torch.device(device))


def test_precisions_are_found_by_name() -> None:
    assert pick_precision("bfloat16", CPU) is torch.bfloat16
    assert pick_precision("float16", torch.device("cuda")) is torch.float16


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_placed_network_computes_as_before(ndim: int) -> None:
    net = NetSpec(ndim=ndim, width=4, depth=1).build().eval()
    x = torch.rand(1, 1, *(8,) * ndim)
    with torch.inference_mode():
        expected = net(x)
        torch.testing.assert_close(place(net, ndim, CPU)(x), expected, atol=1e-5, rtol=1e-5)
    if ndim == 2:
        assert net.encoder[0][3].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index, union-attr, operator]


def test_convolutions_on_a_gpu_compute_in_all_of_float32() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    with full_float32(torch.device("cuda")):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (*before[:3], False)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before
    with full_float32(CPU):
        assert cudnn.allow_tf32 == before[3]


def test_only_the_memory_of_a_gpu_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: released.append(1))
    release(CPU)
    assert released == []
    release(torch.device("cuda"))
    assert released == [1]


def test_a_device_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert label(CPU) == "cpu"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Fast One")
    assert label(torch.device("cuda:0")) == "cuda:0 (Fast One)"
