"""Connection to a dask cluster, and the check of its workers."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_fcn.distributed.predictor import DistributedPredictor
from napari_fcn.distributed.worker import TileTask, openvino_version, version_differences, versions, worker_info
from napari_fcn.errors import ClusterError
from napari_fcn.settings import OPENVINO, TORCH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from distributed import Client, LocalCluster

    from napari_fcn.io import ImageLocation
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings

CONNECT_TIMEOUT = 5  # seconds in which a scheduler must respond
LOCAL_TIMEOUT = "5s"  # after which a local worker that does not respond is considered dead
NO_WORKER_TIMEOUT = 60  # seconds to wait for a worker
LOCAL = re.compile(r"local:(\d+)(?:x(\d+))?")
WORKER_ENVIRONMENT = {  # local workers set their threads with each task, and keep freed memory: see allocator.py
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}


@contextmanager
def connect(address: str, device: str = "auto") -> Iterator[Cluster]:
    """Connect to a dask scheduler, or start workers on this computer, as a context manager.

    Parameters
    ----------
    address : str
        Address of a scheduler (``tcp://host:8786``), or ``local:N`` for N processes on this computer; in ``local:NxT``,
        each of them has T threads instead of an equal share of the processor.
    device : str
        Device on which the workers run the network.

    Raises
    ------
    ClusterError
        If dask is not installed, the scheduler does not respond, or there is no usable worker.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            f"--scheduler needs dask ({error}). Install it with pip install 'napari-fcn[distributed]'."
        ) from error
    with ExitStack() as stack:
        local = LOCAL.fullmatch(address)
        scheduler: Any = address
        threads = None
        if local:
            scheduler, threads = stack.enter_context(_start_workers(int(local[1]), local[2], device))
        try:
            client = stack.enter_context(Client(scheduler, timeout=CONNECT_TIMEOUT, set_as_default=False))
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"No dask scheduler responds at {address} within {CONNECT_TIMEOUT} s. Check its address (such as "
                "tcp://host:8786), that it is running, and that no firewall is in between; or give local:2 for two "
                "processes on this computer."
            ) from error
        cluster = Cluster(client, device, threads, local is not None)
        cluster.require_workers()
        yield cluster


@contextmanager
def _start_workers(count: int, threads: str | None, device: str) -> Iterator[tuple[Any, int]]:
    """Start workers on this computer; yield their cluster and the number of threads of each."""
    import dask
    from distributed import LocalCluster

    from napari_fcn.inference.device import pick_device

    if not count:
        raise ClusterError("local:0 has no worker. Give local:2 for two processes on this computer.")
    if pick_device(device).type == "cuda":
        import torch

        if count > (gpus := torch.cuda.device_count()):
            raise ClusterError(
                f"local:{count} needs {count} GPUs, one for each worker, and there are {gpus}. Give local:{gpus}, or "
                "--device cpu."
            )
    threads_per_worker = int(threads) if threads else max(1, (os.cpu_count() or 1) // count)
    options = {"processes": True, "dashboard_address": "127.0.0.1:0", "memory_limit": 0, "silence_logs": 50}
    with (
        _restored_environment(),
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
                "distributed.comm.timeouts.connect": LOCAL_TIMEOUT,
            }
        ),
        # one thread reads, one computes
        running_workers(LocalCluster(n_workers=count, threads_per_worker=2, **options)) as cluster,
    ):
        yield cluster, threads_per_worker


@contextmanager
def running_workers(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Close a local cluster at the end, without an error if its workers are slow to stop."""
    try:
        yield cluster
    finally:
        with suppress(TimeoutError):
            cluster.close()


@contextmanager
def _restored_environment() -> Iterator[None]:
    """Restore the environment variables at the end: those that dask sets for its workers affect other processes too."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


class Cluster:
    """The workers of a dask scheduler.

    Parameters
    ----------
    client : distributed.Client
        Connection to the scheduler.
    device : str
        Device on which the workers run the network.
    threads : int, optional
        Threads of torch in each worker; if not given, the threads of the worker in dask.
    is_local : bool
        Whether the workers are processes that `connect` has started.

    Attributes
    ----------
    refused : dict of str to str
        Address of each unusable worker, and a sentence with the reason.
    """

    def __init__(self, client: Client, device: str = "auto", threads: int | None = None, is_local: bool = False):
        self._client, self._device, self._threads, self._is_local = client, device, threads, is_local
        self._device_types: dict[str, str] = {}  # address of each usable worker -> type of its device
        self._openvino: dict[str, str] = {}  # address of each usable worker -> version, empty if it has none
        self._needs_openvino = False
        self.refused: dict[str, str] = {}

    def require_workers(self) -> dict[str, int]:
        """Return the address and the number of threads of each usable worker; wait until there is one.

        Raises
        ------
        ClusterError
            If there is none for a minute, or all are refused.
        """
        end = time.monotonic() + NO_WORKER_TIMEOUT
        while not (usable := self.workers()):
            refused = [address for address in self._scheduler_workers() if address in self.refused]
            if refused and not self._device_types:
                raise ClusterError(" ".join(self.refused.values()))
            try:
                self._client.wait_for_workers(len(refused) + 1, timeout=max(0, end - time.monotonic()))
            except TimeoutError as error:
                raise ClusterError(
                    f"The scheduler has had no usable worker for {NO_WORKER_TIMEOUT} s. Start some (dask worker "
                    "ADDRESS); if they stop by themselves, see their output."
                ) from error
        return usable

    def workers(self) -> dict[str, int]:
        """Return the address and the number of threads of each usable worker; new workers are checked.

        Raises
        ------
        ClusterError
            If the connection to the scheduler is lost.
        """
        try:
            present = self._scheduler_workers()
            new = [address for address in present if address not in self._device_types and address not in self.refused]
            infos = self._client.run(worker_info, self._device, workers=new, on_error="return") if new else {}
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"The connection to the scheduler was lost ({error}). Check that it is running, then continue with "
                "--resume."
            ) from error
        for address, info in infos.items():
            self._check_worker(address, info)
        return {address: int(present[address]["nthreads"]) for address in present if address in self._device_types}

    def _scheduler_workers(self) -> dict[str, Any]:
        """Return the scheduler's information on each worker, by address."""
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _check_worker(self, address: str, info: Mapping[str, str] | BaseException) -> None:
        """Record whether a worker is usable."""
        if isinstance(info, OSError):  # the worker has disconnected
            return
        if isinstance(info, BaseException):
            problem = "has no napari-fcn" if isinstance(info, ImportError) else "cannot be used"
            self.refused[address] = f"The worker {address} {problem} ({info}). Install napari-fcn there as here."
            return
        if differences := version_differences(info, versions()):
            self.refused[address] = f"The worker {address} has {differences}. Install the same version there."
            return
        types = set(self._device_types.values()) or {info["device"]}
        if info["device"] not in types:
            self.refused[address] = (
                f"The worker {address} runs on {info['device']}, others on {', '.join(types)}: their predictions "
                "would differ. Give --device."
            )
            return
        openvino = info.get("openvino", "")
        if self._needs_openvino and openvino != openvino_version():
            self.refused[address] = (
                f"The worker {address} has {_shown(openvino)}, others have OpenVINO {openvino_version()}: "
                "their predictions would differ. Install the same version there."
            )
            return
        self._device_types[address], self._openvino[address] = info["device"], openvino

    def predictor_for(
        self, session: Session, origin: ImageLocation, settings: PredictSettings, kinds: Collection[str]
    ) -> DistributedPredictor:
        """Return a predictor that runs a model on an image with these workers.

        Parameters
        ----------
        session : Session
            The model on the image, on this computer.
        origin : ImageLocation
            Location from which workers read the image.
        settings : PredictSettings
            Settings of the prediction; the device is that of the cluster.
        kinds : collection of str
            Kinds of results to return for each tile.

        Raises
        ------
        ClusterError
            If OpenVINO is requested, and a worker lacks it or runs on a GPU.
        DeviceError
            If it is requested and does not run the network exactly.
        """
        problem = self._openvino_problem()
        if problem and settings.backend == OPENVINO:
            raise ClusterError(f"{problem} Or give --backend torch.")
        backend = TORCH if problem else session.backend_choice.name
        self._needs_openvino = backend == OPENVINO
        task = TileTask(
            session.checkpoint.parts(),
            origin,
            session.axes,
            tuple(session.source.array.shape),
            session.scaling,
            session.spacing,
            replace(
                settings,
                device=self._device,
                head="taught",  # the session has selected the head
                backend=backend,
                object_size=session.object_size,
            ),
            tuple(kinds),
            versions(),
            self._threads,
            self._is_local,
            session.rgb,
        )
        return DistributedPredictor(self, self._client, task)

    def _openvino_problem(self) -> str:
        """Return why the workers cannot run networks in OpenVINO, which all of them must; empty if they can."""
        own = openvino_version()
        if not own:
            return "OpenVINO is not installed here. Install it with pip install 'napari-fcn[openvino]'."
        for address, device in self._device_types.items():
            if device != "cpu":
                return f"OpenVINO runs networks on the CPU; the worker {address} runs on {device}. Give --device cpu."
            if self._openvino[address] != own:
                return (
                    f"The worker {address} has {_shown(self._openvino[address])}, this computer has OpenVINO {own}. "
                    "Install the same version there."
                )
        return ""


def _shown(version: str) -> str:
    return f"OpenVINO {version}" if version else "no OpenVINO"
