"""Accuracy of the shipped models on images that they were not trained on, through the public functions.

    python -m benchmarks.accuracy [--data FOLDER]

``--data`` is the folder of the data sets (default: NAPARI_FCN_DATA). Dice is computed for the foreground, all classes
but the background; boundary F1 has a tolerance of 2 pixels. The table gives means over images, and the worst Dice.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

import napari_fcn as fcn
from benchmarks.machine import describe
from napari_fcn.training.metrics import boundary_f1, centre_line, dice, outline
from napari_fcn.training.targets import membranes

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
HELD_OUT_BRIGHT = ("train_bright_08275a5b1c2d", "train_bright_1a1155256916")
Case = tuple[str, str, np.ndarray, np.ndarray]  # model, kind, image, truth


def nuclei(folder: Path) -> Iterator[Case]:
    """Yield the validation images, and the two bright-field images that were held out from training."""
    for path in sorted(folder.glob("*_image.tif")):
        name = path.name.removesuffix("_image.tif")
        if name.startswith("val_") or name in HELD_OUT_BRIGHT:
            truth = tifffile.imread(path.with_name(f"{name}_label.tif")) > 0
            yield "nuclei", name.split("_")[1], tifffile.imread(path), truth


def membrane_slices(folder: Path) -> Iterator[Case]:
    """Yield the validation slices of the block that the model was trained on."""
    images, labels = tifffile.imread(folder / "val_image.tif"), tifffile.imread(folder / "val_label.tif")
    for image, label in zip(images, labels, strict=True):
        yield "membranes", "FIB-SEM 10 nm", image, membranes(label) > 0


def foreign_slices(folder: Path) -> Iterator[Case]:
    """Yield slices of another microscope, not used for training, resampled from 4 nm to about 10 nm."""
    from skimage.transform import rescale

    images, labels = tifffile.imread(folder / "val_image.tif"), tifffile.imread(folder / "val_label.tif")
    for image, label in zip(images, labels, strict=True):
        yield (
            "membranes",
            "ssTEM, reduced to 10 nm",
            rescale(image, 0.4, anti_aliasing=True),
            rescale(label.astype(float), 0.4) > 0.5,
        )


def score(cases: Iterator[Case]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return (Dice, boundary F1) of each image, by model and kind."""
    scores = defaultdict(list)
    for model, kind, image, truth in cases:
        predicted = fcn.classes(image, model, rgb=image.ndim == 3) > 0
        lines = centre_line if model == "membranes" else outline
        scores[model, kind].append((dice(predicted, truth), boundary_f1(lines(predicted), lines(truth))))
    return scores


def main() -> None:
    """Compute, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("NAPARI_FCN_DATA", "../shared/data"))
    data = Path(parser.parse_args().data)
    rows = ["| model | images | number | Dice | worst Dice | boundary F1 |", "|---|---|---|---|---|---|"]
    for cases in (
        nuclei(data / "dsb2018"),
        membrane_slices(data / "flyem_fibsem"),
        foreign_slices(data / "isbi2012_em"),
    ):
        for (model, kind), values in score(cases).items():
            dices, f1s = np.array(values).T
            rows.append(
                f"| {model} | {kind} | {len(values)} | {dices.mean():.3f} | {dices.min():.3f} | {f1s.mean():.3f} |"
            )
    hashes = ", ".join(f"{name} {fcn.load(name).hash[:12]}" for name in ("nuclei", "membranes"))
    text = "\n\n".join(["# The shipped models on images that they did not learn from", "\n".join(rows), hashes])
    text += f"\n\n{describe('cpu')}."
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "accuracy.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
