"""Command line, docks, Python and dask workers read the same axes, channels and pixel sizes of the same image."""

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image

import napari_fcn as fcn
from napari_fcn.cli import main
from napari_fcn.errors import FcnError, ImageError, in_dock
from napari_fcn.geometry.calibration import Calibration
from napari_fcn.gui._controllers import (
    BatchRequest,
    Factories,
    FieldController,
    Request,
    Row,
    SegmentController,
    TeachRequest,
    model_catalog,
)
from napari_fcn.gui._controllers.batch.jobs import FileJob, run_file
from napari_fcn.gui._controllers.batch.tasks import Batch, job_for_layer
from napari_fcn.gui._controllers.image_info import describe_image
from napari_fcn.gui._controllers.teach.setup import create_session
from napari_fcn.gui._layers import read_layer
from napari_fcn.gui._threads import JobRunner
from napari_fcn.inference.source import ImageSource
from napari_fcn.io import ImageFile, ImageLocation, read_image
from napari_fcn.models.binding import Binding, ImageForm, bind
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import OutputSettings, PredictSettings, TeachSettings
from napari_fcn.teaching import Teaching, teaching

SPECS = {
    "planes": NetSpec(width=2, depth=1),
    "two channels": NetSpec(width=2, depth=1, channels=2),
    "three channels": NetSpec(width=2, depth=1, channels=3),
    "volumes": NetSpec(width=2, depth=1, ndim=3),
    "movies": NetSpec(family="video", width=2, depth=1, ndim=3),
}
CPU = PredictSettings(device="cpu")


@dataclass(frozen=True)
class Form:
    """An image for each entry point: a file, the arguments of a layer, and those of a Python function."""

    shape: tuple[int, ...]
    file: str = ".npy"
    metadata: dict[str, Any] = field(default_factory=dict)
    layer: dict[str, Any] | None = field(default_factory=dict)
    call: dict[str, Any] | None = field(default_factory=dict)
    models: tuple[str, ...] = ("planes", "three channels")

    @property
    def data(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 255, self.shape, np.uint8)

    def write(self, folder: Path) -> Path:
        path = folder / f"image{self.file}"
        if self.file == ".npy":
            np.save(path, self.data)
        elif self.file == ".png":
            path.write_bytes(imagecodecs.png_encode(self.data))
        else:
            tifffile.imwrite(path, self.data, **self.metadata)
        return path


def named(axes: str, shape: tuple[int, ...], *models: str) -> Form:
    """Return an image whose axes are named in the file, the layer and the Python call."""
    metadata = {"metadata": {"axes": axes.upper()}, "photometric": "minisblack"}
    call = {"axes": axes, "rgb": False}
    return Form(shape, ".tif", metadata, {"axis_labels": tuple(axes)}, call, models or ("planes", "three channels"))


NANOMETRES = {
    "metadata": {
        "axes": "ZYX",
        **{f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (1000, 250, 250), strict=True)},
        **{f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"},
    },
    "ome": True,
}
PALETTE = np.random.default_rng(1).integers(0, 2**8, (3, 256)).astype(np.uint16) * 257
FORMS = {
    "unnamed, three planes or channels": Form((3, 24, 24)),
    "unnamed, three columns or channels": Form((24, 24, 3), layer={"rgb": False}),
    "unnamed, a stack or a movie": Form((5, 24, 24), models=("planes", "volumes", "movies")),
    "unnamed, five axes": Form((2, 3, 4, 24, 24), models=("planes", "volumes", "three channels")),
    "colours": Form((24, 24, 3), ".png", layer={"rgb": True}, call={"rgb": True}),
    "colours and transparency": Form((24, 24, 4), ".png", layer={"rgb": True}, call={"rgb": True}),
    "a palette": Form((24, 24), ".tif", {"photometric": "palette", "colormap": PALETTE}, layer=None, call=None),
    "channels last": named("yxc", (24, 24, 3)),
    "channels first": named("cyx", (3, 24, 24)),
    "a movie of channels": named("tcyx", (2, 3, 24, 24)),
    "a stack of channels": named("zcyx", (4, 3, 24, 24), "planes", "three channels", "volumes"),
    "five axes": named("tczyx", (2, 3, 4, 24, 24), "planes", "three channels", "volumes"),
    "a movie": named("tyx", (4, 24, 24), "planes", "movies", "volumes"),
    "a stack": named("zyx", (4, 24, 24), "planes", "movies", "volumes"),
    "nanometres": Form(
        (4, 24, 24),
        ".ome.tif",
        NANOMETRES,
        {"axis_labels": ("z", "y", "x"), "scale": (1000, 250, 250), "units": ("nm", "nm", "nm")},
        {"axes": "zyx", "spacing": (1.0, 0.25, 0.25)},
        ("volumes",),
    ),
}
CASES = [(form, model) for form, value in FORMS.items() for model in value.models]


class EngineOpened(BaseException):
    """Raised to stop an entry point as soon as it has opened the engine."""


@dataclass
class Recorder:
    """Records the arguments with which an entry point opens the engine, and stops it."""

    reading: dict[str, Any] = field(default_factory=dict)
    is_stopping: bool = True

    def session(self, session: Session) -> None:
        self.keep(session.binding, session.source)
        self.reading["pixel size"] = session.spacing
        self.stop()

    def keep(self, binding: Binding, source: ImageSource) -> None:
        self.reading = reading(binding, source)

    def stop(self) -> None:
        if self.is_stopping:
            raise EngineOpened


def reading(binding: Binding, source: ImageSource) -> dict[str, Any]:
    """Return the interpretation of the image, which must be the same for all entry points."""
    axes = binding.axes
    return {
        "space": axes.space,
        "loop": axes.loop,
        "channel axis": axes.channel_position,
        "channels": source.channels,
        "pixel size": binding.spacing,
        "notes": [in_dock(note) for note in (*binding.notes, *source.notes)],
    }


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, spec in SPECS.items():
        net = spec.build(torch.Generator().manual_seed(0))
        Checkpoint.of(net, plain_recipe(name, spec, "")).save(folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in SPECS}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    make_session, make_teaching, open_source = Session.__init__, Teaching.__init__, teaching.open_source
    signature = inspect.signature(make_teaching)

    def init_session(self: Session, *args: Any, **kwargs: Any) -> None:
        make_session(self, *args, **kwargs)
        recorder.session(self)

    def init_teaching(self: Teaching, *args: Any, **kwargs: Any) -> None:
        make_teaching(self, *args, **kwargs)
        recorder.reading["pixel size"] = tuple(signature.bind(self, *args, **kwargs).arguments.get("spacing", ()))
        recorder.stop()

    def record_source(image: Any, model: Any, binding: Binding, settings: TeachSettings) -> ImageSource:
        source = open_source(image, model, binding, settings)
        recorder.keep(binding, source)
        return source

    monkeypatch.setattr(Session, "__init__", init_session)
    monkeypatch.setattr(Teaching, "__init__", init_teaching)
    monkeypatch.setattr(teaching, "open_source", record_source)
    return recorder


@dataclass(frozen=True)
class Entry:
    """The input of an entry point."""

    form: Form
    model: Path
    folder: Path
    recorder: Recorder
    labels: np.ndarray
    monkeypatch: pytest.MonkeyPatch

    @property
    def image(self) -> Path:
        return self.form.write(self.folder)

    @property
    def layer(self) -> Image:
        return Image(self.form.data, **(self.form.layer or {}))

    def command(self, *arguments: Any) -> None:
        if main([*map(str, arguments), "--model", str(self.model), "--device", "cpu", "--quiet"]):
            raise ImageError("The command failed.")


def predict_command(entry: Entry) -> None:
    entry.command("predict", entry.image, "--out", entry.folder / "out.ome.tif")


def field_command(entry: Entry) -> None:
    entry.command("field", "--image", entry.image)


def certify_command(entry: Entry) -> None:
    entry.command("certify", entry.image)


def finetune_command(entry: Entry) -> None:
    np.save(entry.folder / "labels.npy", entry.labels)
    printed: list[str] = []
    entry.monkeypatch.setattr(sys.modules["napari_fcn.cli.finetune"], "say", printed.append)
    try:
        entry.command("finetune", entry.image, entry.folder / "labels.npy", "--out", entry.folder / "out.safetensors")
    finally:
        notes = [in_dock(note) for note in printed if note not in read_image(entry.image).notes]
        entry.recorder.reading["notes"] = notes + entry.recorder.reading.get("notes", [])


def segment_dock(entry: Entry) -> None:
    class Started(JobRunner):
        def start(self, make: Callable[[], Iterator[Any]]) -> None:
            made.append(make)

    made: list[Callable[[], Iterator[Any]]] = []
    viewer, layer = ViewerModel(), entry.layer
    viewer.add_layer(layer)
    controller = SegmentController(viewer, Started())
    controller.predict(layer, Request(entry.model, CPU))
    if controller.state.error:
        raise ImageError(controller.state.error)
    next(made[0]())


def batch_of_files(entry: Entry) -> None:
    out = entry.folder / "out.ome.tif"
    next(run_file(FileJob(entry.image, entry.model, CPU, (), out, {"classes": out}, True), model_catalog.ModelCache()))


def batch_of_layers(entry: Entry) -> None:
    layer = entry.layer
    batch = Batch(BatchRequest(entry.model, CPU, OutputSettings()), model_catalog.read_entry(entry.model), 0.0)
    batch.update_inputs({0: layer})
    next(job_for_layer(batch, Row(0, "image", ""), layer, model_catalog.ModelCache()).make())


def field_dock(entry: Entry) -> None:
    controller = FieldController(ViewerModel())
    view = controller.image_view(entry.layer, Request(entry.model, CPU))
    next(controller._worker.measure_at(view, (0,) * len(view.shape), None))


def teach_dock(entry: Entry) -> None:
    viewer, layer = ViewerModel(), entry.layer
    viewer.add_layer(layer)
    request = TeachRequest(layer, entry.model, TeachSettings(device="cpu"))
    factories = Factories(create=refuse_project)
    writer: Any = SimpleNamespace()
    layers = create_session(viewer, request, writer, model_catalog.ModelCache(), factories)
    info = describe_image(layer, Request(entry.model), model_catalog.read_entry(entry.model))
    try:
        layers.worker._factory.open()
    finally:
        binding = layers.worker._factory.binding
        assert all(note in info.summary for note in binding.remarks)
        assert ("guessed" in info.summary) == binding.is_guessed
        entry.recorder.reading["notes"] = list(map(in_dock, binding.notes)) + entry.recorder.reading["notes"]


def refuse_project(*_: Any) -> Any:
    raise OSError("No project is needed.")


def predict_function(entry: Entry) -> None:
    fcn.predict(entry.form.data, entry.model, device="cpu", **(entry.form.call or {}))


def classes_function(entry: Entry) -> None:
    fcn.classes(entry.form.data, entry.model, device="cpu", **(entry.form.call or {}))


def certify_function(entry: Entry) -> None:
    fcn.certify(entry.model, entry.form.data, device="cpu", **(entry.form.call or {}))


def finetune_function(entry: Entry) -> None:
    fcn.finetune(entry.form.data, entry.labels, entry.model, device="cpu", **(entry.form.call or {}))


def session_class(entry: Entry) -> None:
    fcn.Session(entry.form.data, fcn.load(entry.model), settings=CPU, **(entry.form.call or {}))


def teaching_class(entry: Entry) -> None:
    settings = TeachSettings(device="cpu")
    fcn.Teaching(entry.form.data, fcn.load(entry.model), settings=settings, **(entry.form.call or {}))


def dask_worker(entry: Entry) -> None:
    pytest.importorskip("distributed", reason="needs dask: pip install 'napari-fcn[distributed]'")
    from napari_fcn.distributed import Cluster, cluster, worker

    entry.recorder.is_stopping = False
    file, model = read_image(entry.image), fcn.load(entry.model)
    session = fcn.Session(file.data, model, file.bind(model.info.spec), CPU)
    expected = entry.recorder.reading
    here = Cluster(None, "cpu", 1)  # type: ignore[arg-type]
    entry.monkeypatch.setattr(cluster, "DistributedPredictor", lambda _, __, task: task)
    entry.monkeypatch.setattr(worker, "_worker", lambda: SimpleNamespace(address="here", name=0))
    task = here.predictor_for(session, ImageLocation.from_file(entry.image), CPU, ["classes"])
    _ = worker.TileWorker(task).session  # type: ignore[arg-type]
    entry.recorder.reading["notes"] = expected["notes"]  # the client shows them


BY_FILE = (predict_command, field_command, certify_command, finetune_command, batch_of_files, dask_worker)
BY_LAYER = (segment_dock, batch_of_layers, field_dock, teach_dock)
BY_ARRAY = (
    predict_function,
    classes_function,
    certify_function,
    finetune_function,
    session_class,
    teaching_class,
)
BY_RATIO = (finetune_command, teach_dock)  # teaching needs pixel sizes relative to each other


def expected_reading(form: Form, model: Checkpoint, file: ImageFile) -> tuple[dict[str, Any] | str, tuple[int, ...]]:
    """Return the interpretation of the image ("refused" if the model cannot use it), and the shape of its labels."""
    try:
        binding = file.bind(model.info.spec)
        source = ImageSource.open(file.data, binding.axes, model.info.spec.channels, CPU, binding.rgb)
    except ImageError:
        return "refused", (24, 24)
    return {**reading(binding, source), "ratios": binding.ratios}, source.shape


@pytest.mark.parametrize(("name", "model"), CASES, ids=[f"{form}-{model}" for form, model in CASES])
def test_all_entry_points_read_an_image_alike(
    name: str,
    model: str,
    model_files: dict[str, Path],
    recorder: Recorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: object,
) -> None:
    form, path = FORMS[name], model_files[model]
    expected, shape = expected_reading(form, Checkpoint.load(path), read_image(form.write(tmp_path)))
    labels = np.zeros(shape, np.uint8)
    labels[..., :4, :], labels[..., 8:12, :] = 1, 2
    entries = (*BY_FILE, *(BY_LAYER if form.layer is not None else ()), *(BY_ARRAY if form.call is not None else ()))
    for run in entries:
        recorder.reading, recorder.is_stopping = {"notes": []}, True
        with monkeypatch.context() as patch:
            found = outcome_of(run, Entry(form, path, tmp_path, recorder, labels, patch))
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected, run.__name__
            continue
        wanted = dict(expected)
        ratios = wanted.pop("ratios")
        assert found == {**wanted, **({"pixel size": ratios} if run in BY_RATIO else {})}, run.__name__


def outcome_of(run: Callable[[Entry], None], entry: Entry) -> dict[str, Any] | str:
    """Return the interpretation of an entry point, or "refused"."""
    try:
        run(entry)
    except EngineOpened:
        return entry.recorder.reading
    except FcnError:
        return "refused"
    return entry.recorder.reading


def test_classes_of_a_figure_equal_those_of_its_file(model_files: dict[str, Path], tmp_path: Path) -> None:
    form = FORMS["colours"]
    arguments = ["predict", form.write(tmp_path), "--model", model_files["planes"], "--out", tmp_path / "out.ome.tif"]
    assert main([*map(str, arguments), "--device", "cpu", "--quiet"]) == 0
    classes = fcn.classes(form.data, model_files["planes"], axes="yxc", device="cpu")
    np.testing.assert_array_equal(classes, tifffile.imread(tmp_path / "out.ome.tif"))


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, tuple[str, ...], bool]:
    names = [*draw(st.permutations(["t", "c", "z"]))[: draw(st.integers(0, 3))], "y", "x"]
    rgb = "c" not in names and draw(st.booleans())
    shape = [draw(st.integers(2, 4)) if name in "tcz" else 16 for name in names]
    data = np.zeros((*shape, *([3] if rgb else [])), np.uint8)
    return data, (*names, *(["s"] if rgb else [])) if draw(st.booleans()) else (), rgb


@pytest.mark.parametrize("kind", SPECS)
@hypothesis.given(image=images())
@hypothesis.settings(max_examples=15)
def test_files_layers_and_arrays_of_any_shape_are_bound_alike(
    kind: str, image: tuple[np.ndarray, tuple[str, ...], bool]
) -> None:
    (data, names, rgb), spec = image, SPECS[kind]
    calibration = Calibration.of([0.5] * data.ndim, ["micrometer"] * data.ndim)
    calibration = calibration.named(names) if names else calibration
    labels = tuple(names[: len(names) - rgb])
    place = {"scale": [0.5] * (data.ndim - rgb), "units": "um"}

    def from_file() -> Binding:
        return ImageFile(Path("a.tif"), data, names, calibration, rgb).bind(spec)

    def from_layer() -> Binding:
        layer = Image(data, rgb=rgb, **place, **({"axis_labels": labels} if labels else {}))
        return read_layer(layer).bind(spec)

    def from_array() -> Binding:
        return bind(ImageForm(data.shape, rgb=rgb, calibration=calibration), spec, names)

    def decisions(make: Callable[[], Binding]) -> Any:
        try:
            binding = make()
        except ImageError:
            return "refused"
        axes = binding.axes
        return axes.space, axes.channel_position, binding.rgb, binding.spacing, binding.notes

    expected = decisions(from_file)
    assert decisions(from_layer) == expected
    assert decisions(from_array) == expected
