"""OpenVINO predicts what PyTorch predicts, tile by tile, and says why where it cannot."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import net_contract
import numpy as np
import pytest
import torch
from net_contract import EXACT, SPECS

from napari_fcn.errors import DeviceError
from napari_fcn.events import FallbackTaken, RunDone, RunPlanned, TileDone
from napari_fcn.inference import backend_choice, openvino_backend, openvino_compiler
from napari_fcn.inference.backend_choice import choose_backend
from napari_fcn.inference.backends import TorchBackend
from napari_fcn.inference.openvino_backend import OpenVinoBackend
from napari_fcn.inference.openvino_compiler import compile_net, load_or_compile
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

CPU = torch.device("cpu")
SPEC = SPECS["unet-2d"]
FILTERS = ((1.0, 1.0), (4.0, 4.0))
HYPERCOLUMN = NetSpec(width=2, depth=2, head="levels", filters=FILTERS, hidden=4)
SHIPPED = {"nuclei": (90, 75), "membranes": (75, 90), "nuclei-3d": (9, 40, 43), "membranes-3d": (9, 43, 40)}
SHIPPED |= {"cells-video": (5, 60, 53)}
REPRESENTATIVE = {  # of all networks, which take minutes to compile: each family, dimension, padding and upsampling
    "unet-1d", "replicate-3d", "transposed", "channels-and-classes", "resunet-2d", "fcn-linear", "dilated-reflect",
    "deeplab-3d", "video-2d", "hypercolumn",
}  # fmt: skip

needs_openvino = pytest.mark.skipif(
    not openvino_backend.is_installed(), reason="OpenVINO is not installed: pip install 'napari-fcn[openvino]'"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for compiled networks."""
    monkeypatch.setenv("NAPARI_FCN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def session_of(image: np.ndarray, checkpoint: Checkpoint, **settings: Any) -> Session:
    return Session(image, checkpoint, settings=PredictSettings(device="cpu", **{"backend": "openvino"} | settings))


def join(session: Session) -> tuple[np.ndarray, list[Any]]:
    """Return the joined probabilities, and all events but the tiles."""
    out = np.full((session.spec.classes, *session.source.shape), np.nan, np.float32)
    others = []
    for event in session.predict():
        if isinstance(event, TileDone):
            out[(slice(None), *event.region.slices)] = event.probabilities
        else:
            others.append(event)
    return out, others


def compiled(spec: NetSpec, dtype: torch.dtype = torch.float32) -> OpenVinoBackend:
    net = compile_net(net_contract.trained(spec), dtype)  # type: ignore[arg-type]
    assert not net.problem
    return OpenVinoBackend(spec, net.data, dtype)


def random_image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


@needs_openvino
@pytest.mark.parametrize("name", SHIPPED)
def test_tiles_of_shipped_models_equal_the_whole_image_and_pytorch(name: str) -> None:
    image, checkpoint = random_image(SHIPPED[name]), Checkpoint.load(zoo.path_of(name))
    tile = tuple(32 if n > 32 else n for n in image.shape)
    tiled, events = join(session_of(image, checkpoint, tile=tile))
    whole, _ = join(session_of(image, checkpoint, tile=image.shape))
    expected, _ = join(session_of(image, checkpoint, tile=image.shape, backend="torch"))
    assert events[0].tiles > 1
    assert np.abs(tiled - whole).max() <= EXACT
    assert np.abs(tiled - expected).max() <= EXACT


@needs_openvino
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(spec, id=name, marks=() if name in REPRESENTATIVE else pytest.mark.long)
        for name, spec in (SPECS | {"hypercolumn": HYPERCOLUMN}).items()
    ],
)
def test_every_family_runs_as_in_pytorch_at_sizes_off_the_pooling_grid(spec: NetSpec) -> None:
    block = net_contract.noise(spec, (23, 19, 11)[: spec.ndim]).numpy()
    expected = TorchBackend(net_contract.trained(spec), CPU, torch.float32).probabilities(block)  # type: ignore[arg-type]
    found = compiled(spec).probabilities(block)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= EXACT


@needs_openvino
@pytest.mark.parametrize(
    ("name", "trim"),
    [
        ("cells-video", (True, True)),
        ("nuclei-3d", (True, True)),
        ("membranes-3d", (True, False)),
        ("membranes-3d", (False, True)),
    ],
)
def test_few_planes_of_a_volume_equal_those_of_pytorch(name: str, trim: tuple[bool, bool], cache: Path) -> None:
    checkpoint = Checkpoint.load(zoo.path_of(name))
    before, after = theoretical(checkpoint.info.spec).halo[0]
    block = net_contract.noise(checkpoint.info.spec, (before + after + 1, 24, 32)).numpy()
    first = {(True, True): before, (True, False): before + after, (False, True): 0}[trim]
    crop = (slice(first, first + 1), slice(0, 20), slice(3, 32))
    choice = choose_backend("openvino", checkpoint, CPU, torch.float32, block.size)
    found = choice.create(checkpoint, CPU, torch.float32).probabilities(block, crop, trim)
    expected = TorchBackend(checkpoint.net(), CPU, torch.float32).probabilities(block, crop)
    assert found.shape == expected.shape == (1, checkpoint.info.spec.classes, 1, 20, 29)
    assert np.abs(found - expected).max() <= EXACT
    assert len(list(cache.glob("*.blob"))) == 2  # the network as it is, and without these planes


@needs_openvino
def test_a_crop_is_the_part_of_the_whole() -> None:
    block, backend = net_contract.noise(SPEC, (40, 30)).numpy(), compiled(SPEC)
    part = backend.probabilities(block, (slice(3, 20), slice(10, 30)))
    np.testing.assert_array_equal(part, backend.probabilities(block)[:, :, 3:20, 10:30])


@needs_openvino
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_block_has_the_same_bits_at_any_place_in_any_thread_and_after_other_blocks(dtype: torch.dtype) -> None:
    if not openvino_backend.supports(dtype):
        pytest.skip(f"OpenVINO does not compute in {dtype} on this CPU")
    spec = SPECS["unet-2d"]
    net = compile_net(net_contract.trained(spec), dtype)  # type: ignore[arg-type]
    backend = OpenVinoBackend(spec, net.data, dtype)
    block = net_contract.noise(spec, (52, 37)).numpy()
    first = backend.probabilities(block)
    backend.probabilities(net_contract.noise(spec, (90, 20), seed=1).numpy())
    np.testing.assert_array_equal(backend.probabilities(block), first)
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(backend.probabilities(block)))
    thread.start()
    thread.join()
    found.append(OpenVinoBackend(spec, net.data, dtype).probabilities(block))
    backend.release()
    found.append(backend.probabilities(block))
    torch.set_num_threads(2)
    found.append(OpenVinoBackend(spec, net.data, dtype).probabilities(block))
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, first)


@needs_openvino
def test_equal_tiles_of_an_image_have_equal_bits() -> None:
    spec = NetSpec(width=4, depth=1)
    pattern = random_image((32, 32))
    session = session_of(np.tile(pattern, (5, 5)), net_contract.checkpoint(spec), tile=(32,))
    plan = session.plan()
    inner = [tile for tile in plan if tile.read.shape == plan.largest_read]
    assert len(inner) > 4
    first, *others = [session.predictor.tile(tile) for tile in inner]
    for other in others:
        np.testing.assert_array_equal(other, first)


@needs_openvino
def test_bfloat16_is_near_float32() -> None:
    if not openvino_backend.supports(torch.bfloat16):
        pytest.skip("OpenVINO does not compute in bfloat16 on this CPU")
    image, checkpoint = random_image((60, 60)), net_contract.checkpoint(SPEC)
    exact, _ = join(session_of(image, checkpoint))
    rough, events = join(session_of(image, checkpoint, precision="bfloat16"))
    assert (events[0].device, events[0].precision) == ("cpu, OpenVINO", "bfloat16")
    assert 0 < np.abs(rough - exact).max() < 0.1


@needs_openvino
def test_a_run_says_what_runs_it(cache: Path) -> None:
    _, events = join(session_of(random_image((40, 40)), net_contract.checkpoint(SPEC)))
    planned, done = events
    assert isinstance(planned, RunPlanned)
    assert isinstance(done, RunDone)
    assert planned.device == done.device == "cpu, OpenVINO"


@needs_openvino
def test_auto_uses_openvino_from_a_size_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_choice, "FASTER_ON", (backend_choice.platform.machine(),))
    monkeypatch.setattr(backend_choice, "MIN_PIXELS", 40 * 40)
    checkpoint = net_contract.checkpoint(SPEC)
    assert session_of(random_image((40, 40)), checkpoint, backend="auto").backend_choice.name == "openvino"
    assert session_of(random_image((40, 39)), checkpoint, backend="auto").backend_choice.name == "torch"


def test_auto_uses_pytorch_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_backend, "is_installed", lambda: False)
    choice = choose_backend("auto", net_contract.checkpoint(SPEC), CPU, torch.float32, 10**9)
    assert (choice.name, choice.notes) == ("torch", ())


def test_a_missing_openvino_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    session = session_of(random_image((40, 40)), net_contract.checkpoint(SPEC))
    with pytest.raises(DeviceError, match=r"OpenVINO cannot be loaded .*pip install 'napari-fcn\[openvino\]'"):
        list(session.predict())


def test_openvino_is_refused_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_choice.devices, "pick_device", lambda name: torch.device("cuda"))
    with pytest.raises(DeviceError, match=r"OpenVINO runs networks on the CPU; the device is cuda\. Give --device cpu"):
        Session(random_image((9, 9)), net_contract.checkpoint(SPEC), settings=PredictSettings(backend="openvino"))


def inexact(net: Any, spec: NetSpec, trim: tuple[bool, bool]) -> Any:
    """Return a model that adds 0.01 to the logits of one class."""
    openvino = openvino_backend.import_openvino()
    model = CONVERT(net, spec, trim)
    node = model.get_results()[0].input_value(0)
    shift = np.zeros((1, spec.classes, *[1] * spec.ndim), np.float32)
    shift[0, 0] = 0.01
    return openvino.Model([openvino.opset13.add(node, shift)], model.get_parameters())


def unsupported(net: Any, spec: NetSpec, trim: tuple[bool, bool]) -> Any:
    raise RuntimeError("Converting input model\nNo conversion rule found for operations: aten::special\n")


CONVERT = openvino_compiler._convert


@needs_openvino
@pytest.mark.parametrize(
    ("convert", "problem"),
    [
        (inexact, r"OpenVINO runs this network inexactly: probabilities differ by up to 0\.00\d\."),
        (unsupported, r"OpenVINO cannot run this network \(No conversion rule found for operations: aten::special\)\."),
    ],
)
def test_a_network_that_is_not_converted_exactly_runs_in_pytorch(
    cache: Path, monkeypatch: pytest.MonkeyPatch, convert: Any, problem: str
) -> None:
    monkeypatch.setattr(openvino_compiler, "_convert", convert)
    monkeypatch.setattr(backend_choice, "FASTER_ON", (backend_choice.platform.machine(),))
    checkpoint, pixels = net_contract.checkpoint(SPEC), backend_choice.MIN_PIXELS
    with pytest.raises(DeviceError, match=problem + r" Give --backend torch\."):
        choose_backend("openvino", checkpoint, CPU, torch.float32, pixels)
    monkeypatch.setattr(openvino_compiler, "compile_net", None)  # the problem is stored
    choice = choose_backend("auto", checkpoint, CPU, torch.float32, pixels)
    assert choice.name == "torch"
    (note,) = choice.notes
    assert note.endswith(" PyTorch runs it instead.")


@needs_openvino
def test_a_compiled_network_is_loaded_instead_of_compiled_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = net_contract.checkpoint(SPEC)
    first, _ = load_or_compile(checkpoint, torch.float32)
    monkeypatch.setattr(openvino_compiler, "compile_net", None)
    assert load_or_compile(checkpoint, torch.float32) == (first, ())


@needs_openvino
def test_a_model_with_other_weights_is_compiled_anew(cache: Path) -> None:
    one, other = (load_or_compile(net_contract.checkpoint(SPEC, seed), torch.float32)[0] for seed in (0, 1))
    assert one != other
    assert len(list(cache.iterdir())) == 2


@needs_openvino
def test_a_damaged_file_is_compiled_again(cache: Path) -> None:
    checkpoint = net_contract.checkpoint(SPEC)
    load_or_compile(checkpoint, torch.float32)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again, (note,) = load_or_compile(checkpoint, torch.float32)
    assert note == f"The compiled network {path} is damaged. It is compiled again."
    assert not again.problem
    assert load_or_compile(checkpoint, torch.float32) == (again, ())


@needs_openvino
def test_a_folder_that_cannot_be_written_costs_only_time(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    image, checkpoint = random_image((40, 40)), net_contract.checkpoint(SPEC)
    found, events = join(session_of(image, checkpoint))
    assert np.isfinite(found).all()
    assert any(f"The compiled network cannot be stored in {cache}" in note for note in events[0].notes)


@needs_openvino
def test_networks_that_were_used_longest_ago_are_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    first, second = (net_contract.checkpoint(SPEC, seed) for seed in (0, 1))
    load_or_compile(first, torch.float32)
    (old,) = cache.iterdir()
    os.utime(old, (0, 0))
    monkeypatch.setattr(openvino_compiler, "CACHE_BYTES", old.stat().st_size + 1000)
    load_or_compile(second, torch.float32)
    assert not old.exists()
    assert len(list(cache.iterdir())) == 1


def test_the_cache_is_in_the_folder_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_FCN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert openvino_compiler.cache_folder() == Path("/somewhere/napari-fcn")


@needs_openvino
def test_openvino_is_imported_without_its_telemetry() -> None:
    script = (
        "import sys, types; from napari_fcn.inference.openvino_backend import import_openvino, TELEMETRY\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(TELEMETRY): print('imported')\n"
        "sys.meta_path.insert(0, Finder())\n"
        "print(import_openvino().__name__, TELEMETRY in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino False\n"


@needs_openvino
def test_closing_a_run_stops_before_the_next_tile() -> None:
    session = session_of(random_image((200, 60)), net_contract.checkpoint(SPEC), tile=(32,))
    counted: list[int] = []
    whole = session.backend.probabilities

    def probabilities(*arguments: Any) -> Any:
        counted.append(1)
        return whole(*arguments)

    session.backend.probabilities = probabilities  # type: ignore[method-assign]
    run = session.predict()
    assert isinstance(next(run), RunPlanned)
    assert isinstance(next(run), TileDone)
    run.close()
    assert len(counted) == 1


@needs_openvino
def test_filters_stay_in_float32() -> None:
    checkpoint = net_contract.checkpoint(HYPERCOLUMN)
    with pytest.raises(DeviceError, match="filters of this model"):
        choose_backend("openvino", checkpoint, CPU, torch.bfloat16, 1)
    assert choose_backend("auto", checkpoint, CPU, torch.bfloat16, 10**9).name == "torch"


@needs_openvino
@pytest.mark.parametrize(
    "text",
    [
        "Exception from src/core/src/runtime/allocator.cpp:79:\nstd::bad_alloc\n\n\n",
        "Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:\nFailed to allocate 1024 bytes of memory\n",
        "[CPU] Convolution node with name 'x' could not create a primitive\n\n\n",
    ],
)
def test_running_out_of_memory_shrinks_the_tiles(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = OpenVinoBackend._infer

    def scarce(self: OpenVinoBackend, x: np.ndarray) -> np.ndarray:
        if x.size > 120 * 120:
            raise RuntimeError(text)
        return infer(self, x)

    image, checkpoint = random_image((150, 141)), net_contract.checkpoint(SPEC)
    expected, _ = join(session_of(image, checkpoint))
    monkeypatch.setattr(OpenVinoBackend, "_infer", scarce)
    found, events = join(session_of(image, checkpoint))
    assert np.abs(found - expected).max() <= EXACT
    (step,) = [event for event in events if isinstance(event, FallbackTaken)]
    assert step.device == "cpu, OpenVINO"
    assert "does not fit in the free memory of cpu. Continuing with tiles of" in step.line


LIMITED = """
import resource, sys
import numpy as np, psutil, torch
torch.set_num_threads(1)
import net_contract
from napari_fcn.events import FallbackTaken, TileDone
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import theoretical
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

image = np.random.default_rng(0).integers(0, 255, (1600, 1600), np.uint8)
checkpoint = net_contract.checkpoint(NetSpec(width=16, depth=2))
settings = PredictSettings(device="cpu", tile=(1600,), backend="openvino")
session = Session(image, checkpoint, settings=settings)
session.backend.probabilities(np.zeros((1, 1, 64, 64), np.float32))
list(Session(image[:64, :64], checkpoint, settings=settings).predict())
session.predictor
taken = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (taken + 250 * 2**20, resource.RLIM_INFINITY))
lines, devices, pixels = [], set(), 0
for event in session.predict():
    if isinstance(event, FallbackTaken):
        lines.append(event.line)
        devices.add(event.device)
    elif isinstance(event, TileDone):
        pixels += event.region.size
print(pixels == image.size, devices, lines)
"""


@needs_openvino
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited as Linux does it")
def test_a_run_completes_if_the_system_refuses_memory() -> None:
    """The network needs more than 400 MiB for the image in one piece; the system gives 250."""
    path = [str(folder) for folder in sys.path if folder]
    script = f"import sys; sys.path[:0] = {path!r}\n{LIMITED}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(
        "True {'cpu, OpenVINO'} ['A tile of 1600 x 1600 px does not fit in the free memory of cpu. Continuing with"
    )
