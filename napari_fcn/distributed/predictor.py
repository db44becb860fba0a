"""Prediction of one image by the workers of a cluster."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_fcn.distributed.worker import TileTask, TileWorker, WorkerPlan, plan_workers, predict_tile
from napari_fcn.errors import ClusterError, FcnError
from napari_fcn.events import ResultsDone, RunDone, RunPlanned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from distributed import Client, Future

    from napari_fcn.distributed.cluster import Cluster
    from napari_fcn.geometry import Region, Tile, TilePlan
    from napari_fcn.session import Session

POLL_INTERVAL = 1  # seconds between two checks for new and lost workers
TRANSFER_TIMEOUT = 30  # seconds for a result to arrive
RETRIES = 2  # of a tile that failed; how often a worker may die is a setting of dask
TILES_PER_THREAD = 2  # submitted at a time, so that workers are always busy


class DistributedPredictor:
    """A model on an image, predicted tile by tile by the workers of a cluster.

    Parameters
    ----------
    cluster : Cluster
        The workers.
    client : distributed.Client
        Connection to their scheduler.
    task : TileTask
        Model, image and settings.

    Attributes
    ----------
    planned : WorkerPlan
        Fastest tile for these workers, device and precision.
    """

    def __init__(self, cluster: Cluster, client: Client, task: TileTask) -> None:
        self._cluster, self._client, self._task = cluster, client, task
        self._workers = cluster.require_workers()
        self._worker = self._submit_worker()
        hosts = Counter(address.rpartition(":")[0] for address in self._workers)
        self.planned: WorkerPlan = _result(
            self._submit(plan_workers, self._worker, len(self._workers), max(hosts.values())), None
        )

    def _submit_worker(self) -> Future[Any]:
        """Submit the task; it is sent to each worker once, with its first tile."""
        return self._submit(TileWorker, self._task)

    def predict(
        self, session: Session, done: Collection[Region] = (), plan: TilePlan | None = None
    ) -> Iterator[RunPlanned | ResultsDone | RunDone]:
        """Yield the plan, the results of the tiles in the order of completion, and the end.

        Parameters
        ----------
        session, done, plan
            As for `Session.predict`.

        Raises
        ------
        FcnError
            If a tile fails repeatedly, or no worker is left.
        """
        start = time.monotonic()
        tiles = plan or session.plan()
        remaining = [tile for tile in tiles if tile.core not in done]
        total, planned = len(tiles), self.planned
        label = f"{planned.label}, workers: {len(self._workers)}"
        notes = (*session.notes, *self._cluster.refused.values())
        resumed = total - len(remaining)
        yield RunPlanned(total, tiles.tile, tiles.halo, label, planned.precision, planned.peak, notes, resumed)
        for number, (tile, results) in enumerate(self._predict_tiles(remaining), start=resumed + 1):
            yield ResultsDone(tile.core, results, number, total)
        new_notes = tuple(text for text in self._cluster.refused.values() if text not in notes)
        yield RunDone(tiles.area.size, time.monotonic() - start, label, planned.precision, new_notes)

    def _predict_tiles(self, tiles: list[Tile]) -> Iterator[tuple[Tile, dict[str, Any]]]:
        """Yield tiles with their results, in the order of completion; workers may join and die meanwhile."""
        from distributed import wait
        from distributed.client import FutureCancelledError

        waiting = tiles[::-1]
        running: dict[Future[Any], Tile] = {}
        last_poll = time.monotonic()
        try:
            while waiting or running:
                if time.monotonic() - last_poll > POLL_INTERVAL:
                    waiting += self._update_workers(running)
                    last_poll = time.monotonic()
                while waiting and len(running) < TILES_PER_THREAD * sum(self._workers.values()):
                    tile = waiting.pop()
                    running[self._submit(predict_tile, self._worker, tile)] = tile
                try:
                    with self._client.as_current():
                        finished = wait(list(running), timeout=POLL_INTERVAL, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    continue
                except FutureCancelledError:
                    finished = [future for future in running if future.status == "cancelled"]
                for future in finished:
                    if results := self._collect(future):
                        yield running.pop(future), results
                    elif results is None:
                        waiting.append(running.pop(future))
        finally:
            self._cancel(running)

    def _collect(self, future: Future[Any]) -> dict[str, Any] | None:
        """Return the results of a tile; {} if dask computes them again; None if the tile must be submitted again."""
        if future.status == "cancelled":  # by the scheduler
            return None
        try:
            results: dict[str, Any] = _result(future)
        except TimeoutError:
            return {}
        except ClusterError:
            before = len(self._cluster.refused)
            self._cluster.workers()
            if len(self._cluster.refused) == before:
                raise
            return None  # it failed on a worker that was refused just now
        return results

    def _update_workers(self, running: dict[Future[Any], Tile]) -> list[Tile]:
        """Update the usable workers; return the tiles to submit again because all their workers are gone."""
        before, self._workers = self._workers, self._cluster.require_workers()
        if not self._cluster.refused or set(before) & set(self._workers):
            return []
        lost = list(running.values())  # bound to the former workers
        self._cancel(running)
        self._worker = self._submit_worker()
        return lost

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Submit a function call; it is bound to the usable workers only if others are refused."""
        workers = list(self._workers) if self._cluster.refused else None
        return self._client.submit(function, *arguments, workers=workers, retries=RETRIES, pure=False)

    def _cancel(self, running: dict[Future[Any], Tile]) -> None:
        self._client.cancel(list(running), force=True)
        running.clear()


def _result(future: Future[Any], timeout: float | None = TRANSFER_TIMEOUT) -> Any:
    """Return the result of a future.

    Raises
    ------
    FcnError
        If its task failed.
    TimeoutError
        If the result does not arrive within ``timeout`` seconds.
    """
    error = future.exception(timeout=timeout)
    if error is None:
        return future.result(timeout=timeout)
    if isinstance(error, FcnError):
        raise error
    if type(error).__name__ == "KilledWorker":
        raise ClusterError(
            f"A tile killed its worker repeatedly ({error}) Usually memory runs out: give workers more memory, "
            "or set a smaller --tile."
        ) from error
    raise ClusterError(f"A worker failed: {type(error).__name__}: {error}. See its output for details.") from error
