"""Accuracy with and without resampling to the pixel size of the training data.

    python -m benchmarks.resampling [--data ../shared/data]

The validation images of the membranes model are enlarged or reduced, as if they had another pixel size, then segmented
with and without ``resample``. Dice of the membranes is computed on the original grid, to which probabilities are
interpolated linearly.
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
TRAINING_PIXEL = 0.01  # micrometres, both axes
FACTORS = (0.5, 1.5, 2.0, 3.0)  # pixel size of the image divided by that of the training data
MODES = ("off", "linear", "cubic", "gaussian")


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice overlap of two masks."""
    return float(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()))


def resample(image: np.ndarray, factor: float) -> tuple[Resampling, np.ndarray]:
    """Return a stack of planes with pixels enlarged by a factor, and the resampling."""
    shape = (image.shape[0], *(max(1, round(n / factor)) for n in image.shape[1:]))
    grid = Resampling(image.shape, shape, "cubic")
    values = grid.apply(image[None], Region.whole(shape))[0]
    return grid, np.clip(values, 0, 255).round().astype(np.uint8)


def score(image: np.ndarray, truth: np.ndarray, factor: float, mode: str) -> float:
    """Return the Dice of the membranes, on the original grid."""
    grid, resampled = (None, image) if factor == 1 else resample(image, factor)
    size = (TRAINING_PIXEL * factor,) * 2
    options = {"spacing": size, "resample": mode, "device": "cpu", "precision": "float32"}
    probabilities = api.predict(resampled, "membranes", "zyx", **options)
    if grid is not None:
        probabilities = grid.back.apply(probabilities, Region.whole(image.shape))
    return dice(probabilities.argmax(0) == 1, truth)


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NAPARI_FCN_DATA", "../shared/data")))
    folder = parser.parse_args().data / "flyem_fibsem"
    image, labels = (tifffile.imread(folder / f"val_{kind}.tif")[::4] for kind in ("image", "label"))
    truth = np.stack([membranes(plane) == 1 for plane in labels])
    lines = [
        "| pixel size of the image | off | linear | cubic | gaussian |",
        "|---|---|---|---|---|",
        f"| 10 nm, as in training | {score(image, truth, 1, 'off'):.3f} | | | |",
    ]
    for factor in FACTORS:
        cells = " | ".join(f"{score(image, truth, factor, mode):.3f}" for mode in MODES)
        lines.append(f"| {factor * TRAINING_PIXEL * 1000:g} nm | {cells} |")
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
