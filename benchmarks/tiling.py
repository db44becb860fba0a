"""Speed, accuracy and memory of exact tiling, compared with MONAI's sliding window with the same weights.

    python -m benchmarks.tiling [--kind plane|volume] [--rounds 7] [--device cpu]

The methods are interleaved, once in every round. The table gives medians, ratios to MONAI as it is commonly used (the
network as trained, float32), the difference from the whole image in one pass, and the peak memory in a process of its
own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from napari_fcn.events import TileDone
from napari_fcn.inference import openvino_backend
from napari_fcn.inference.device import place
from napari_fcn.inference.memory import process_peak
from napari_fcn.models import zoo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets.fold import fold
from napari_fcn.sample_data import Look, cells
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

RESULTS = Path(__file__).parent / "results"
REFERENCE = "MONAI, network as trained, float32"
Method = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A shipped model, an image of synthetic cells, and the windows of MONAI."""

    model: str
    shape: tuple[int, ...]
    look: Look
    window: tuple[int, ...]
    at_once: int

    @property
    def ndim(self) -> int:
        """Number of axes of the image."""
        return len(self.shape)


KINDS = {
    "plane": Kind("nuclei", (2048, 2048), Look(), (256, 256), 4),
    "volume": Kind("nuclei-3d", (64, 192, 192), Look(diameter=22, spacing=(2, 1, 1)), (64, 128, 128), 1),
}


class Comparison:
    """An image, a model, and the methods to predict the image."""

    def __init__(self, kind: Kind, device: str) -> None:
        self.kind = kind
        self.image = cells(kind.shape, seed=1, look=kind.look)[0]
        self.checkpoint = Checkpoint.load(zoo.path_of(kind.model))
        self.device = torch.device(device)
        self.session = Session(self.image, self.checkpoint, settings=PredictSettings(device=device))
        self.scaled = self.session.scaling.apply(self.image[None])[None]
        half = "bfloat16"
        self.methods: dict[str, Method] = {
            REFERENCE: self.monai(self.net(folded=False), torch.float32),
            "MONAI, our folded channels-last network, float32": self.monai(self.net(), torch.float32),
            f"MONAI, our folded channels-last network, {half}": self.monai(self.net(torch.bfloat16), torch.bfloat16),
            "napari-fcn, float32": self.ours("float32"),
            f"napari-fcn, {half}": self.ours(half),
        }
        if self.device.type == "cpu" and openvino_backend.is_installed():
            self.methods |= {
                "napari-fcn, OpenVINO, float32": self.ours("float32", "openvino"),
                f"napari-fcn, OpenVINO, {half}": self.ours(half, "openvino"),
            }

    def net(self, dtype: torch.dtype = torch.float32, folded: bool = True) -> torch.nn.Module:
        """Return the network, folded and in channels-last format, or as trained."""
        net = self.checkpoint.net()
        return place(fold(net), self.kind.ndim, self.device, dtype) if folded else net.to(self.device)

    def ours(self, precision: str, backend: str = "torch") -> Method:
        """Return a run of `Session.predict`: reading, normalisation, tiles, probabilities."""
        settings = PredictSettings(device=str(self.device), precision=precision, backend=backend)

        def run() -> np.ndarray:
            session = Session(self.image, self.checkpoint, settings=settings)
            out = np.empty((self.checkpoint.info.spec.classes, *self.image.shape), np.float32)
            for event in session.predict():
                if isinstance(event, TileDone):
                    out[(slice(None), *event.region.slices)] = event.probabilities
            return out

        return run

    def monai(self, net: torch.nn.Module, dtype: torch.dtype) -> Method:
        """Return a run of MONAI's sliding window with the size and overlap of its examples."""
        from monai.inferers import sliding_window_inference

        @torch.inference_mode()
        def run() -> np.ndarray:
            x = torch.from_numpy(self.scaled).to(self.device, dtype)
            logits = sliding_window_inference(
                x, self.kind.window, self.kind.at_once, net, overlap=0.25, mode="gaussian"
            )
            return logits[0].float().softmax(0).cpu().numpy()

        return run

    @torch.inference_mode()
    def whole(self) -> np.ndarray:
        """Return the reference: the network as trained, on the whole image in one pass, float32."""
        x = torch.from_numpy(self.scaled).to(self.device)
        return self.net(folded=False)(x)[0].softmax(0).cpu().numpy()


def measure(comparison: Comparison, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each method in each round, after a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in comparison.methods}
    for number in range(rounds + 1):
        for name, run in comparison.methods.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return seconds


def peak(name: str, kind: str, device: str) -> int:
    """Return the peak memory in bytes of one method in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tiling", "--kind", kind, "--device", device, "--peak-of", name]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def report_peak(comparison: Comparison, name: str) -> None:
    """Print the peak memory of one method in bytes, without the memory in use before."""
    if comparison.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        comparison.methods[name]()
        print(torch.cuda.max_memory_allocated())
    else:
        before = process_peak()
        comparison.methods[name]()
        print(process_peak() - before)


def table(comparison: Comparison, seconds: dict[str, list[float]], peaks: dict[str, int]) -> str:
    """Return the figures as a Markdown table."""
    whole = comparison.whole()
    base = seconds[REFERENCE]
    lines = [
        "| method | median ms | speed-up | largest error | mean error | classes changed | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, run in comparison.methods.items():
        probabilities = run()
        error = np.abs(probabilities - whole)
        changed = float((probabilities.argmax(0) != whole.argmax(0)).mean())
        ratio = statistics.median(b / s for b, s in zip(base, seconds[name], strict=True))
        lines.append(
            f"| {name} | {statistics.median(seconds[name]) * 1e3:.0f} | {ratio:.2f} "
            f"| {error.max():.1e} | {error.mean():.1e} | {changed:.1e} | {peaks[name] / 2**20:.0f} |"
        )
    return "\n".join(lines)


def ratios(seconds: dict[str, list[float]]) -> str:
    """Return the speed-up over MONAI with the network of napari-fcn, in each precision."""
    lines = []
    for half in ("float32", "bfloat16"):
        monai, ours = seconds[f"MONAI, our folded channels-last network, {half}"], seconds[f"napari-fcn, {half}"]
        ratio = statistics.median(a / b for a, b in zip(monai, ours, strict=True))
        lines.append(f"{half}: {ratio:.2f} times as fast as MONAI with our network.")
    return "  \n".join(lines)


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, default="plane")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    comparison = Comparison(kind, arguments.device)
    if arguments.peak_of:
        report_peak(comparison, arguments.peak_of)
        return
    peaks = {name: peak(name, arguments.kind, arguments.device) for name in comparison.methods}
    seconds = measure(comparison, arguments.rounds)
    text = "\n\n".join(
        [
            f"# {' x '.join(map(str, kind.shape))}, the model {kind.model}, against MONAI's sliding window",
            f"{describe(arguments.device)}. Medians of {arguments.rounds} interleaved rounds.",
            f"MONAI: roi {' x '.join(map(str, kind.window))}, overlap 0.25, gaussian, {kind.at_once} windows at once.",
            table(comparison, seconds, peaks),
            ratios(seconds),
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    name = "tiling" if arguments.kind == "plane" else f"tiling-{arguments.kind}"
    path = RESULTS / f"{name}-{arguments.device.split(':')[0]}.md"
    path.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
