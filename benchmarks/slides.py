"""Time of a slide that is mostly one value, and of regions of it, against the whole slide.

    python -m benchmarks.slides [--side 16384] [--rounds 1] [--threads 2]

The full slide is synthetic cells everywhere; the masked one has the same cells in round islands on 30 % of it, and else
one value. Both are stored as zarr, so that they need no memory. Regions hold 1/16, 1/4 and 9/16 of the full slide; for
them the pixels that their tiles read are given too. All are predicted by the command line's plan, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from benchmarks.machine import describe
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

RESULTS = Path(__file__).parent / "results"
PATTERN = 1024
SHARE = 0.3  # of the masked slide that holds cells
ISLAND = 1500  # pixels, diameter


def slides(folder: Path, side: int) -> dict[str, Any]:
    """Return the full and the masked slide."""
    pattern = (cells((PATTERN, PATTERN), seed=1)[0] * 255).astype(np.uint8)
    rng = np.random.default_rng(0)
    mask = np.zeros((side // 8, side // 8), bool)
    y, x = np.ogrid[: side // 8, : side // 8]
    while mask.mean() < SHARE:
        centre = rng.integers(0, side // 8, 2)
        mask |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < (ISLAND / 16) ** 2
    made = {}
    for name in ("full", "masked"):
        array = zarr.create_array(folder / name, shape=(side, side), chunks=(PATTERN, PATTERN), dtype=np.uint8)
        for top in range(0, side, PATTERN):
            for left in range(0, side, PATTERN):
                part = pattern
                if name == "masked":
                    shown = mask[top // 8 : (top + PATTERN) // 8, left // 8 : (left + PATTERN) // 8]
                    part = np.where(np.kron(shown, np.ones((8, 8), bool)), pattern, np.uint8(255))
                array[top : top + PATTERN, left : left + PATTERN] = part
        made[name] = array
    return made


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    checkpoint, side = Checkpoint.load(zoo.path_of("nuclei")), arguments.side
    with tempfile.TemporaryDirectory() as folder:
        made = slides(Path(folder), side)
        runs = {name: Session(array, checkpoint, settings=PredictSettings()) for name, array in made.items()}
        for part in (1, 2, 3):
            stop = side * part // 4
            roi = f"0:{stop},0:{stop}"
            runs[f"region of {part * part}/16"] = Session(made["full"], checkpoint, settings=PredictSettings(roi=roi))
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, session in runs.items():
                _ = session.scaling  # the statistics are of the whole slide in every run
                start = time.perf_counter()
                for _event in session.predict():
                    pass
                seconds[name].append(time.perf_counter() - start)
                print(name, seconds[name][-1], flush=True)
        pixels = {name: session.plan().read_pixels for name, session in runs.items()}
    full = seconds["full"]
    lines = ["| run | s | time | read pixels |", "|---|---|---|---|"]
    for name, times in seconds.items():
        ratio = statistics.median(t / f for t, f in zip(times, full, strict=True))
        read = "" if name == "masked" else f"{pixels[name] / pixels['full']:.3f}"
        lines.append(f"| {name} | {statistics.median(times):.1f} | {ratio:.3f} | {read} |")
    text = "\n\n".join(
        [
            f"# A slide of {side} x {side}, the model nuclei",
            f"{describe('cpu')}. Rounds: {arguments.rounds}. Time and read pixels are relative to the full slide; the "
            f"masked slide has cells on {SHARE:.0%} and else one value.",
            "\n".join(lines),
        ]
    )
    (RESULTS / "slides.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
