"""One worker process beside two, of one thread each, and what a run without dask takes: the same tiles, in turn.

    python -m benchmarks.batch [--size 2048] [--tile 512] [--rounds 5]

Workers are started before and answer once; then each contestant runs once in every round. Two plain processes that
share the tiles without dask, and send nothing back, are what the machine has to give. The table gives medians, ratios
within rounds, and the largest difference from the first contestant's probabilities.
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


class Plain:
    """Two processes that each answer every other tile."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends = [context.Pipe() for _ in range(2)]
        self._processes = [
            context.Process(target=_serve, args=(end[1], path, settings, number), daemon=True)
            for number, end in enumerate(self._ends)
        ]
        for process in self._processes:
            process.start()

    def run(self) -> Iterator:
        """Yield nothing, once both have answered."""
        for here, _ in self._ends:
            here.send("run")
        for here, _ in self._ends:
            here.recv()
        return iter(())

    def close(self) -> None:
        """End both."""
        for (here, _), process in zip(self._ends, self._processes, strict=True):
            here.send("")
            process.join()


def _serve(end: Connection, path: Path, settings: PredictSettings, number: int) -> None:
    torch.set_num_threads(1)
    session = Session(np.load(path, mmap_mode="r"), Checkpoint.load(zoo.path_of("nuclei")), settings=settings)
    while end.recv():
        with mmap_large_arrays():
            for _ in session.predictor.run(list(session.plan())[number::2], 0):
                pass
        end.send("done")


def contestants(path: Path, settings: PredictSettings, stack: ExitStack) -> dict[str, Callable[[], Iterator]]:
    """Return what answers, ready to run."""
    session = Session(np.load(path, mmap_mode="r"), Checkpoint.load(zoo.path_of("nuclei")), settings=settings)
    runs = {ALONE: session.predict}
    for name, where in ((ONE, "local:1x1"), (TWO, "local:2x1")):
        cluster = stack.enter_context(connect(where, settings.device))
        hired = cluster.predictor_for(session, ImageLocation.from_file(path), settings, [KIND])
        runs[name] = lambda hired=hired: hired.predict(session)
    plain = Plain(path, settings)
    stack.callback(plain.close)
    runs[PLAIN] = plain.run
    return runs


def answer(run: Callable[[], Iterator], shape: tuple[int, ...]) -> tuple[float, np.ndarray]:
    """Return the seconds of a run and its probabilities."""
    out = np.zeros((3, *shape), np.float32)
    start = time.perf_counter()
    for event in run():
        if isinstance(event, TileDone | ResultsDone):
            block = event.probabilities if isinstance(event, TileDone) else event.results[KIND]
            out[(slice(None), *event.region.slices)] = block
    return time.perf_counter() - start, out


def main() -> None:
    """Measure, print and keep the table."""
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
        runs = contestants(path, PredictSettings(tile=(arguments.tile,), device="cpu"), stack)
        first = answer(runs[ALONE], shape)[1]
        for run in runs.values():
            answer(run, shape)  # every worker builds its network once
        for _ in range(arguments.rounds):
            for name, run in runs.items():
                spent, out = answer(run, shape)
                seconds.setdefault(name, []).append(spent)
                if name != PLAIN:
                    worst[name] = max(worst.get(name, 0.0), float(np.abs(out - first).max()))
    lines = [
        f"# {arguments.size} x {arguments.size}, the nuclei model, tiles of {arguments.tile}: workers of one thread",
        f"{describe('cpu')}. Medians of {arguments.rounds} interleaved rounds; ratios are medians within rounds.",
        "| contestant | median s | times as fast as 1 worker | largest difference |\n|---|---|---|---|",
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
