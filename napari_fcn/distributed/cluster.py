"""Workers that come and go: started here, or known to a scheduler."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_fcn.distributed.predictor import DistributedPredictor
from napari_fcn.distributed.worker import TileTask, differing, versions, worker_facts
from napari_fcn.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from distributed import Client, LocalCluster

    from napari_fcn.io import ImageLocation
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings

CONNECT = 5  # seconds in which a scheduler must answer
GONE = "5s"  # after which a process of this computer that does not answer is taken for dead
PATIENCE = 60  # seconds without a worker after which there is no use in waiting
LOCAL = re.compile(r"local:(\d+)(?:x(\d+))?")
SPAWN = {  # processes of this computer get their threads with the order, and keep freed memory: see allocator.py
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}


@contextmanager
def connect(where: str, device: str = "auto") -> Iterator[Cluster]:
    """Connect to a dask scheduler, or start workers on this computer, while the block runs.

    Parameters
    ----------
    where : str
        Address of a scheduler (``tcp://host:8786``), or ``local:N`` for N processes here; ``local:NxT`` lets each of
        them compute with T threads instead of its share of the processor.
    device : str
        Where the workers are to run the network.

    Raises
    ------
    ClusterError
        If dask is not installed, the scheduler does not answer, or there is no worker that can be used.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            f"--scheduler needs dask ({error}). Install it with pip install 'napari-fcn[distributed]'."
        ) from error
    with ExitStack() as stack:
        local = LOCAL.fullmatch(where)
        address: Any = where
        threads = None
        if local:
            address, threads = stack.enter_context(_started(int(local[1]), local[2], device))
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT, set_as_default=False))
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"No dask scheduler responds at {where} within {CONNECT} s. Check its address (such as "
                "tcp://host:8786), that it is running, and that no firewall is in between; or give local:2 for two "
                "processes on this computer."
            ) from error
        cluster = Cluster(client, device, threads, local is not None)
        cluster.require_workers()
        yield cluster


@contextmanager
def _started(count: int, threads: str | None, device: str) -> Iterator[tuple[Any, int]]:
    """Start workers on this computer; yield their cluster, and how many threads each computes with."""
    import dask
    from distributed import LocalCluster

    from napari_fcn.inference.device import pick_device

    if not count:
        raise ClusterError("local:0 has no worker. Give local:2 for two processes on this computer.")
    if pick_device(device).type == "cuda":
        import torch

        if count > (gpus := torch.cuda.device_count()):
            raise ClusterError(
                f"local:{count} was asked for and there are {gpus} GPUs: a GPU serves one worker. Give local:{gpus}, "
                "or --device cpu."
            )
    share = int(threads) if threads else max(1, (os.cpu_count() or 1) // count)
    options = {"processes": True, "dashboard_address": "127.0.0.1:0", "memory_limit": 0, "silence_logs": 50}
    with (
        _kept_environment(),
        dask.config.set({"distributed.nanny.pre-spawn-environ": SPAWN, "distributed.comm.timeouts.connect": GONE}),
        # one thread reads, one computes
        running_workers(LocalCluster(n_workers=count, threads_per_worker=2, **options)) as cluster,
    ):
        yield cluster, share


@contextmanager
def running_workers(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Close a cluster of this computer at the end; workers that a busy computer ends late are no error by then."""
    try:
        yield cluster
    finally:
        with suppress(TimeoutError):
            cluster.close()


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Leave the environment as it was: what dask puts there for its workers, other processes would inherit."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


class Cluster:
    """Workers that answer tiles.

    Parameters
    ----------
    client : distributed.Client
        The connection to the scheduler.
    device : str
        Where they are to run the network.
    threads : int, optional
        Threads with which each computes; without it as many as dask says that it has.
    is_local : bool
        Whether they are processes that were started here.
    """

    def __init__(self, client: Client, device: str = "auto", threads: int | None = None, is_local: bool = False):
        self._client, self._device, self._threads, self._is_local = client, device, threads, is_local
        self._kinds: dict[str, str] = {}  # address -> type of device, of workers that can be used
        self.refused: dict[str, str] = {}  # address -> why not

    def require_workers(self) -> dict[str, int]:
        """Return the workers that can be used now, and how many threads each has, waiting for the first.

        Raises
        ------
        ClusterError
            If there is none for a minute, or none that can be used.
        """
        end = time.monotonic() + PATIENCE
        while not (found := self.workers()):
            useless = [address for address in self._present() if address in self.refused]
            if useless and not self._kinds:
                raise ClusterError(" ".join(self.refused.values()))
            try:
                self._client.wait_for_workers(len(useless) + 1, timeout=max(0, end - time.monotonic()))
            except TimeoutError as error:
                raise ClusterError(
                    f"The scheduler has had no worker that can be used for {PATIENCE} s. Start some (dask worker "
                    "ADDRESS), and look into their output if they end by themselves."
                ) from error
        return found

    def workers(self) -> dict[str, int]:
        """Return the workers that can be used now, and how many threads each has; new ones are asked what they have.

        Raises
        ------
        ClusterError
            If the connection to the scheduler is lost.
        """
        try:
            present = self._present()
            new = [address for address in present if address not in self._kinds and address not in self.refused]
            facts = self._client.run(worker_facts, self._device, workers=new, on_error="return") if new else {}
        except (OSError, RuntimeError) as error:
            raise ClusterError(
                f"The connection to the scheduler was lost ({error}). Check that it is running, then continue with "
                "--resume."
            ) from error
        for address in facts:
            self._check_worker(address, facts[address])
        return {address: int(present[address]["nthreads"]) for address in present if address in self._kinds}

    def _present(self) -> dict[str, Any]:
        """Return what the scheduler says of each worker, by its address."""
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _check_worker(self, address: str, facts: Mapping[str, str] | BaseException) -> None:
        """Note whether a worker can be used."""
        if isinstance(facts, OSError):  # it has gone again
            return
        if isinstance(facts, BaseException):
            what = "has no napari-fcn" if isinstance(facts, ImportError) else "cannot be used"
            self.refused[address] = f"The worker {address} {what} ({facts}). Install napari-fcn there as here."
            return
        if wrong := differing(facts, versions()):
            self.refused[address] = f"The worker {address} has {wrong}. Install the same version there."
            return
        kinds = set(self._kinds.values()) or {facts["device"]}
        if facts["device"] not in kinds:
            self.refused[address] = (
                f"The worker {address} runs on {facts['device']}, others on {', '.join(kinds)}: their predictions "
                "would differ. Give --device."
            )
            return
        self._kinds[address] = facts["device"]

    def predictor_for(
        self, session: Session, origin: ImageLocation, settings: PredictSettings, kinds: Collection[str]
    ) -> DistributedPredictor:
        """Return the workers with an order: to answer tiles of an image.

        Parameters
        ----------
        session : Session
            The model on the image, as this computer sees it.
        origin : ImageLocation
            How workers read the image.
        settings : PredictSettings
            How they run.
        kinds : collection of str
            Results that are wanted of each tile.
        """
        order = TileTask(
            session.checkpoint.parts(),
            origin,
            session.axes,
            tuple(session.source.array.shape),
            session.scaling,
            session.spacing,
            replace(settings, device=self._device, head="taught"),  # the head was chosen here
            tuple(kinds),
            versions(),
            self._threads,
            self._is_local,
            session.rgb,
        )
        return DistributedPredictor(self, self._client, order)
