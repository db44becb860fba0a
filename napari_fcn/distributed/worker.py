"""Functions that run on a worker of a cluster: check of versions, choice of tiles, prediction of tiles."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
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
    from napari_fcn.models.normalise import AnyScaling
    from napari_fcn.session import Session
    from napari_fcn.settings import PredictSettings

SAME_VERSION = ("napari-fcn", "torch")  # packages on whose version the results depend
READ_SIZES = tuple(2**power for power in range(22, 15, -1))  # pixels; upper limits of a read to choose from


@dataclass(frozen=True, slots=True)
class TileTask:
    """Model, image and settings for the prediction of tiles on a worker.

    Attributes
    ----------
    model : (str, bytes)
        Description and weights, as `Checkpoint.parts`.
    origin : ImageLocation
        Location from which the worker reads the image.
    axes : Axes
        Role of each axis of the image.
    shape : tuple of int
        Shape that the image must have.
    scaling : Scaling or FrameScaling
        Normalisation of the intensities.
    spacing : tuple of float
        Pixel size per axis of the network in micrometres; empty if unknown.
    settings : PredictSettings
        Settings of the prediction.
    kinds : tuple of str
        Kinds of results to return for each tile.
    versions : mapping of str to str
        Versions that the worker must have, as `versions`.
    threads : int, optional
        Threads of torch; if not given, the threads of the worker in dask.
    is_local : bool
        Whether all workers share the GPUs of one computer.
    rgb : bool
        Whether the channels are colours.
    """

    model: tuple[str, bytes]
    origin: ImageLocation
    axes: Axes
    shape: tuple[int, ...]
    scaling: AnyScaling
    spacing: tuple[float, ...]
    settings: PredictSettings
    kinds: tuple[str, ...]
    versions: Mapping[str, str]
    threads: int | None = None
    is_local: bool = False
    rgb: bool = False


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Plan of a prediction on a worker.

    Attributes
    ----------
    tile : tuple of int
        Length of a tile along each image axis.
    device, label, precision, backend : str
        Device as in torch, device and back end for the user, number type, and back end.
    peak : int
        Memory in bytes that a worker is predicted to need.
    """

    tile: tuple[int, ...]
    device: str
    label: str
    precision: str
    peak: int
    backend: str


class TileWorker:
    """A model on an image on a worker, opened at first use; it is pickled as its `TileTask`."""

    def __init__(self, task: TileTask) -> None:
        self.task = task
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[TileWorker], tuple[TileTask]]:
        return TileWorker, (self.task,)

    def predict(self, tile: Tile) -> dict[str, npt.NDArray[np.generic]]:
        """Return the results of a tile. Several threads may read at once; one computes."""
        from napari_fcn.events import TileDone
        from napari_fcn.io.result_kinds import encode
        from napari_fcn.objects import ObjectRule

        predictor, axes = self.predictor, self.task.axes
        block = predictor.read(tile)
        with self._lock:
            self._use_threads()
            probabilities, distance = predictor.split(predictor.predict_parts(tile, block))
            names = [label.name for label in self.session.checkpoint.info.classes]
            rule = ObjectRule.from_class_names(names, axes.image, axes.space)
            return encode(TileDone(tile.core, probabilities, 0, 0, distance=distance), self.task.kinds, rule)

    @property
    def predictor(self) -> Predictor:
        """The network with its image source."""
        with self._lock:
            return self._predictor

    @cached_property
    def _predictor(self) -> Predictor:
        from napari_fcn.inference.constant_blocks import ConstantBlockCache
        from napari_fcn.inference.predictor import Predictor

        session = self.session
        backend = ConstantBlockCache(session.backend)
        predictor = Predictor(backend, session.network_source, self.task.scaling)
        return predictor.with_resampling(session.resampled_tiling).with_plan(session.plan())

    @cached_property
    def session(self) -> Session:
        """The model on the image.

        Raises
        ------
        ClusterError
            If the worker has other versions of the packages in `SAME_VERSION`.
        ImageError
            If the worker cannot read the image, or it has another shape.
        """
        from napari_fcn.models.checkpoint import Checkpoint
        from napari_fcn.session import Session

        task = self.task
        if differences := version_differences(versions(), task.versions):
            raise ClusterError(f"The worker {_worker().address} has {differences}. Install the same version there.")
        try:
            image = task.origin.read()
        except ImageError as error:
            raise ImageError(
                f"The worker {_worker().address} cannot read the image ({error}) Workers need it at the same path as "
                "this computer: put it on a disk that all of them share."
            ) from error
        if tuple(image.data.shape) != task.shape:
            raise ImageError(
                f"The worker {_worker().address} finds an image of {image.data.shape} at {image.path}; here it is "
                f"{task.shape}. Put the image on a disk that all computers share."
            )
        settings = replace(task.settings, device=self._device())
        model = Checkpoint.from_parts(*task.model)
        return Session(image.data, model, task.axes, settings, task.rgb, task.spacing)

    def _device(self) -> str:
        """Return the device of this worker; local workers have a GPU each."""
        from napari_fcn.inference.device import pick_device

        requested = self.task.settings.device
        device, name = pick_device(requested), str(_worker().name)
        if not self.task.is_local or device.type != "cuda" or ":" in requested or not name.isdigit():
            return str(device)
        import torch

        return f"cuda:{int(name) % torch.cuda.device_count()}"

    def _use_threads(self) -> None:
        import torch

        threads = _worker().state.nthreads if self.task.threads is None else self.task.threads
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()


def predict_tile(worker: TileWorker, tile: Tile) -> dict[str, npt.NDArray[np.generic]]:
    """Return the results of a tile; a function, so that it can be submitted."""
    return worker.predict(tile)


def plan_workers(worker: TileWorker, workers: int, per_host: int) -> WorkerPlan:
    """Return the plan that is fastest for a number of workers.

    Parameters
    ----------
    worker : TileWorker
        The model on the image.
    workers : int
        Number of workers.
    per_host : int
        Number of workers that share the memory of a computer.
    """
    from napari_fcn.inference.budget import largest_run_budget
    from napari_fcn.inference.memory import budget, cost, run_bytes
    from napari_fcn.settings import MIN_MEMORY

    session = worker.session
    device = session.device
    is_default = session.settings.memory is None and device.type == "cpu"
    allowed: float = largest_run_budget(per_host) if is_default else budget(device, session.settings.memory, per_host)
    if limit := getattr(_worker().memory_manager, "memory_limit", None):
        allowed = min(allowed, limit / 2)
    session.settings = replace(session.settings, memory=max(MIN_MEMORY, allowed / 2**30))
    plans = [session.plan()] if session.settings.tile else [session.plan(), *map(session.plan, READ_SIZES)]
    best = min(plans, key=lambda plan: cost(plan, device) / len(plan) * ceil(len(plan) / workers))
    precision = str(session.dtype).removeprefix("torch.")
    peak = run_bytes(session.spec, best, session.dtype, device)
    choice = session.backend_choice
    return WorkerPlan(best.tile, str(device), choice.label(device), precision, peak, choice.name)


def worker_info(device: str) -> dict[str, str]:
    """Return the versions of a worker, and the type of the device that it would use for the setting ``device``.

    The version of OpenVINO is empty if it is not installed.
    """
    from napari_fcn.inference.device import pick_device

    try:
        device_type = pick_device(device).type
    except DeviceError as error:
        raise ClusterError(str(error)) from error
    return {**versions(), "device": device_type, "openvino": openvino_version()}


def openvino_version() -> str:
    """Return the version of OpenVINO, empty if it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Return the versions of the packages in `SAME_VERSION`, without build labels such as ``+cu121``."""
    return {name: version(name).partition("+")[0] for name in SAME_VERSION}


def version_differences(remote: Mapping[str, str], local: Mapping[str, str]) -> str:
    """Return the versions of a worker that differ from those of this computer, as a clause; empty if none."""
    return "; ".join(f"{name} {remote[name]}, here {own}" for name, own in local.items() if remote[name] != own)
