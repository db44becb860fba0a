"""Prediction on workers of a dask cluster: processes on this computer, some of which are killed."""

import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import psutil
import pytest
import torch
from net_contract import one_thread  # noqa: F401

from napari_fcn.cli import main
from napari_fcn.distributed import Cluster, DistributedPredictor, connect
from napari_fcn.distributed import cluster as clusters
from napari_fcn.distributed import predictor as predictors
from napari_fcn.distributed.worker import TileTask, WorkerPlan, openvino_version, versions
from napari_fcn.errors import ClusterError, ImageError
from napari_fcn.events import ResultsDone, RunDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.io import ImageLocation
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.objects.size_choice import SizeChoice
from napari_fcn.runs.ledger import RunLedger
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

pytest.importorskip("distributed", reason="needs dask: pip install 'napari-fcn[distributed]'")

SETTINGS = PredictSettings(tile=(16,), device="cpu")


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two worker processes of one thread each, and their scheduler."""
    from distributed import LocalCluster

    options = {"processes": True, "dashboard_address": "127.0.0.1:0", "memory_limit": 0, "silence_logs": 50}
    with (
        clusters._restored_environment(),
        dask.config.set({"distributed.comm.timeouts.connect": clusters.LOCAL_TIMEOUT}),
        clusters.running_workers(LocalCluster(n_workers=2, threads_per_worker=1, **options)) as started,
    ):
        yield started


@pytest.fixture
def cluster(workers: Any) -> Iterator[Cluster]:
    with connect(workers.scheduler_address, "cpu") as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with a model and an image of 48 tiles."""
    spec = NetSpec(classes=3, width=2, depth=1)
    net = spec.build(torch.Generator().manual_seed(3))
    Checkpoint.of(net, plain_recipe("tiny", spec, "")).save(tmp_path / "tiny.safetensors")
    np.save(tmp_path / "image.npy", rng.integers(0, 4000, (125, 90)))
    return tmp_path


@pytest.fixture
def session(folder: Path) -> Session:
    checkpoint = Checkpoint.load(folder / "tiny.safetensors")
    return Session(np.load(folder / "image.npy"), checkpoint, settings=SETTINGS)


@pytest.fixture
def distributed(cluster: Cluster, session: Session, folder: Path) -> DistributedPredictor:
    return cluster.predictor_for(session, ImageLocation.from_file(folder / "image.npy"), SETTINGS, ["probabilities"])


def run(folder: Path, out: str, *more: object) -> int:
    options = (
        "--model",
        folder / "tiny.safetensors",
        "--out",
        folder / out,
        "--tile",
        "16",
        "--device",
        "cpu",
        "--quiet",
    )
    return main(["predict", str(folder / "image.npy"), *map(str, options), *map(str, more)])


def assembled(session: Session, events: Iterator[Any], act: Callable[[int], None] = lambda number: None) -> np.ndarray:
    """Return the probabilities in the events of a cluster; ``act`` is called with the number of each tile."""
    out = np.full((session.spec.classes, *session.source.shape), np.nan, np.float32)
    for event in events:
        if isinstance(event, ResultsDone):
            assert np.isnan(out[(slice(None), *event.region.slices)]).all()
            out[(slice(None), *event.region.slices)] = event.results["probabilities"]
            act(event.done)
    return out


def in_one_process(session: Session) -> np.ndarray:
    """Return the probabilities predicted by this process."""
    out = np.empty((session.spec.classes, *session.source.shape), np.float32)
    for tile in session.plan():
        out[(slice(None), *tile.core.slices)] = session.predictor.tile(tile)
    return out


def kill(pids: list[int]) -> None:
    for pid in pids:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGKILL) if hasattr(signal, "SIGKILL") else process.kill()
        process.wait(60)


def test_workers_predict_the_same_bits_as_one_process(session: Session, distributed: DistributedPredictor) -> None:
    events = list(distributed.predict(session))
    assert isinstance(events[0], RunPlanned)
    assert isinstance(events[-1], RunDone)
    assert [event.done for event in events[1:-1]] == list(range(1, 49))
    np.testing.assert_array_equal(assembled(session, iter(events)), in_one_process(session))


def test_a_killed_worker_does_not_change_the_result(
    session: Session, distributed: DistributedPredictor, workers: Any
) -> None:
    pids = list(distributed._client.run(os.getpid).values())

    def kill_workers(number: int) -> None:
        if number == 3:
            kill(pids[:1])

    np.testing.assert_array_equal(
        assembled(session, distributed.predict(session), kill_workers), in_one_process(session)
    )
    distributed._client.wait_for_workers(2, timeout=60)


def test_new_workers_continue_after_all_were_killed(
    session: Session, distributed: DistributedPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictors, "POLL_INTERVAL", 0.1)
    monkeypatch.setattr(predictors, "TRANSFER_TIMEOUT", 1)
    pids = list(distributed._client.run(os.getpid).values())

    def kill_workers(number: int) -> None:
        if number == 3:
            kill(pids)

    np.testing.assert_array_equal(
        assembled(session, distributed.predict(session), kill_workers), in_one_process(session)
    )
    assert not {*pids} & {*distributed._client.run(os.getpid).values()}
    distributed._client.wait_for_workers(2, timeout=60)


def test_a_worker_that_joins_later_is_used(
    session: Session, distributed: DistributedPredictor, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictors, "POLL_INTERVAL", 0.01)

    def add_worker(number: int) -> None:
        if number == 1:
            workers.scale(3)
            distributed._client.wait_for_workers(3, timeout=60)

    assembled(session, distributed.predict(session), add_worker)
    assert len(distributed._workers) == 3


def test_finished_tiles_are_skipped(session: Session, distributed: DistributedPredictor) -> None:
    done = [tile.core for tile in session.plan()][5:]
    events = list(distributed.predict(session, done))
    assert events[0].done == 43
    assert {event.region for event in events[1:-1]} == {tile.core for tile in session.plan()} - {*done}


def test_files_from_a_cluster_are_the_same_as_local_ones(
    folder: Path, workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ("--save", "classes,objects,probabilities8")
    assert run(folder, "here", *kinds) == 0
    assert run(folder, "there", *kinds, "--scheduler", workers.scheduler_address, "--json") == 0
    assert "workers:" in json.loads(capsys.readouterr().out.splitlines()[-1])["device"]
    for name in ("classes.ome.tif", "objects.ome.tif", "probabilities8.ome.tif"):
        here, there = (folder / place / name for place in ("here", "there"))
        assert here.stat().st_size > 0
        np.testing.assert_array_equal(
            *(np.asarray(ImageLocation.from_file(path).read().data) for path in (here, there))
        )


def test_a_local_run_is_resumed_on_a_cluster(
    folder: Path, workers: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add = RunLedger.add

    def stop(self: RunLedger, block: object) -> None:
        add(self, block)
        if len(self.blocks) == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunLedger, "add", stop)
        assert run(folder, "a.npy", "--save", "probabilities") == 130
    capsys.readouterr()
    there = ("--scheduler", workers.scheduler_address, "--resume", "--json")
    assert run(folder, "a.npy", "--save", "probabilities", *there) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 20
    assert run(folder, "b.npy", "--save", "probabilities") == 0
    np.testing.assert_array_equal(np.load(folder / "a.npy"), np.load(folder / "b.npy"))


def test_automatic_tiles_are_enough_for_all_workers(cluster: Cluster, session: Session, folder: Path) -> None:
    np.save(folder / "large.npy", np.zeros((3000, 3000), np.uint8))
    large = Session(np.load(folder / "large.npy", mmap_mode="r"), session.checkpoint)
    distributed = cluster.predictor_for(
        large, ImageLocation.from_file(folder / "large.npy"), PredictSettings(), ["classes"]
    )
    plan = large.plan_with_tile(distributed.planned.tile)
    assert len(plan) >= len(cluster.workers())


def test_a_worker_that_cannot_read_the_image_is_an_error(cluster: Cluster, session: Session, folder: Path) -> None:
    with pytest.raises(ImageError, match=r"The worker tcp://.* cannot read the image .*disk that all of them share"):
        cluster.predictor_for(session, ImageLocation.from_file(folder / "elsewhere.npy"), SETTINGS, ["classes"])


def test_a_worker_with_another_image_is_an_error(cluster: Cluster, session: Session, folder: Path) -> None:
    np.save(folder / "other.npy", np.zeros((9, 9)))
    with pytest.raises(ImageError, match=r"finds an image of \(9, 9\)"):
        cluster.predictor_for(session, ImageLocation.from_file(folder / "other.npy"), SETTINGS, ["classes"])


def test_a_run_can_be_resumed_after_a_failed_tile(
    folder: Path, workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import zarr

    image = zarr.create_array(folder / "image.zarr", shape=(125, 90), chunks=(32, 32), dtype="u1")
    image[:] = np.load(folder / "image.npy") % 251
    chunk = folder / "image.zarr" / "c" / "3" / "2"
    whole = chunk.read_bytes()
    options = ("--model", folder / "tiny.safetensors", "--out", folder / "a.npy", "--tile", "16", "--device", "cpu")
    command = ["predict", str(folder / "image.zarr"), *map(str, options), "--scheduler", workers.scheduler_address]
    with pytest.MonkeyPatch.context() as patch:
        predict = DistributedPredictor.predict

        def spoil(self: DistributedPredictor, session: Session, **given: Any) -> Iterator[Any]:
            chunk.write_bytes(whole[:-5])
            return predict(self, session, **given)

        patch.setattr(DistributedPredictor, "predict", spoil)
        assert main(command) == 1
    said = capsys.readouterr().err
    assert "damaged or incomplete" in said
    assert "--resume" in said
    chunk.write_bytes(whole)
    assert main([*command, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] > 0


class FakeClient:
    """A client of a scheduler whose workers do not exist."""

    def __init__(self, *addresses: str) -> None:
        self.addresses, self.later = list(addresses), []
        self.submitted: list[list[str] | None] = []

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {address: {"nthreads": 1} for address in self.addresses}}

    def run(self, function: Callable, device: str, workers: list[str], on_error: str) -> dict[str, Any]:
        bad = {**versions(), "torch": "0.1"}
        return {address: bad if "bad" in address else versions() | {"device": "cpu"} for address in workers}

    def wait_for_workers(self, count: int, timeout: float) -> None:
        self.addresses += self.later
        if len(self.addresses) < count:
            raise TimeoutError

    def submit(self, *given: Any, workers: list[str] | None, **more: Any) -> Any:
        self.submitted.append(workers)
        result = WorkerPlan((16, 16), "cpu", "cpu", "float32", 0, "torch")
        return SimpleNamespace(exception=lambda timeout: None, result=lambda timeout: result)

    def cancel(self, futures: list, force: bool) -> None:
        assert force


def test_tiles_are_bound_to_usable_workers_only_if_others_are_refused() -> None:
    for addresses, bound in ((["tcp://good:1"], None), (["tcp://good:1", "tcp://bad:1"], ["tcp://good:1"])):
        client = FakeClient(*addresses)
        DistributedPredictor(Cluster(client), client, None)
        assert client.submitted == [bound, bound]


def test_tiles_of_lost_workers_are_submitted_to_new_ones() -> None:
    client = FakeClient("tcp://good:1", "tcp://bad:1")
    distributed = DistributedPredictor(Cluster(client), client, None)
    assert distributed._update_workers({"future": "tile"}) == []
    client.addresses, client.later = ["tcp://bad:1"], ["tcp://good:2"]
    running = {"future": "tile"}
    assert distributed._update_workers(running) == ["tile"]
    assert running == {}
    assert client.submitted[-1] == ["tcp://good:2"]


def test_a_run_ends_after_a_timeout_if_no_usable_worker_is_left() -> None:
    client = FakeClient("tcp://good:1", "tcp://bad:1")
    distributed = DistributedPredictor(Cluster(client), client, None)
    client.addresses = ["tcp://bad:1"]
    with pytest.raises(ClusterError, match="no usable worker"):
        distributed._update_workers({})


def test_workers_of_another_version_are_refused(workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "versions", lambda: {"napari-fcn": "99.0", "torch": "1.0"})
    with pytest.raises(ClusterError, match=r"has napari-fcn .*, here 99.0; torch .*, here 1.0. Install the same"):
        connect(workers.scheduler_address).__enter__()


def test_a_worker_checks_the_versions_of_its_task(
    cluster: Cluster, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "versions", lambda: {"torch": "1.0"})
    with pytest.raises(ClusterError, match=r"The worker tcp://.* has torch .*, here 1.0. Install"):
        cluster.predictor_for(session, ImageLocation.from_file(folder / "image.npy"), SETTINGS, ["classes"])


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (ModuleNotFoundError("No module named 'napari_fcn'"), "has no napari-fcn"),
        (ClusterError("There is no cuda."), "cannot be used"),
    ],
)
def test_unusable_workers_are_refused(info: Exception, words: str) -> None:
    cluster = Cluster(None)
    cluster._check_worker("tcp://a:1", info)
    assert words in cluster.refused["tcp://a:1"]


def test_workers_on_another_type_of_device_are_refused() -> None:
    cluster = Cluster(None)
    cluster._check_worker("tcp://a:1", {**versions(), "device": "cpu"})
    cluster._check_worker("tcp://b:1", {**versions(), "device": "cuda"})
    assert "--device" in cluster.refused["tcp://b:1"]


def test_a_scheduler_that_does_not_respond_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_TIMEOUT", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense://a"):
        with pytest.raises(ClusterError, match="No dask scheduler responds at"):
            connect(address).__enter__()
    assert dask.config.get("scheduler", None) is None  # this process computes its own arrays as before


def test_a_scheduler_without_workers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(clusters, "NO_WORKER_TIMEOUT", 0.2)
    with (
        clusters.running_workers(LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50)) as empty,
        pytest.raises(ClusterError, match="no usable worker"),
    ):
        connect(empty.scheduler_address).__enter__()


def test_without_dask_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"napari-fcn\[distributed\]"):
        connect("local:2").__enter__()


def test_a_local_cluster_without_workers_is_refused() -> None:
    with pytest.raises(ClusterError, match="local:0 has no worker"):
        connect("local:0").__enter__()


def test_local_workers_are_started_and_stopped(folder: Path) -> None:
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    environment = dict(os.environ)
    assert run(folder, "there.npy", "--scheduler", "local:1x1") == 0
    assert dict(os.environ) == environment  # other processes must not inherit what dask sets for its workers
    assert run(folder, "here.npy") == 0
    np.testing.assert_array_equal(np.load(folder / "here.npy"), np.load(folder / "there.npy"))
    left = [child.name() for child in psutil.Process().children(recursive=True) if child.pid not in children]
    assert not [name for name in left if "worker" in name.lower()]


def test_only_slow_stopping_of_workers_is_ignored() -> None:
    def late() -> None:
        raise TimeoutError

    with clusters.running_workers(SimpleNamespace(close=late)):
        pass
    with pytest.raises(TimeoutError), clusters.running_workers(SimpleNamespace(close=lambda: None)):
        late()


def _info(openvino: str, device: str = "cpu") -> dict[str, str]:
    return {**versions(), "device": device, "openvino": openvino}


@pytest.mark.parametrize(
    ("here", "worker", "problem"),
    [
        ("", _info(""), "OpenVINO is not installed here. Install it with pip"),
        ("2026.4", _info(""), "The worker tcp://a has no OpenVINO, this computer has OpenVINO 2026.4"),
        ("2026.4", _info("2026.3"), "The worker tcp://a has OpenVINO 2026.3, this computer has OpenVINO 2026.4"),
        ("2026.4", _info("2026.4", "cuda"), "the worker tcp://a runs on cuda. Give --device cpu"),
    ],
)
def test_openvino_is_refused_where_a_worker_cannot_run_it(
    here: str, worker: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "openvino_version", lambda: here)
    cluster = Cluster(None)  # type: ignore[arg-type]
    cluster._check_worker("tcp://a", worker)
    with pytest.raises(ClusterError, match=problem):
        cluster.predictor_for(None, None, PredictSettings(backend="openvino"), ())  # type: ignore[arg-type]


def test_a_worker_without_openvino_is_refused_if_the_others_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "openvino_version", lambda: "2026.4")
    cluster = Cluster(None)  # type: ignore[arg-type]
    cluster._needs_openvino = True
    cluster._check_worker("tcp://a", _info("2026.4"))
    cluster._check_worker("tcp://b", _info(""))
    assert list(cluster._device_types) == ["tcp://a"]
    assert "tcp://b has no OpenVINO, others have OpenVINO 2026.4" in cluster.refused["tcp://b"]


@pytest.mark.skipif(not openvino_version(), reason="OpenVINO is not installed: pip install 'napari-fcn[openvino]'")
def test_workers_predict_in_openvino_what_this_computer_predicts(
    cluster: Cluster, folder: Path, session: Session
) -> None:
    settings = replace(SETTINGS, backend="openvino")
    here = Session(session.source.array, session.checkpoint, settings=settings)
    there = cluster.predictor_for(here, ImageLocation.from_file(folder / "image.npy"), settings, ["probabilities"])
    assert there.planned.backend == "openvino"
    assert there.planned.label == "cpu, OpenVINO"
    found = np.empty((3, 125, 90), np.float32)
    for event in there.predict(here):
        if isinstance(event, ResultsDone):
            found[(slice(None), *event.region.slices)] = event.results["probabilities"]
    expected = np.empty_like(found)
    for event in session.predict():
        if isinstance(event, TileDone):
            expected[(slice(None), *event.region.slices)] = event.probabilities
    assert np.abs(found - expected).max() < 1e-5


def test_the_object_size_is_measured_once_on_this_computer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[SizeChoice] = []
    monkeypatch.setattr(
        "napari_fcn.objects.size_choice.choose_object_size",
        lambda *_: measured.append(SizeChoice(30.0, 30.0)) or measured[-1],
    )
    plain = Checkpoint.load(folder / "tiny.safetensors")
    model = Checkpoint(replace(plain.info, object_size=20), plain.weights)
    settings = replace(SETTINGS, object_size="auto")
    local = Session(np.load(folder / "image.npy"), model, settings=settings)
    tasks: list[TileTask] = []
    monkeypatch.setattr(clusters, "DistributedPredictor", lambda cluster, client, task: tasks.append(task))
    Cluster(None).predictor_for(local, ImageLocation.from_file(folder / "image.npy"), settings, ("classes",))  # type: ignore[arg-type]
    assert (tasks[0].settings.object_size, len(measured)) == (30.0, 1)
    there = Session(np.load(folder / "image.npy"), model, settings=tasks[0].settings)
    assert there.resampling == local.resampling
    assert len(measured) == 1


def test_each_frame_is_scaled_the_same_on_workers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = np.random.default_rng(0).normal(size=(3, 40, 30)) * np.arange(1, 4)[:, None, None]
    model = Checkpoint.load(folder / "tiny.safetensors")
    local = Session(movie, model, ("t", "y", "x"), replace(SETTINGS, scaling="frame"))
    tasks: list[TileTask] = []
    monkeypatch.setattr(clusters, "DistributedPredictor", lambda cluster, client, task: tasks.append(task))
    Cluster(None).predictor_for(local, ImageLocation.from_file(folder / "image.npy"), local.settings, ("classes",))  # type: ignore[arg-type]
    sent = pickle.loads(pickle.dumps(tasks[0].scaling))
    region = Region((1, 0, 0), (3, 40, 30))
    block = movie[None, 1:3]
    np.testing.assert_array_equal(sent.apply(block, region), local.scaling.apply(block, region))
