"""Speed of a classifier as a fully convolutional network, compared with sliding it over the same positions.

    python -m benchmarks.dense [--rounds 3] [--device cpu]

The classifier is the network N4 of Ciresan et al. (2012), which found membranes by sliding over each pixel of electron
micrographs: crops of 95 pixels, no padding. Weights are random, because time does not depend on them. The methods are
interleaved, once in every round; the table gives medians, the median of the ratios to sliding, and the largest
difference from sliding.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.machine import describe
from napari_fcn.nets.convert import dilate, fully_convolutional, shift_and_stitch

RESULTS = Path(__file__).parent / "results"
CROP, STRIDE, POSITIONS = 95, 16, 32  # positions along each axis
BATCH = 8  # the fastest for sliding, of 1 to 64 on the processor of the committed table
Method = Callable[[], Tensor]


def classifier() -> nn.Module:
    """Return N4: four blocks of convolution and pooling, two linear layers."""
    layers: list[nn.Module] = []
    for inputs, kernel in ((1, 4), (48, 5), (48, 4), (48, 4)):
        layers += [nn.Conv2d(inputs, 48, kernel), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 9, 200), nn.ReLU(), nn.Linear(200, 2)).eval()


def slide(net: nn.Module, image: Tensor, step: int) -> Tensor:
    """Return the outputs for all crops, ``step`` pixels apart, computed in batches."""
    crops = image[0, 0].unfold(0, CROP, step).unfold(1, CROP, step)
    flat = crops.reshape(-1, 1, CROP, CROP)
    return torch.cat([net(part) for part in flat.split(BATCH)]).T.reshape(1, -1, *crops.shape[:2])


def tasks(device: str) -> Iterator[tuple[str, dict[str, Method]]]:
    """Yield each task with its methods by name; the first method is sliding."""
    torch.manual_seed(0)
    net = classifier().to(device)
    strided = fully_convolutional(net, CROP)
    dense = dilate(strided)
    length = CROP + (POSITIONS - 1) * STRIDE
    image = torch.rand(1, 1, length, length, device=device)
    yield (
        f"every {STRIDE}th pixel of {length} x {length}",
        {
            "sliding the classifier": lambda: slide(net, image, STRIDE),
            "fully convolutional": lambda: strided(image),
        },
    )
    corner = image[..., : CROP + POSITIONS - 1, : CROP + POSITIONS - 1]
    yield (
        f"every pixel inside {corner.shape[2]} x {corner.shape[3]}",
        {
            "sliding the classifier": lambda: slide(net, corner, 1),
            "fully convolutional, shifted and stitched": lambda: shift_and_stitch(strided, corner, STRIDE),
            "fully convolutional, dilated": lambda: dense(corner),
        },
    )


def measure(methods: dict[str, Method], rounds: int) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Return the output of each method, and its seconds in each round after a warm-up."""
    outputs = {name: run().cpu() for name, run in methods.items()}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, run in methods.items():
            start = time.perf_counter()
            run().cpu()
            seconds[name].append(time.perf_counter() - start)
    return outputs, seconds


def rows(task: str, outputs: dict[str, Tensor], seconds: dict[str, list[float]]) -> Iterator[str]:
    """Yield the rows of the table for one task."""
    sliding = next(iter(outputs))
    truth, base = outputs[sliding], seconds[sliding]
    for name, output in outputs.items():
        ratio = statistics.median(b / s for b, s in zip(base, seconds[name], strict=True))
        error = float((output - truth).abs().max())
        count = output.shape[2] * output.shape[3]
        milliseconds = statistics.median(seconds[name]) * 1e3
        yield f"| {task} | {name} | {count} | {milliseconds:.0f} | {ratio:.1f} | {error:.1e} |"


@torch.inference_mode()
def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    lines = [
        "| task | method | positions | median ms | speed-up | largest difference from sliding |",
        "|---|---|---|---|---|---|",
    ]
    for task, methods in tasks(arguments.device):
        print(task, file=sys.stderr)
        lines += rows(task, *measure(methods, arguments.rounds))
    text = "\n\n".join(
        [
            "# A converted classifier, against sliding it",
            f"{describe(arguments.device)}. Medians of {arguments.rounds} interleaved rounds, float32.",
            f"The classifier: N4 of Ciresan et al. (2012), crops of {CROP} x {CROP} pixels; "
            f"sliding takes {BATCH} crops at once. On the grid of every {STRIDE}th pixel, crops overlap little: "
            f"per pixel of the image, sliding computes ({CROP} / {STRIDE})² = {(CROP / STRIDE) ** 2:.0f} times as much "
            "at most.",
            "\n".join(lines),
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "dense.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
