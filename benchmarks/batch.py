"""Speed of one and two dask workers of one thread, compared with runs without dask.

    python -m benchmarks.batch [--size 2048] [--tile 512] [--rounds 5]

Workers are started and run once before the measurement; then the methods are interleaved, once in every round. Two
plain processes that share the tiles without dask, and send no results, give the upper limit of the machine. The table
gives medians, ratios within rounds, and the largest difference from the probabilities of the first method.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.machine import describe
from napari_fcn.distributed import connect
from napari_fcn.events import ResultsDone, TileDone
from napari_fcn.inference.allocator import mmap_large_arrays
from napari_fcn.io import ImageLocation
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

RESULT = Path(__file__).parent / "results" / "batch.md"
ALONE, ONE, TWO = "this process, 1 thread", "1 worker of 1 thread", "2 workers of 1 thread"
PLAIN = "2 plain processes of 1 thread, nothing sent back"
KIND = "probabilities"


class PlainProcesses:
    """Two processes that each predict every other tile."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = [context.Pipe() for _ in range(2)]
        self._processes = [
            context.Process(target=_serve, args=(remote, path, settings, number), daemon=True)
            for number, (_, remote) in enumerate(self._pipes)
        ]
        for process in self._processes:
            process.start()

    def run(self) -> Iterator:
        """Run both, wait until they are done, and return an empty iterator."""
        for local, _ in self._pipes:
            local.send("run")
        for local, _ in self._pipes:
            local.recv()
        return iter(())

    def close(self) -> None:
        """Stop both."""
        for (local, _), process in zip(self._pipes, self._processes, strict=True):
            local.send("")
            process.join()


def _serve(pipe: Connection, path: Path, settings: PredictSettings, number: int) -> None:
    torch.set_num_threads(1)
    session = Session(np.load(path, mmap_mode="r"), Checkpoint.load(zoo.path_of("nuclei")), settings=settings)
    while pipe.recv():
        with mmap_large_arrays():
            for _ in session.predictor.run(list(session.plan())[number::2], 0):
                pass
        pipe.send("done")


def all_methods(path: Path, settings: PredictSettings, stack: ExitStack) -> dict[str, Callable[[], Iterator]]:
    """Return the methods by name, ready to run."""
    session = Session(np.load(path, mmap_mode="r"), Checkpoint.load(zoo.path_of("nuclei")), settings=settings)
    runs = {ALONE: session.predict}
    for name, address in ((ONE, "local:1x1"), (TWO, "local:2x1")):
        cluster = stack.enter_context(connect(address, settings.device))
        predictor = cluster.predictor_for(session, ImageLocation.from_file(path), settings, [KIND])
        runs[name] = lambda predictor=predictor: predictor.predict(session)
    plain = PlainProcesses(path, settings)
    stack.callback(plain.close)
    runs[PLAIN] = plain.run
    return runs


def measure(run: Callable[[], Iterator], shape: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Return the seconds of a run and its probabilities."""
    out = np.zeros((3, *shape), np.float32)
    start = time.perf_counter()
    for event in run():
        if isinstance(event, TileDone | ResultsDone):
            block = event.probabilities if isinstance(event, TileDone) else event.results[KIND]
            out[(slice(None), *event.region.slices)] = block
    return time.perf_counter() - start, out


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shape = (arguments.size, arguments.size)
    seconds: dict[str, list[float]] = {}
    worst: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "cells.npy"
        np.save(path, cells(shape, seed=1)[0])
        runs = all_methods(path, PredictSettings(tile=(arguments.tile,), device="cpu"), stack)
        first = measure(runs[ALONE], shape)[1]
        for run in runs.values():
            measure(run, shape)  # every worker builds its network once
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                spent, out = measure(run, shape)
                seconds.setdefault(name, []).append(spent)
                if name != PLAIN:
                    worst[name] = max(worst.get(name, 0.0), float(np.abs(out - first).max()))
    lines = [
        f"# {arguments.size} x {arguments.size}, the nuclei model, tiles of {arguments.tile}: workers of one thread",
        f"{describe('cpu')}. Medians of {arguments.rounds} interleaved rounds; ratios are medians within rounds.",
        "| method | median s | speed-up over 1 worker | largest difference |\n|---|---|---|---|",
    ]
    for name, spent in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[ONE], spent, strict=True))
        difference = f"{worst[name]:.1e}" if name in worst else "-"
        lines[-1] += f"\n| {name} | {statistics.median(spent):.2f} | {ratio:.2f} | {difference} |"
    text = "\n\n".join(lines)
    RESULT.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
