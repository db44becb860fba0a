"""Scores of a network on labelled images."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_fcn.errors import ImageError
from napari_fcn.learning.labels import IGNORE
from napari_fcn.training import metrics
from napari_fcn.training.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_fcn.training.dataset import LabelledImage


@torch.inference_mode()
def validate(net: torch.nn.Module, images: Sequence[LabelledImage], target: str) -> dict[str, float]:
    """Return the mean scores over all images and for each kind of image; images without labelled pixels are skipped.

    ``dice`` compares the union of all classes but the first; ``boundary_f1`` compares the outlines of objects, or the
    centre lines of membranes, with a tolerance of 2 pixels. If the labels are classes and there are more than two,
    ``class_dice_N`` is the score of class ``N``, over images that contain it or in which it was predicted, and
    ``class_dice`` the mean over all classes but the first.

    Raises
    ------
    ImageError
        If no image has a labelled pixel.
    """
    lines = metrics.centre_line if target == "membranes" else metrics.outline
    parameter = next(net.parameters())
    scores: dict[str, list[float]] = defaultdict(list)
    for image in images:
        classes = TARGETS[target](image.labels)
        is_labelled = classes != IGNORE
        if not is_labelled.any():
            continue
        logits = net(torch.from_numpy(image.views[0])[None].to(parameter.device, parameter.dtype))
        predicted = logits[0].argmax(0).cpu().numpy()
        if target == "classes" and logits.shape[1] > 2:
            for k in range(1, logits.shape[1]):
                both = (predicted == k) & is_labelled, (classes == k) & is_labelled
                if both[0].any() or both[1].any():
                    scores[f"class_dice_{k}"].append(metrics.dice(*both))
        prediction, truth = (predicted > 0) & is_labelled, (classes > 0) & is_labelled
        image_scores = {
            "dice": metrics.dice(prediction, truth, is_labelled),
            "boundary_f1": metrics.boundary_f1(lines(prediction), lines(truth), mask=is_labelled),
        }
        for name, value in image_scores.items():
            scores[name].append(value)
            if image.kind:
                scores[f"{name}_{image.kind}"].append(value)
    if not scores:
        raise ImageError("There is no labelled pixel in the validation images, so there is no score. Label some.")
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    if by_class := [value for name, value in means.items() if name.startswith("class_dice_")]:
        means["class_dice"] = float(np.mean(by_class))
    return {name: round(value, 4) for name, value in sorted(means.items())}
