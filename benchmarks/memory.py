"""Measured memory of a run, compared with the predicted memory.

    python -m benchmarks.memory [--device cpu] [--total]

Twelve configurations, each in a process of its own: 2-D and 3-D, all families, whole images and tiles, float32 and
bfloat16. The networks have random weights, because memory does not depend on them. The measured value is the peak
resident memory above that of the idle process with the model loaded; on a GPU, the peak allocation of PyTorch.

With ``--total``, the command line predicts images of several sizes with the default settings, and the peak of the whole
process is reported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.machine import describe
from napari_fcn.events import RunPlanned
from napari_fcn.inference.memory import bytes_per_pixel, process_peak
from napari_fcn.models.card import ClassLabel, ModelInfo
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

RESULTS = Path(__file__).parent / "results"
MEMORY_LIMIT = 0.1  # GiB; so little that freed memory is returned at once


@dataclass(frozen=True, slots=True)
class Run:
    """A run: a suggested network of a family, the shape of the image, tile and precision."""

    family: str
    shape: tuple[int, ...]
    tile: tuple[int, ...] = ()
    precision: str = "float32"

    @property
    def name(self) -> str:
        """Name in the table."""
        tile = f", tiles of {' x '.join(map(str, self.tile))}" if self.tile else ""
        return f"{self.family}, {' x '.join(map(str, self.shape))}{tile}, {self.precision}"

    def session(self, device: str) -> Session:
        """Return a session of the network on an image of noise."""
        spec = NetSpec.suggest(1.0, ndim=len(self.shape), family=self.family)
        classes = (ClassLabel("background", "#000000"), ClassLabel("object", "#e69f00"))
        checkpoint = Checkpoint(ModelInfo(spec, Normaliser(), classes), dict(spec.build().state_dict()))
        image = np.random.default_rng(0).integers(0, 255, self.shape, np.uint8)
        settings = PredictSettings(device=device, precision=self.precision, tile=self.tile, memory=MEMORY_LIMIT)
        return Session(image, checkpoint, settings=settings)


RUNS = (
    Run("unet", (1024, 1024)),
    Run("unet", (2048, 2048), (512,)),
    Run("unet", (2048, 2048), (1024,), "bfloat16"),
    Run("resunet", (1024, 1024), precision="bfloat16"),
    Run("fcn", (1536, 1536)),
    Run("fcn", (2048, 2048), (768,), "bfloat16"),
    Run("dilated", (1024, 1024)),
    Run("deeplab", (2048, 2048), (512,)),
    Run("unet", (48, 160, 160)),
    Run("unet", (64, 256, 256), (32, 96, 96)),
    Run("unet", (64, 192, 192), precision="bfloat16"),
    Run("video", (16, 256, 256)),
)


@dataclass(frozen=True, slots=True)
class TotalRun:
    """A run of the command line on an image in an npy file: model, shape, axes, and the region if not all of it."""

    model: str
    shape: tuple[int, ...]
    axes: str = "yx"
    roi: str = ""


TOTAL_RUNS = (
    TotalRun("nuclei", (2048, 2048)),
    TotalRun("nuclei", (6144, 6144)),
    TotalRun("nuclei", (12288, 12288)),
    TotalRun("nuclei", (40000, 40000), roi="y=0:4000,x=0:10000"),
    TotalRun("nuclei-3d", (8, 64, 1024, 1024), "tzyx", "t=0,y=0:512,x=0:256"),
)


def measure_total(run: TotalRun, folder: Path) -> str:
    """Return a row of the table of whole processes: tiles, time, peak memory."""
    image, out = folder / "image.npy", folder / "out.ome.tif"
    array = np.lib.format.open_memmap(image, "w+", np.uint8, run.shape)
    noise = np.random.default_rng(0).integers(1, 255, run.shape[-2:], np.uint8)
    for plane in np.ndindex(run.shape[:-2]):
        array[plane] = noise
    del array
    command = [sys.executable, "-m", "napari_fcn", "predict", str(image), "--model", run.model, "--out", str(out)]
    command += ["--axes", run.axes, "--device", "cpu", "--json", "--quiet", "--overwrite", "--roi", run.roi]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    region = f", {run.roi}" if run.roi else ""
    name = f"{run.model}, {' x '.join(map(str, run.shape))}{region}"
    peak = report["peak_bytes"] / 2**20
    return f"| {name} | {report['device']} | {report['tiles']} | {report['seconds']:.0f} | {peak:.0f} |"


def total_table() -> str:
    """Return the peak memory of whole processes as a Markdown table."""
    lines = ["| run | device | tiles | seconds | peak MiB |", "|---|---|---|---|---|"]
    for run in TOTAL_RUNS:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(measure_total(run, Path(folder)))
        print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


def measure(run: Run, device: str) -> dict[str, int]:
    """Return the tiles, the predicted and the measured bytes of a run; it must be the first one in its process."""
    session = run.session(device)
    _ = session.field, bytes_per_pixel(session.spec)
    on_gpu = session.device.type == "cuda"
    idle = torch.cuda.memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    planned = next(event for event in list(session.predict()) if isinstance(event, RunPlanned))
    peak = torch.cuda.max_memory_allocated() if on_gpu else process_peak()
    return {"tiles": planned.tiles, "predicted": planned.peak_bytes, "measured": peak - idle}


def measure_in_process(number: int, device: str) -> dict[str, int]:
    """Return the result of `measure` for one run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--device", device, "--only", str(number)]
    result: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def table(device: str) -> str:
    """Return the figures as a Markdown table, and the largest difference."""
    lines = ["| run | tiles | predicted MiB | measured MiB | predicted / measured |", "|---|---|---|---|---|"]
    ratios = []
    for number, run in enumerate(RUNS):
        result = measure_in_process(number, device)
        ratios.append(result["predicted"] / result["measured"])
        predicted, measured = result["predicted"] / 2**20, result["measured"] / 2**20
        lines.append(f"| {run.name} | {result['tiles']} | {predicted:.0f} | {measured:.0f} | {ratios[-1]:.2f} |")
        print(lines[-1], file=sys.stderr)
    worst = max(abs(ratio - 1) for ratio in ratios)
    return "\n".join(lines) + f"\n\nLargest difference: {worst:.0%} of what was measured."


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--total", action="store_true", help="whole processes of the command line")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(measure(RUNS[arguments.only], arguments.device)))
        return
    if arguments.total:
        head = f"{describe('cpu')}. Peak resident memory of the command, its program and libraries included."
        text = "\n\n".join(["# Memory of whole runs from the command line", head, total_table()])
        (RESULTS / "memory-total.md").write_text(text + "\n", encoding="utf-8")
        print(text)
        return
    text = "\n\n".join(
        [
            "# Memory of a run, predicted and measured",
            f"{describe(arguments.device)}. Each run in a process of its own; measured above the idle process.",
            table(arguments.device),
        ]
    )
    suffix = "" if arguments.device == "cpu" else f"-{arguments.device.split(':')[0]}"
    (RESULTS / f"memory{suffix}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
