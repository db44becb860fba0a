"""Forgetting: accuracy of the original head on the original images after teaching on another image.

    python -m benchmarks.forgetting [--rounds 10] [--data FOLDER]

The nuclei model is taught by the simulated annotator on each of the reported phase contrast images (``t98g_phase``),
with fine-tuning of the whole network and the default of *Keep or fit*: once with candidates accepted by their
evaluation, and once with all of them accepted. Then its original head predicts the validation images of dsb2018. The
table gives the mean Dice over images.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import napari_fcn as fcn
from benchmarks.accuracy import nuclei
from benchmarks.annotate import score
from benchmarks.annotated_sets import data_folder, examples
from benchmarks.annotator import strokes
from benchmarks.machine import describe
from benchmarks.ours import TaughtModel
from napari_fcn.learning import evaluation
from napari_fcn.training.metrics import dice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.annotated_sets import Example
    from napari_fcn.models.checkpoint import Checkpoint

OUT = Path(__file__).parent / "results" / "forgetting.md"
SET = "t98g_phase"
KINDS = {"fluo": "fluorescence", "he": "H&E"}


@contextmanager
def accepting_all(is_active: bool) -> Iterator[None]:
    """Accept every candidate, whatever its evaluation."""
    before = evaluation.decide
    if is_active:
        evaluation.decide = lambda scores, pins: (True, "")
    try:
        yield
    finally:
        evaluation.decide = before


def teach(example: Example, rounds: int) -> tuple[Checkpoint, float, int]:
    """Return a model taught on an image, its Dice on this image, and the number of accepted networks."""
    rng = np.random.default_rng([0, zlib.crc32(f"{example.set}/{example.name}".encode())])
    method = TaughtModel("napari-fcn", network="automatic")
    method.start(example.image, len(example.classes))
    painted, predicted = np.zeros(example.truth.shape, np.uint8), None
    for _ in range(rounds):
        added = strokes(example.truth, predicted, painted, len(example.classes), rng)
        painted = np.where(added, added, painted)
        method.fit(painted.copy())
        predicted = method.predict()
    kinds = [commit.kind for commit in method.teaching.history.commits]
    return method.teaching.checkpoint(), score(predicted, example.truth), kinds.count("network")


def validation_dice(model: str | Checkpoint, data: Path) -> dict[str, float]:
    """Return the mean Dice of a model on the validation images of each kind."""
    scores = defaultdict(list)
    for _, kind, image, truth in nuclei(data / "dsb2018"):
        if kind in KINDS:
            scores[kind].append(dice(fcn.classes(image, model, rgb=image.ndim == 3) > 0, truth))
    return {kind: float(np.mean(values)) for kind, values in scores.items()}


def main() -> None:
    """Teach, score, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--data", type=Path, default=data_folder())
    arguments = parser.parse_args()
    head = [
        "taught on",
        "accepted networks",
        "Dice on this image",
        *(f"{kind}, original head" for kind in KINDS.values()),
    ]
    rows = [head, ["---"] * len(head)]
    before = validation_dice("nuclei", arguments.data)
    rows.append(["nothing", "", "", *(f"{before[kind]:.3f}" for kind in KINDS)])
    for is_all in (False, True):
        for example in examples("reported", [SET], arguments.data):
            with accepting_all(is_all):
                model, own_dice, count = teach(example, arguments.rounds)
            after = validation_dice(model.original(), arguments.data)
            name = f"{example.name}{', all accepted' if is_all else ''}"
            rows.append([name, str(count), f"{own_dice:.3f}", *(f"{after[kind]:.3f}" for kind in KINDS)])
            print(*rows[-1], file=sys.stderr)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = "\n\n".join(
        [
            "# Accuracy of the original head after teaching",
            f"The nuclei model, taught on phase contrast ({SET}) with {arguments.rounds} strokes in each class; then "
            "its original head on the validation images of dsb2018. All accepted: regardless of the evaluation.",
            table,
            f"{describe('cpu')}.",
        ]
    )
    OUT.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
