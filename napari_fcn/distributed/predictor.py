"""Workers that answer the tiles of one image."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_fcn.distributed.worker import TileTask, TileWorker, WorkerPlan, plan_workers, predict_tile
from napari_fcn.errors import ClusterError, FcnError
from napari_fcn.events import ResultsDone, RunDone, RunPlanned
from napari_fcn.geometry import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from distributed import Client, Future

    from napari_fcn.distributed.cluster import Cluster
    from napari_fcn.geometry import Tile, TilePlan
    from napari_fcn.session import Session

GLANCE = 1  # seconds after which it is looked whether workers came or went
TRANSFER = 30  # seconds for a result to arrive, after which it is looked whether its worker has gone
RETRIES = 2  # how often a tile that failed is tried again; how often its worker may die is dask's setting
AHEAD = 2  # tiles on their way to each thread of a worker, so that it never waits


class DistributedPredictor:
    """Workers with an order.

    Attributes
    ----------
    planned : WorkerPlan
        Tiles with which they are done soonest, device and precision.
    """

    def __init__(self, cluster: Cluster, client: Client, order: TileTask) -> None:
        self._cluster, self._client, self._order = cluster, client, order
        self._workers = cluster.require_workers()
        self._worker = self._engage()
        hosts = Counter(address.rpartition(":")[0] for address in self._workers)
        self.planned: WorkerPlan = _result(
            self._submit(plan_workers, self._worker, len(self._workers), max(hosts.values())), None
        )

    def _engage(self) -> Future[Any]:
        """Let the scheduler know the order; it goes to each worker once, with the first tile."""
        return self._submit(TileWorker, self._order)

    def predict(
        self, session: Session, done: Collection[Region] = (), plan: TilePlan | None = None
    ) -> Iterator[RunPlanned | ResultsDone | RunDone]:
        """Yield the plan, the results of each tile as they come, and the end; parameters as for `Session.predict`.

        Raises
        ------
        FcnError
            If a tile fails again and again, or no worker is left.
        """
        start = time.monotonic()
        tiles = plan or session.plan()
        left = [tile for tile in tiles if tile.core not in done]
        total, told = len(tiles), self.planned
        label = f"{told.label}, workers: {len(self._workers)}"
        notes = (*session.notes, *self._cluster.refused.values())
        before = total - len(left)
        yield RunPlanned(total, tiles.tile, tiles.halo, label, told.precision, told.peak, notes, before)
        for number, (tile, results) in enumerate(self._answers(left), start=before + 1):
            yield ResultsDone(tile.core, results, number, total)
        late = tuple(text for text in self._cluster.refused.values() if text not in notes)
        yield RunDone(Region.whole(tiles.shape).size, time.monotonic() - start, label, told.precision, late)

    def _answers(self, tiles: list[Tile]) -> Iterator[tuple[Tile, dict[str, Any]]]:
        """Yield tiles with their results, as they come; workers may die and join."""
        from distributed import wait
        from distributed.client import FutureCancelledError

        waiting = tiles[::-1]
        running: dict[Future[Any], Tile] = {}
        glanced = time.monotonic()
        try:
            while waiting or running:
                if time.monotonic() - glanced > GLANCE:
                    waiting += self._look_around(running)
                    glanced = time.monotonic()
                while waiting and len(running) < AHEAD * sum(self._workers.values()):
                    tile = waiting.pop()
                    running[self._submit(predict_tile, self._worker, tile)] = tile
                try:
                    with self._client.as_current():
                        finished = wait(list(running), timeout=GLANCE, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    continue
                except FutureCancelledError:
                    finished = [future for future in running if future.status == "cancelled"]
                for future in finished:
                    if results := self._collected(future):
                        yield running.pop(future), results
                    elif results is None:
                        waiting.append(running.pop(future))
        finally:
            self._drop(running)

    def _collected(self, future: Future[Any]) -> dict[str, Any] | None:
        """Return the results of a tile; {} if they are lost and made again; None if it is to be asked for anew."""
        if future.status == "cancelled":  # the scheduler has forgotten it
            return None
        try:
            found: dict[str, Any] = _result(future)
        except TimeoutError:
            return {}
        except ClusterError:
            before = len(self._cluster.refused)
            self._cluster.workers()
            if len(self._cluster.refused) == before:
                raise
            return None  # a worker that has just been refused had got it
        return found

    def _look_around(self, running: dict[Future[Any], Tile]) -> list[Tile]:
        """Note which workers there are; return the tiles that none of them will answer any more."""
        before, self._workers = self._workers, self._cluster.require_workers()
        if not self._cluster.refused or set(before) & set(self._workers):
            return []
        lost = list(running.values())  # they were for workers that have gone
        self._drop(running)
        self._worker = self._engage()
        return lost

    def _submit(self, task: Callable[..., Any], *given: Any) -> Future[Any]:
        """Let a worker do something: any, as dask sees fit, unless there are some that cannot be used."""
        workers = list(self._workers) if self._cluster.refused else None
        return self._client.submit(task, *given, workers=workers, retries=RETRIES, pure=False)

    def _drop(self, running: dict[Future[Any], Tile]) -> None:
        self._client.cancel(list(running), force=True)
        running.clear()


def _result(future: Future[Any], patience: float | None = TRANSFER) -> Any:
    """Return what a task gave.

    Raises
    ------
    FcnError
        If it failed.
    TimeoutError
        If it does not arrive in the given seconds.
    """
    error = future.exception(timeout=patience)
    if error is None:
        return future.result(timeout=patience)
    if isinstance(error, FcnError):
        raise error
    if type(error).__name__ == "KilledWorker":
        raise ClusterError(
            f"A tile killed its worker repeatedly ({error}) Usually memory runs out: give workers more memory, "
            "or set a smaller --tile."
        ) from error
    raise ClusterError(f"A worker failed: {type(error).__name__}: {error}. See its output for details.") from error
