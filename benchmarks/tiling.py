"""Speed, accuracy and memory of exact tiling, compared with MONAI's sliding window with the same weights.

    python -m benchmarks.tiling [--kind plane|volume] [--rounds 7] [--device cpu]

The methods are interleaved, once in every round. The table gives medians, ratios to MONAI as it is commonly used (the
network as trained, float32), the share of the machine's GEMM rate, the difference from the whole image in one pass, and
the peak memory in a process of its own. GEMM is a product of two 2048 x 2048 matrices by PyTorch, in every round and in
each precision; the share is the operations of one whole pass of the network, by the time of the method. A worker is a
second thread, as in the docks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

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
PRECISIONS = ("float32", "bfloat16")
GEMM = 2048
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
        ours = [name for name in self.methods if name.startswith("napari-fcn")]
        self.methods |= {f"{name}, worker": in_a_worker(self.methods[name]) for name in ours}

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
    def operations(self) -> int:
        """Return the floating-point operations of one pass of the folded network over the whole image."""
        counter = FlopCounterMode(display=False)
        with counter:
            self.net()(torch.from_numpy(self.scaled).to(self.device))
        return int(counter.get_total_flops())

    @torch.inference_mode()
    def whole(self) -> np.ndarray:
        """Return the reference: the network as trained, on the whole image in one pass, float32."""
        x = torch.from_numpy(self.scaled).to(self.device)
        return self.net(folded=False)(x)[0].softmax(0).cpu().numpy()


def in_a_worker(method: Method) -> Method:
    """Return the method as run by a thread that is not the main one."""

    def run() -> np.ndarray:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(method).result()

    return run


def product(precision: str, device: torch.device) -> Callable[[], object]:
    """Return a product of two matrices in the given precision."""
    a, b = torch.randn(2, GEMM, GEMM, device=device).to(getattr(torch, precision))

    def run() -> object:
        out = a @ b
        return out[0, 0].item()

    return run


def measure(comparison: Comparison, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each method and of each matrix product in each round, after a warm-up."""
    runs = comparison.methods | {name: product(name, comparison.device) for name in PRECISIONS}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
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
    least = {name: comparison.operations() / (2 * GEMM**3 / statistics.median(seconds[name])) for name in PRECISIONS}
    lines = [
        "| method | median ms | speed-up | share of GEMM | largest error | mean error | classes changed | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, run in comparison.methods.items():
        probabilities = run()
        error = np.abs(probabilities - whole)
        changed = float((probabilities.argmax(0) != whole.argmax(0)).mean())
        ratio = statistics.median(b / s for b, s in zip(base, seconds[name], strict=True))
        share = least["bfloat16" if "bfloat16" in name else "float32"] / statistics.median(seconds[name])
        lines.append(
            f"| {name} | {statistics.median(seconds[name]) * 1e3:.0f} | {ratio:.2f} | {share:.2f} "
            f"| {error.max():.1e} | {error.mean():.1e} | {changed:.1e} | {peaks[name] / 2**20:.0f} |"
        )
    return "\n".join(lines)


def ratios(comparison: Comparison, seconds: dict[str, list[float]]) -> str:
    """Return the speed-up over MONAI with our network, what a worker costs, and the rate of matrix products."""
    lines = []
    for half in PRECISIONS:
        monai = seconds[f"MONAI, our folded channels-last network, {half}"]
        for name in [name for name in comparison.methods if name.startswith("napari-fcn") and half in name]:
            if name.endswith("worker"):
                continue
            ratio = statistics.median(a / b for a, b in zip(monai, seconds[name], strict=True))
            worker = statistics.median(a / b for a, b in zip(seconds[f"{name}, worker"], seconds[name], strict=True))
            lines.append(
                f"{name}: {ratio:.2f} times as fast as MONAI with our network; in a worker {worker:.2f} times its time."
            )
        rate = 2 * GEMM**3 / statistics.median(seconds[half]) / 1e9
        lines.append(
            f"GEMM, {half}: {rate:.0f} GFLOP/s; one pass of the network: {comparison.operations() / 1e9:.0f} GFLOP."
        )
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
            ratios(comparison, seconds),
        ]
    )
    RESULTS.mkdir(exist_ok=True)
    name = "tiling" if arguments.kind == "plane" else f"tiling-{arguments.kind}"
    path = RESULTS / f"{name}-{arguments.device.split(':')[0]}.md"
    path.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
