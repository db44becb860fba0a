"""What a watched run costs, and how soon it shows something: previews and tiles of the Segment dock.

    python -m benchmarks.live [--data ../shared/data] [--runs 3]

The first table is computed from the plans of 12 images: the pixels that are read relative to those of the fastest
tiles, previews included, and the time to the first prediction on screen. The rule before previews (reads of at most
2^19 pixels) is given for comparison. The second table is measured on real images, in a thread as in the dock: watched
and unwatched runs by turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.machine import describe
from napari_fcn.events import PreviewDone, TileDone
from napari_fcn.geometry import Region
from napari_fcn.inference.previews import Preview, PreviewPlanner
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.zoo import path_of
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

RESULTS = Path(__file__).parent / "results" / "live.md"
EARLIER_READ = 2**19  # pixels, of the rule before previews
TZYX = ("t", "z", "y", "x")
CASES = {  # model, shape, axes of the image
    "image, 2048 x 2048": ("nuclei", (2048, 2048), TZYX[2:]),
    "image, 6000 x 4000": ("nuclei", (6000, 4000), TZYX[2:]),
    "slide, 12288 x 12288": ("nuclei", (12288, 12288), TZYX[2:]),
    "slide, 40000 x 40000": ("nuclei", (40000, 40000), TZYX[2:]),
    "strip, 300 x 20000": ("membranes", (300, 20000), TZYX[2:]),
    "stack, 30 planes of 512 x 512": ("nuclei", (30, 512, 512), TZYX[1:]),
    "stack, 20 planes of 4096 x 4096": ("nuclei", (20, 4096, 4096), TZYX[1:]),
    "movie, 24 frames of 1022 x 560": ("cells-video", (24, 1022, 560), ("t", "y", "x")),
    "movie, 200 frames of 512 x 512": ("cells-video", (200, 512, 512), ("t", "y", "x")),
    "volume, 50 x 250 x 250": ("membranes-3d", (50, 250, 250), TZYX[1:]),
    "volume, 64 x 512 x 512": ("nuclei-3d", (64, 512, 512), TZYX[1:]),
    "movie of volumes, 8 x 64 x 1024 x 1024": ("nuclei-3d", (8, 64, 1024, 1024), TZYX),
}
REAL = {  # file of the shared data, model, axes
    "t98g_video": ("t98g_video/seq_image.tif", "cells-video", ("t", "y", "x")),
    "flyem_fibsem": ("flyem_fibsem/val_image.tif", "membranes-3d", TZYX[1:]),
}


def middle_plane(shape: tuple[int, ...]) -> Region:
    """Return what is on screen: the middle of each axis but the last two, which are shown whole."""
    start = [n // 2 for n in shape[:-2]]
    return Region((*start, 0, 0), (*(i + 1 for i in start), *shape[-2:]))


def new_session(pixels: np.ndarray, model: str, axes: tuple[str, ...]) -> Session:
    """Return a session on the CPU with 2 GiB of memory."""
    settings = PredictSettings(device="cpu", precision="float32", memory=2.0)
    return Session(pixels, Checkpoint.load(path_of(model)), axes, settings)


def pixels_per_second(model: str) -> float:
    """Return the speed of a network on a small block."""
    checkpoint = Checkpoint.load(path_of(model))
    shape = (20, 160, 160)[-checkpoint.info.spec.ndim :] if checkpoint.info.spec.ndim == 3 else (512, 512)
    session = new_session(np.zeros(shape, np.uint8), model, TZYX[-len(shape) :])
    list(session.predict())
    start = time.perf_counter()
    list(session.predict())
    return float(np.prod(shape)) / (time.perf_counter() - start)


def planned(name: str, speed: float) -> str:
    """Return the row of a planned image."""
    model, shape, axes = CASES[name]
    session = new_session(np.broadcast_to(np.uint8(3), shape), model, axes)
    visible, planner, clock, first = middle_plane(shape), session._planner, [0.0], 0.0
    fastest, live = session.plan(), session.live_plan()
    extra, first_read = planner.preview_pixels(live, None)
    tiles = PreviewPlanner(live, lambda: visible, extra, first_read, planner.preview_work, clock=lambda: clock[0])
    for tile in tiles:
        clock[0] += (tile.work if isinstance(tile, Preview) else tile.read.size) / speed
        first = first or clock[0]
    work = clock[0] * speed / fastest.read_pixels
    earlier = session.plan(EARLIER_READ)
    alone = live.around(next(iter(fastest)).core).read.size / speed
    before = earlier.read_pixels / fastest.read_pixels
    return f"| {name} | {model} | {before:.2f} | {work:.2f} | {first:.2g} s | {alone:.2g} s | {clock[0]:.3g} s |"


def measure(session: Session, visible: Region | None) -> tuple[float, float, float]:
    """Return the seconds until something is on screen, until the visible region is complete, and until the end."""
    start = time.perf_counter()
    first = complete = 0.0
    for event in session.predict(visible):
        if isinstance(event, PreviewDone | TileDone) and visible is not None and event.region.intersects(visible):
            first = first or time.perf_counter() - start
            if event.region.contains(visible):
                complete = complete or time.perf_counter() - start
    return first, complete, time.perf_counter() - start


def measured(name: str, data: Path, runs: int) -> str:
    """Return the row of a real image, the medians of some runs."""
    file, model, axes = REAL[name]
    session = new_session(tifffile.imread(data / file), model, axes)
    visible = middle_plane(session.source.shape)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(measure, session, None).result()
        pairs = [
            (pool.submit(measure, session, visible).result(), pool.submit(measure, session, None).result())
            for _ in range(runs)
        ]
    first, complete, watched = (statistics.median(pair[0][k] for pair in pairs) for k in range(3))
    alone = statistics.median(pair[1][2] for pair in pairs)
    ratio = statistics.median(pair[0][2] / pair[1][2] for pair in pairs)
    size = " x ".join(map(str, session.source.shape))
    seconds = " | ".join(f"{value:.3g} s" for value in (first, complete, watched, alone))
    return f"| {name} | {size} | {model} | {seconds} | {ratio:.2f} |"


def main() -> None:
    """Compute, measure, print and save both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAPARI_FCN_DATA", "../shared/data")))
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    speeds = {model: pixels_per_second(model) for model in {model for model, *_ in CASES.values()}}
    lines = [
        "# Watched runs: extra work and the first prediction",
        "",
        f"{describe('cpu')}. float32, 2 GiB of memory.",
        "",
        "Planned: pixels read, relative to the fastest tiles; seconds are estimated from the speed of the network.",
        "",
        "| image | model | work before previews | work | first prediction | first tile without previews | whole run |",
        "|---|---|---|---|---|---|---|",
        *(planned(name, speeds[CASES[name][0]]) for name in CASES),
        "",
        f"Measured in a thread, median of {options.runs} runs by turns: until the first prediction on screen, of all",
        "of the visible plane, and of the whole run, watched and not.",
        "",
        "| image | pixels | model | first | plane | watched | not watched | ratio |",
        "|---|---|---|---|---|---|---|---|",
        *(measured(name, options.data, options.runs) for name in REAL),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
