"""Time of the planes of a stack, one by one and several at once, for a 2-D network.

    python -m benchmarks.planes [--rounds 7]

A back end of the model nuclei gets 8 planes of random numbers, in blocks of 1, 2, 4 or 8, interleaved; the table gives
medians of the time per plane relative to planes one by one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from napari_fcn.inference.backend_choice import choose_backend
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint

RESULTS = Path(__file__).parent / "results"
SIDES, PLANES, AT_ONCE = (64, 128, 256, 512), 8, (1, 2, 4, 8)


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    checkpoint, cpu = Checkpoint.load(zoo.path_of("nuclei")), torch.device("cpu")
    lines = [
        "| back end | precision | side | ms a plane | 2 at once | 4 at once | 8 at once |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("torch", "openvino"):
        for dtype in (torch.float32, torch.bfloat16):
            backend = choose_backend(name, checkpoint, cpu, dtype, 10**9).create(checkpoint, cpu, dtype)
            for side in SIDES:
                planes = np.random.default_rng(0).normal(size=(PLANES, 1, side, side)).astype(np.float32)
                seconds: dict[int, list[float]] = {count: [] for count in AT_ONCE}
                for number in range(rounds + 1):
                    for count in AT_ONCE:
                        start = time.perf_counter()
                        for first in range(0, PLANES, count):
                            backend.probabilities(planes[first : first + count])
                        if number:
                            seconds[count].append((time.perf_counter() - start) / PLANES)
                one = seconds[1]
                ratios = [statistics.median(b / a for a, b in zip(one, seconds[n], strict=True)) for n in AT_ONCE[1:]]
                precision = str(dtype).removeprefix("torch.")
                shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
                lines.append(f"| {name} | {precision} | {side} | {statistics.median(one) * 1e3:.1f} | {shown} |")
                print(lines[-1], flush=True)
    text = f"# Planes of a stack, one by one and together, the model nuclei\n\n{describe('cpu')}.\n\n" + "\n".join(
        lines
    )
    (RESULTS / "planes.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
