"""Accuracy of models at first contact: on groups and organs that were not trained on, by kind of image.

    python -m benchmarks.first_contact [--models nuclei FILE ...] [--task nuclei] [--data FOLDER]

The pictures are the validation pictures of a task (`training.pictures`): whole organs, and tiles of pictures none of
whose tiles trains. A model that was trained before this rule has seen other tiles of some pictures of dsb2018. Dice is
of the foreground. AP is true positives / (true positives + false positives + false negatives) of objects with an
intersection over union above 0.5 (Caicedo et al. 2019): of connected insides grown into the rim (the objects of earlier
versions), and of the objects of `predict --save objects`.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from benchmarks.machine import describe
from napari_fcn.events import TileDone
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.objects import ObjectRule, objects_of
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings
from napari_fcn.training.metrics import dice
from napari_fcn.training.pictures import TASKS, Picture, read_all

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


def predict(model: Checkpoint, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each pixel and the numbered objects, as the command line predicts them."""
    low, high = float(picture.image.min()), float(picture.image.max())
    pixels = np.round((picture.image - low) / max(high - low, 1e-6) * 255).astype(np.uint8)  # stains need a white
    image = np.moveaxis(pixels, 0, -1) if picture.is_colour else pixels[0]
    settings = PredictSettings(device="cpu", backend="torch")
    session = Session(image, model, settings=settings, rgb=picture.is_colour)
    classes, landscape = (np.zeros(session.source.shape, dtype) for dtype in (np.uint8, np.uint16))
    rule = ObjectRule.from_class_names([c.name for c in model.info.classes], session.axes.image, session.axes.space)
    for event in session.predict():
        if isinstance(event, TileDone):
            classes[event.region.slices] = event.probabilities.argmax(0)
            landscape[event.region.slices] = rule.landscape(event.probabilities, event.distance)
    return classes, objects_of(landscape, rule)


def main() -> None:
    """Score each model on each kind, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["nuclei"])
    parser.add_argument("--task", choices=TASKS, default="nuclei")
    parser.add_argument("--data", type=Path, default=os.environ.get("NAPARI_FCN_DATA", "../shared/data"))
    parser.add_argument("--every", type=int, default=1, help="only every n-th picture")
    arguments = parser.parse_args()
    pictures = [p for p in read_all(Path(arguments.data)) if p.is_validation and p.task == arguments.task]
    pictures = pictures[:: arguments.every]
    scores: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for name in arguments.models:
        model = Checkpoint.load(zoo.path_of(name))
        for picture in pictures:
            (classes, found), known = predict(model, picture), picture.labels >= 0
            truth, both = picture.labels > 0, [np.nan, np.nan]
            if TASKS[arguments.task].has_objects:
                both = [average_precision(objects, picture.labels) for objects in (components(classes), found)]
            data_set = picture.name.split("/")[0]
            large = ["40 px or more"] if picture.diameter >= LARGE else []
            for kind in ("all", f"kind {picture.kind}", f"set {data_set}", *large):
                scores[kind, name].append((dice(classes > 0, truth, known), *both))
    kinds = sorted({kind for kind, _ in scores})
    columns = " | ".join(f"{Path(m).stem}: Dice | AP of components | AP" for m in arguments.models)
    lines = [f"| kind | images | {columns} |"]
    lines.append("|---|---|" + "---|---|---|" * len(arguments.models))
    for kind in kinds:
        means = [np.nanmean(scores[kind, m], 0) for m in arguments.models]
        count = len(scores[kind, arguments.models[0]])
        lines.append(f"| {kind} | {count} | " + " | ".join(f"{d:.3f} | {c:.3f} | {a:.3f}" for d, c, a in means) + " |")
    text = f"# First contact: {arguments.task}\n\n{describe('cpu')}.\n\n" + "\n".join(lines)
    (RESULTS / f"first-contact-{arguments.task}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
