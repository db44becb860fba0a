"""What a model that was taught on one image still knows: its original head on the images that it was made for.

    python -m benchmarks.forgetting [--rounds 10] [--data FOLDER]

The nuclei model is taught by the simulated annotator on each of the reported phase contrast images (``t98g_phase``),
with whole networks learning and the slider at its default: once as the examination decides, and once with every
candidate taken. Then the head that it had before answers the validation images of dsb2018. Dice, mean over images.
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
from benchmarks.ours import Taught
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
def all_taken(is_wanted: bool) -> Iterator[None]:
    """Let every candidate win its examination."""
    before = evaluation.decide
    if is_wanted:
        evaluation.decide = lambda marks, pins: (True, "")
    try:
        yield
    finally:
        evaluation.decide = before


def taught(example: Example, rounds: int) -> tuple[Checkpoint, float, int]:
    """Return a model that was taught on an image, its Dice there, and how many networks were taken."""
    rng = np.random.default_rng([0, zlib.crc32(f"{example.set}/{example.name}".encode())])
    method = Taught("napari-fcn", network="automatic")
    method.start(example.image, len(example.classes))
    painted, answer = np.zeros(example.truth.shape, np.uint8), None
    for _ in range(rounds):
        added = strokes(example.truth, answer, painted, len(example.classes), rng)
        painted = np.where(added, added, painted)
        method.learn(painted.copy())
        answer = method.answer()
    kinds = [commit.kind for commit in method.teaching.history.commits]
    return method.teaching.checkpoint(), score(answer, example.truth), kinds.count("network")


def known(model: str | Checkpoint, data: Path) -> dict[str, float]:
    """Return the Dice of a model on the validation images of each kind."""
    found = defaultdict(list)
    for _, kind, image, truth in nuclei(data / "dsb2018"):
        if kind in KINDS:
            found[kind].append(dice(fcn.classes(image, model, rgb=image.ndim == 3) > 0, truth))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


def main() -> None:
    """Teach, score, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--data", type=Path, default=data_folder())
    arguments = parser.parse_args()
    head = ["taught on", "networks taken", "Dice there", *(f"{kind}, original head" for kind in KINDS.values())]
    rows = [head, ["---"] * len(head)]
    before = known("nuclei", arguments.data)
    rows.append(["nothing", "", "", *(f"{before[kind]:.3f}" for kind in KINDS)])
    for is_all in (False, True):
        for example in examples("reported", [SET], arguments.data):
            with all_taken(is_all):
                model, there, count = taught(example, arguments.rounds)
            now = known(model.original(), arguments.data)
            words = f"{example.name}{', all taken' if is_all else ''}"
            rows.append([words, str(count), f"{there:.3f}", *(f"{now[kind]:.3f}" for kind in KINDS)])
            print(*rows[-1], file=sys.stderr)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = "\n\n".join(
        [
            "# What a taught model still knows",
            f"The nuclei model, taught on phase contrast ({SET}) with {arguments.rounds} strokes in each class; then "
            "its original head on the validation images of dsb2018. All taken: as if every network had won.",
            table,
            f"{describe('cpu')}.",
        ]
    )
    OUT.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
