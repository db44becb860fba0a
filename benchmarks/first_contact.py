"""Accuracy of models at first contact: on groups and organs that were not trained on, by kind of image.

    python -m benchmarks.first_contact [--models nuclei FILE ...] [--task nuclei] [--data FOLDER]
    python -m benchmarks.first_contact --object-size auto --zoom 0.333 0.5 1 2 3 --every 5

The pictures are the validation pictures of a task (`training.pictures`): whole organs, and tiles of pictures none of
whose tiles trains. A model that was trained before this rule has seen other tiles of some pictures of dsb2018. Dice is
of the foreground. AP is true positives / (true positives + false positives + false negatives) of objects with an
intersection over union above 0.5 (Caicedo et al. 2019): of connected insides grown into the rim (the objects of earlier
versions), and of the objects of `predict --save objects`.

With ``--object-size``, each model is also run with this object size, in columns next to those without. With ``--zoom``,
pictures are resampled by each factor (anti-aliased), as another objective or camera would have taken them.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.transform import rescale, resize

from benchmarks.machine import describe
from napari_fcn.events import TileDone
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.objects import ObjectRule, objects_of
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings
from napari_fcn.training.metrics import dice
from napari_fcn.training.pictures import TASKS, Picture, read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).parent / "results"
LARGE = 40  # pixels, median diameter of objects
GROWTH = 3  # pixels by which objects grow into the rim


def components(classes: np.ndarray) -> np.ndarray:
    """Return numbered objects: connected insides, grown into the rim."""
    inside = ndimage.label(classes == 1)[0]
    near = ndimage.distance_transform_edt(inside == 0, return_distances=True, return_indices=True)
    grown = inside[tuple(near[1])]
    return np.where((classes > 0) & (near[0] <= GROWTH), grown, 0)


def average_precision(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the score of matched objects at an intersection over union of 0.5."""
    n, m = int(found.max()), len(np.unique(truth[truth > 0]))
    if not n or not m:
        return float(n == m)
    _, numbers = np.unique(truth, return_inverse=True)
    numbers = numbers.reshape(truth.shape) + (0 if (truth == 0).any() else 1)
    overlap = np.zeros((n + 1, numbers.max() + 1))
    np.add.at(overlap, (found.ravel(), numbers.ravel()), 1)
    sizes = overlap.sum(1)[1:, None] + overlap.sum(0)[None, 1:] - overlap[1:, 1:]
    iou = overlap[1:, 1:] / np.maximum(sizes, 1)
    rows, columns = linear_sum_assignment(-(iou > 0.5).astype(float))
    hits = int((iou[rows, columns] > 0.5).sum())
    return hits / (n + m - hits)


def predict(model: Checkpoint, picture: Picture, object_size: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each pixel and the numbered objects, as the command line predicts them."""
    low, high = float(picture.image.min()), float(picture.image.max())
    pixels = np.round((picture.image - low) / max(high - low, 1e-6) * 255).astype(np.uint8)  # stains need a white
    image = np.moveaxis(pixels, 0, -1) if picture.is_colour else pixels[0]
    settings = PredictSettings(device="cpu", backend="torch", object_size=object_size or None)
    session = Session(image, model, settings=settings, rgb=picture.is_colour)
    classes, landscape = (np.zeros(session.source.shape, dtype) for dtype in (np.uint8, np.uint16))
    rule = ObjectRule.from_class_names([c.name for c in model.info.classes], session.axes.image, session.axes.space)
    for event in session.predict():
        if isinstance(event, TileDone):
            classes[event.region.slices] = event.probabilities.argmax(0)
            landscape[event.region.slices] = rule.landscape(event.probabilities, event.distance)
    return classes, objects_of(landscape, rule)


def zoomed(picture: Picture, factor: float) -> Picture:
    """Return a picture with ``factor`` times as many pixels along each axis."""
    if factor == 1:
        return picture
    image = rescale(picture.image, factor, order=1, anti_aliasing=factor < 1, channel_axis=0).astype(np.float32)
    labels = resize(picture.labels, image.shape[1:], order=0, anti_aliasing=False, preserve_range=True).astype(np.int32)
    return replace(picture, image=image, labels=labels, distance=None, diameter=picture.diameter * factor)


def main() -> None:
    """Score each model on each kind, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["nuclei"])
    parser.add_argument("--task", choices=TASKS, default="nuclei")
    parser.add_argument("--data", type=Path, default=os.environ.get("NAPARI_FCN_DATA", "../shared/data"))
    parser.add_argument("--every", type=int, default=1, help="only every n-th picture")
    parser.add_argument("--object-size", default="", help="also run with this object size, such as auto")
    parser.add_argument("--zoom", type=float, nargs="+", default=[1.0], help="factors by which pictures are resampled")
    arguments = parser.parse_args()
    pictures = [p for p in read_all(Path(arguments.data)) if p.is_validation and p.task == arguments.task]
    print(report(pictures[:: arguments.every], arguments))


def report(pictures: Sequence[Picture], arguments: argparse.Namespace) -> str:
    """Return the table, and save it."""
    scores: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    sizes = ["", arguments.object_size] if arguments.object_size else [""]
    models = {name: Checkpoint.load(zoo.path_of(name)) for name in arguments.models}
    runs = {
        f"{Path(name).stem}{size and f', object size {size}'}": (models[name], size)
        for name, size in product(arguments.models, sizes)
    }
    for factor, original in product(arguments.zoom, pictures):
        picture = zoomed(original, factor)
        for run, (model, size) in runs.items():
            (classes, found), known = predict(model, picture, size), picture.labels >= 0
            truth, both = picture.labels > 0, [np.nan, np.nan]
            if TASKS[arguments.task].has_objects:
                both = [average_precision(objects, picture.labels) for objects in (components(classes), found)]
            data_set = picture.name.split("/")[0]
            large = ["40 px or more"] if picture.diameter >= LARGE else []
            for kind in ("all", f"kind {picture.kind}", f"set {data_set}", *large):
                key = kind if factor == 1 else f"{kind}, x {factor:g}"
                scores[key, run].append((dice(classes > 0, truth, known), *both))
    columns = " | ".join(f"{run}: Dice | AP of components | AP" for run in runs)
    lines = [f"| kind | images | {columns} |", "|---|---|" + "---|---|---|" * len(runs)]
    for kind in sorted({kind for kind, _ in scores}):
        means = [np.nanmean(scores[kind, run], 0) for run in runs]
        count = len(scores[kind, next(iter(runs))])
        lines.append(f"| {kind} | {count} | " + " | ".join(f"{d:.3f} | {c:.3f} | {a:.3f}" for d, c, a in means) + " |")
    text = f"# First contact: {arguments.task}\n\n{describe('cpu')}.\n\n" + "\n".join(lines)
    suffix = "-object-size" if arguments.object_size else ""
    (RESULTS / f"first-contact-{arguments.task}{suffix}.md").write_text(text + "\n", encoding="utf-8")
    return text


if __name__ == "__main__":
    main()
