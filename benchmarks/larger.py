"""Overhead of results larger than memory: the same run from memory, and from and to OME-Zarr, interleaved.

    python -m benchmarks.larger [--size 2048] [--rounds 7] [--precision float32]

In each round, the model runs on the image in memory without storing results, and on the same image as a zarr array
with classes and probabilities written to pyramids, as the dock does for results larger than memory. The ratio is that
of the medians; the probabilities of both are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.machine import describe
from napari_fcn.events import RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.gui._layers.colorize import most_probable
from napari_fcn.inference.background_writer import BackgroundWriter
from napari_fcn.io import ResultMeta
from napari_fcn.io.incremental_zarr import IncrementalZarr
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

META = ResultMeta(("y", "x"), (1.0, 1.0), ("pixel", "pixel"))


class ZarrResults:
    """Write the results of a run in the same way as the dock, each tile while the next one is computed."""

    def __init__(self, folder: Path, classes: int, shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
        self.probabilities = IncrementalZarr(folder / "p.ome.zarr", "probabilities8", classes, shape, tile, META)
        self.classes = IncrementalZarr(folder / "c.ome.zarr", "classes", 0, shape, tile, META)
        self.writer = BackgroundWriter(self.put)

    def put(self, tile: TileDone) -> None:
        """Store a tile."""
        self.probabilities.put(tile.region, np.rint(tile.probabilities * 255).astype(np.uint8))
        self.classes.put(tile.region, most_probable(tile.probabilities))


def run(session: Session, folder: Path | None) -> float:
    """Return the seconds of a run, with results written to a folder if one is given."""
    shape = session.source.shape
    start, disk = time.perf_counter(), None
    for event in session.predict(Region.whole(shape)):
        if isinstance(event, RunPlanned) and folder is not None:
            disk = ZarrResults(folder, session.spec.classes, shape, event.tile)
        elif isinstance(event, TileDone) and disk is not None:
            disk.writer.put(event)
    if disk is not None:
        disk.writer.wait()
        disk.writer.close()
    return time.perf_counter() - start


def largest_difference(session: Session, folder: Path) -> int:
    """Return the largest difference, in 1/255, between stored probabilities and those of single tiles."""
    stored: Any = zarr.open_array(str(folder / "p.ome.zarr" / "0"), mode="r")
    largest = 0
    for tile in session.plan(512**2):
        expected = np.rint(session.predictor.tile(tile) * 255)
        largest = max(largest, int(np.abs(stored[(slice(None), *tile.core.slices)] - expected).max()))
    return largest


def main() -> None:
    """Measure and print the overhead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    image, model = cells((arguments.size,) * 2, seed=1)[0], Checkpoint.load(zoo.path_of("nuclei"))
    settings = PredictSettings(device="cpu", precision=arguments.precision)
    with tempfile.TemporaryDirectory() as folder:
        file: Any = zarr.create_array(f"{folder}/image.zarr", shape=image.shape, chunks=(512, 512), dtype=image.dtype)
        file[:] = image
        in_memory, on_disk = (Session(data, model, settings=settings) for data in (image, file))
        run(in_memory, None)
        memory, disk = [], []
        for number in range(arguments.rounds):
            memory.append(run(in_memory, None))
            disk.append(run(on_disk, Path(folder) / str(number)))
        difference = largest_difference(in_memory, Path(folder) / "0")
    ratio = statistics.median(disk) / statistics.median(memory)
    print(f"nuclei, {arguments.precision}, {arguments.size} x {arguments.size} px, {describe('cpu')}")
    print(f"from memory {statistics.median(memory):.2f} s, through the disk {statistics.median(disk):.2f} s")
    rounds = ", ".join(f"{d / m:.3f}" for d, m in zip(disk, memory, strict=True))
    print(f"the disk takes {ratio - 1:.1%} more (rounds: {rounds}); largest difference {difference} of 255")


if __name__ == "__main__":
    main()
