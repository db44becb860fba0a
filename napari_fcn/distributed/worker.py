"""What a worker of a cluster does; it knows nothing of the others."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from math import ceil
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import ClusterError, DeviceError, ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Axes, Tile
    from napari_fcn.inference.predictor import Predictor
    from napari_fcn.io import ImageLocation
    from napari_fcn.models.normalise import Scaling
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings

ALIKE = ("napari-fcn", "torch")  # what a worker must have in the same version: it decides about the numbers
READS = tuple(2**power for power in range(22, 15, -1))  # pixels of the largest reads that are compared


@dataclass(frozen=True, slots=True)
class TileTask:
    """All that a worker needs to answer tiles of an image.

    Attributes
    ----------
    model : (str, bytes)
        Description and weights, as `Checkpoint.parts`.
    origin : ImageLocation
        How the image is read; the worker reads it itself.
    axes : Axes
        Role of each of its axes.
    shape : tuple of int
        Its shape: what the worker finds must be the same.
    scaling : Scaling
        How its intensities are scaled.
    spacing : tuple of float
        Its pixel size per axis of the network in micrometres; empty if it is not known.
    settings : PredictSettings
        How to run.
    kinds : tuple of str
        Results that are wanted of each tile.
    versions : mapping of str to str
        What the worker must have, by `versions`.
    threads : int, optional
        Threads to compute with; without it as many as the worker has.
    is_local : bool
        Whether all workers share the GPUs of one computer.
    rgb : bool
        Whether the channels are colours.
    """

    model: tuple[str, bytes]
    origin: ImageLocation
    axes: Axes
    shape: tuple[int, ...]
    scaling: Scaling
    spacing: tuple[float, ...]
    settings: PredictSettings
    kinds: tuple[str, ...]
    versions: Mapping[str, str]
    threads: int | None = None
    is_local: bool = False
    rgb: bool = False


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """How a worker would run.

    Attributes
    ----------
    tile : tuple of int
        Length of a tile along each image axis.
    device, label, precision : str
        Where, in the words of torch and of people, and in which numbers.
    peak : int
        Bytes that it needs for that.
    """

    tile: tuple[int, ...]
    device: str
    label: str
    precision: str
    peak: int


class TileWorker:
    """A model and an image on a worker, ready when they are first needed; it travels as an order."""

    def __init__(self, order: TileTask) -> None:
        self.task = order
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[TileWorker], tuple[TileTask]]:
        return TileWorker, (self.task,)

    def predict(self, tile: Tile) -> dict[str, npt.NDArray[np.generic]]:
        """Return the results of a tile. Several threads may read; one computes."""
        from napari_fcn.io.result_kinds import encode

        predictor = self.predictor
        block = predictor.read(tile)
        with self._lock:
            self._use_threads()
            return encode(predictor.predict(tile, block), self.task.kinds)

    @property
    def predictor(self) -> Predictor:
        """The network, ready to run on the image."""
        with self._lock:
            return self._predictor

    @cached_property
    def _predictor(self) -> Predictor:
        from napari_fcn.inference.predictor import Predictor

        session = self.session
        return Predictor(session.torch_backend, session.network_source, self.task.scaling).with_resampling(
            session.resampled_tiling
        )

    @cached_property
    def session(self) -> Session:
        """The model on the image.

        Raises
        ------
        ClusterError
            If the worker has another version of what decides about the numbers.
        ImageError
            If it cannot read the image, or finds another one.
        """
        from napari_fcn.models.checkpoint import Checkpoint
        from napari_fcn.session import Session

        order = self.task
        if wrong := differing(versions(), order.versions):
            raise ClusterError(f"The worker {_worker().address} has {wrong}. Install the same version there.")
        try:
            image = order.origin.read()
        except ImageError as error:
            raise ImageError(
                f"The worker {_worker().address} cannot read the image ({error}) Workers need it at the same path as "
                "this computer: put it on a disk that all of them share."
            ) from error
        if tuple(image.data.shape) != order.shape:
            raise ImageError(
                f"The worker {_worker().address} finds an image of {image.data.shape} at {image.path}; here it is "
                f"{order.shape}. Put the image on a disk that all computers share."
            )
        settings = replace(order.settings, device=self._device())
        model = Checkpoint.from_parts(*order.model)
        return Session(image.data, model, order.axes, settings, order.rgb, order.spacing)

    def _device(self) -> str:
        """Return the device of this worker: of several GPUs of one computer, each worker has its own."""
        from napari_fcn.inference.device import pick_device

        asked = self.task.settings.device
        device, name = pick_device(asked), str(_worker().name)
        if not self.task.is_local or device.type != "cuda" or ":" in asked or not name.isdigit():
            return str(device)
        import torch

        return f"cuda:{int(name) % torch.cuda.device_count()}"

    def _use_threads(self) -> None:
        import torch

        wanted = _worker().state.nthreads if self.task.threads is None else self.task.threads
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()


def predict_tile(worker: TileWorker, tile: Tile) -> dict[str, npt.NDArray[np.generic]]:
    """Return the results of a tile: the task of a worker."""
    return worker.predict(tile)


def plan_workers(worker: TileWorker, workers: int, share: int) -> WorkerPlan:
    """Return the tiles with which a number of workers are done soonest.

    Parameters
    ----------
    worker : TileWorker
        The model and the image.
    workers : int
        How many there are.
    share : int
        How many of them are on this computer, and share its memory.
    """
    from napari_fcn.inference import device as devices
    from napari_fcn.inference.memory import budget, cost, run_bytes
    from napari_fcn.settings import MIN_MEMORY

    session = worker.session
    device = session.device
    allowed = budget(device, session.settings.memory) / (share if device.type == "cpu" else 1)
    if limit := getattr(_worker().memory_manager, "memory_limit", None):
        allowed = min(allowed, limit / 2)
    session.settings = replace(session.settings, memory=max(MIN_MEMORY, allowed / 2**30))
    plans = [session.plan()] if session.settings.tile else [session.plan(), *map(session.plan, READS)]
    best = min(plans, key=lambda one: cost(one, device) / len(one) * ceil(len(one) / workers))
    precision = str(session.dtype).removeprefix("torch.")
    peak = run_bytes(session.spec, best, session.dtype, device)
    return WorkerPlan(best.tile, str(device), devices.label(device), precision, peak)


def worker_facts(device: str) -> dict[str, str]:
    """Return what a worker must have in common with the others; ``device`` is the one asked for."""
    from napari_fcn.inference.device import pick_device

    try:
        kind = pick_device(device).type
    except DeviceError as error:
        raise ClusterError(str(error)) from error
    return {**versions(), "device": kind}


def versions() -> dict[str, str]:
    """Return the versions on which the numbers depend, without the word that tells builds for GPUs apart."""
    return {name: version(name).partition("+")[0] for name in ALIKE}


def differing(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return which versions of a worker are not those of this computer; "" if none."""
    return "; ".join(f"{name} {there[name]}, here {own}" for name, own in here.items() if there[name] != own)
