"""Accuracy of 3-D and video models, compared with 2-D models plane by plane, and of 3-D networks trained from scratch.

    python -m benchmarks.volumes --data ../shared/data [--flat-cells cells.safetensors] [--epochs 60]

Scores are Dice of the most probable class (all classes but the first together) on validation parts that no model was
trained on. ``--flat-cells`` is a 2-D model that was trained on the training frames of cells-video. Networks are trained
from scratch on two public data sets whose licences exclude shipped weights: an isotropic one (hippocampus) and a
strongly anisotropic one (brain tumour; lower planes for training, upper planes for validation).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from benchmarks.machine import describe
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import parse_spec, plain_recipe
from napari_fcn.models.zoo import path_of
from napari_fcn.nets.convert import copy_weights
from napari_fcn.settings import TrainSettings
from napari_fcn.training.dataset import LabelledImage, read_folder
from napari_fcn.training.setup import Training
from napari_fcn.training.shipped_datasets import prepare
from napari_fcn.training.train import train
from napari_fcn.training.validation import validate

if TYPE_CHECKING:
    from napari_fcn.nets.build import Net

RESULTS = Path(__file__).parent / "results"
KINDS = r"(?:train|val)_([a-z]+)_"
Row = tuple[str, dict[str, float]]


def plane_by_plane(flat: Checkpoint) -> Net:
    """Return a 3-D network that predicts each plane like a 2-D model."""
    spec = flat.info.spec
    kernel, pool = (tuple((1, *level) for level in levels) for levels in (spec.kernel, spec.pool))
    net = replace(spec, ndim=3, kernel=kernel, pool=pool).build()
    copy_weights(net, flat.net())
    return net.eval()


def compare(deep: str, flat: str, images: list[LabelledImage], target: str) -> list[Row]:
    """Return the scores of both models on the same images."""
    nets = {f"{flat}, plane by plane": plane_by_plane(Checkpoint.load(path_of(flat)))}
    nets[deep] = Checkpoint.load(path_of(deep)).net()
    return [(Path(name).stem if "/" in name else name, validate(net, images, target)) for name, net in nets.items()]


def read(folder: Path, pattern: str, kinds: str, model: str) -> list[LabelledImage]:
    """Return volumes, normalised for a model."""
    normaliser = Checkpoint.load(path_of(model)).info.normaliser
    return read_folder(folder, (pattern, ""), kinds, 3, normaliser)


def shipped(data: Path, folder: Path, flat_cells: str) -> list[tuple[str, list[Row]]]:
    """Return the scores of each shipped 3-D or video model and of a 2-D model."""
    for name in ("nuclei-3d", "cells-video"):
        for _ in prepare(name, data, folder / name):
            pass
    nuclei = read(folder / "nuclei-3d", "val*", KINDS, "nuclei")
    membranes = read(data / "flyem_fibsem", "val*", "", "membranes")
    cells = read(folder / "cells-video", "val*", KINDS, "nuclei")
    return [
        ("Nuclei in volumes", compare("nuclei-3d", "nuclei", nuclei, "classes")),
        ("Membranes in volumes", compare("membranes-3d", "membranes", membranes, "membranes")),
        ("Cells in movies", compare("cells-video", flat_cells, cells, "classes")),
    ]


def train_from_scratch(folder: Path, spec: str, out: Path, settings: TrainSettings) -> Row:
    """Return the network and its best score on the validation images of a folder."""
    best: dict[str, float] = {}
    for event in train(Training(plain_recipe("scratch", parse_spec(spec), ""), folder, settings, out)):
        print(f"{folder.name} {event.epoch}/{event.epochs} {event.scores}", file=sys.stderr, flush=True)
        best = max(best, event.scores, key=lambda scores: scores.get("dice", -1))
    return spec, best


def tumour(data: Path, folder: Path) -> Path:
    """Write the training and validation planes of the tumour volume; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("image", "label"):
        volume = tifffile.imread(data / "brain_tumor_mri" / f"brain1_{kind}.tif")
        for part, planes in (("train", volume[:15]), ("val", volume[15:])):
            tifffile.imwrite(folder / f"{part}_brain1_{kind}.tif", planes, photometric="minisblack")
    return folder


def scratch(data: Path, folder: Path, epochs: int) -> list[tuple[str, Row]]:
    """Return the scores of networks that are trained from random weights."""
    base = TrainSettings(target="classes", epochs=epochs, batch=2, device="cpu")
    isotropic = replace(base, crops=2, patch=(32, 48, 32), batch=4)  # large enough to distinguish the two ends
    flat = replace(base, crops=16, patch=(8, 128, 128), spacing=(6.5, 0.78, 0.78), rarity=1, rate=1e-3)
    anisotropic = "unet ndim=3 classes=2 width=8 depth=3 kernel=[[1,3,3],[1,3,3],[3,3,3],[3,3,3]] pool=[1,2,2]"
    return [
        (
            "hippocampus_mri (64 training, 16 validation volumes)",
            train_from_scratch(
                data / "hippocampus_mri", "unet ndim=3 classes=3 width=12 depth=3", folder / "h.safetensors", isotropic
            ),
        ),
        (
            "brain_tumor_mri (15 training, 10 validation planes)",
            train_from_scratch(tumour(data, folder / "tumour"), anisotropic, folder / "t.safetensors", flat),
        ),
    ]


def table(title: str, rows: list[Row]) -> str:
    """Return scores as a Markdown table, a column for each kind."""
    names = [name for name in rows[0][1] if name.startswith("dice")]
    lines = [f"## {title}", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(f'{scores[key]:.3f}' for key in names)} |" for name, scores in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and save the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--flat-cells", default="nuclei")
    parser.add_argument("--epochs", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        parts = [table(*scores) for scores in shipped(arguments.data, folder, arguments.flat_cells)]
        trained = scratch(arguments.data, folder, arguments.epochs)
    lines = [
        "## Trained from scratch, in 3-D",
        "",
        "| data | network | epochs | dice | boundary_f1 |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | `{spec}` | {arguments.epochs} | {scores['dice']:.3f} | {scores['boundary_f1']:.3f} |"
        for name, (spec, scores) in trained
    ]
    header = f"# The third axis\n\n{describe('cpu')}. Dice on validation parts."
    text = "\n\n".join([header, *parts, "\n".join(lines)])
    (RESULTS / "volumes.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
