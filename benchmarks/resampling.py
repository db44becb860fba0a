"""What it helps to bring an image to the pixel size that the model learnt on.

    python -m benchmarks.resampling [--data ../shared/data]

The validation images of the membranes model, enlarged or reduced before they are segmented as if they had been taken
so, with and without resampling on the fly. Dice of the membranes on the original grid: what is compared with the truth
is the answer brought back to it by linear interpolation.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import tifffile

from benchmarks.machine import describe
from napari_fcn import api
from napari_fcn.geometry import Region
from napari_fcn.geometry.resampling import Resampling
from napari_fcn.training.targets import membranes

RESULTS = Path(__file__).parent / "results"
LEARNT = 0.01  # micrometres, both axes
FACTORS = (0.5, 1.5, 2.0, 3.0)  # pixel size of the image, in those learnt on
MODES = ("off", "linear", "cubic", "gaussian")


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice overlap of two masks."""
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def retaken(image: np.ndarray, factor: float) -> tuple[Resampling, np.ndarray]:
    """Return a stack of planes as if taken with pixels so many times as large, and how it was made."""
    shape = (image.shape[0], *(max(1, round(n / factor)) for n in image.shape[1:]))
    grid = Resampling(image.shape, shape, "cubic")
    values = grid.apply(image[None], Region.whole(shape))[0]
    return grid, np.clip(values, 0, 255).round().astype(np.uint8)


def score(image: np.ndarray, truth: np.ndarray, factor: float, mode: str) -> float:
    """Return the Dice of the membranes, on the original grid."""
    grid, taken = (None, image) if factor == 1 else retaken(image, factor)
    size = (LEARNT * factor,) * 2
    found = api.predict(taken, "membranes", "zyx", spacing=size, resample=mode, device="cpu", precision="float32")
    if grid is not None:
        found = grid.back.apply(found, Region.whole(image.shape))
    return dice(found.argmax(0) == 1, truth)


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAPARI_FCN_DATA", "../shared/data")))
    folder = parser.parse_args().data / "flyem_fibsem"
    image, labels = (tifffile.imread(folder / f"val_{kind}.tif")[::4] for kind in ("image", "label"))
    truth = np.stack([membranes(plane) == 1 for plane in labels])
    lines = [
        "| pixels of the image | as it is | linear | cubic | gaussian |",
        "|---|---|---|---|---|",
        f"| 10 nm, as learnt | {score(image, truth, 1, 'off'):.3f} | | | |",
    ]
    for factor in FACTORS:
        found = " | ".join(f"{score(image, truth, factor, mode):.3f}" for mode in MODES)
        lines.append(f"| {factor * LEARNT * 1000:g} nm | {found} |")
        print(lines[-1], flush=True)
    text = "\n\n".join(
        [
            "# The membranes model on images of another pixel size, with and without resampling",
            f"{describe('cpu')}.",
            f"Dice of the membranes on {len(image)} planes of {image.shape[1]} x {image.shape[2]} px, FlyEM validation "
            "part, on the original grid.",
            "\n".join(lines),
        ]
    )
    (RESULTS / "resampling.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
