"""An image, reproducible strokes, and a program that paints them: `python painter.py FOLDER`."""

import sys
from pathlib import Path

import numpy as np

from napari_fcn.geometry import Axes, Region
from napari_fcn.models.card import ClassLabel
from napari_fcn.project import ImageRecord, Project, fingerprint
from napari_fcn.settings import TeachSettings

SHAPE = (3, 300, 200)
IMAGE = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)
AXES = Axes(("t", "y", "x"), ("y", "x"))
CLASSES = (ClassLabel("background", "#000000"), ClassLabel("object", "#e69f00"))


def record_of(image: np.ndarray, path: str = "", axes: Axes = AXES) -> ImageRecord:
    return ImageRecord("cells", path, image.shape, image.dtype.name, axes, hash=fingerprint(image))


def create(folder: Path) -> Project:
    return Project.create(folder, record_of(IMAGE), None, TeachSettings(), CLASSES)


def stroke_of(number: int) -> tuple[Region, np.ndarray]:
    """Return the stroke of this number: mostly small; each fourth covers the image and is stored in its own file."""
    rng = np.random.default_rng(number)
    size = SHAPE if number % 4 == 0 else (1, int(rng.integers(1, 30)), int(rng.integers(1, 30)))
    start = tuple(int(rng.integers(0, n - s + 1)) for n, s in zip(SHAPE, size, strict=True))
    region = Region(start, tuple(a + s for a, s in zip(start, size, strict=True)))
    return region, rng.integers(0, 3, size).astype(np.uint8)


def paint(project: Project, count: int) -> None:
    for _ in range(count):
        project.stroke(*stroke_of(project.strokes + 1))


def restored(project: Project, upto: int | None = None) -> np.ndarray:
    """Return the corrections of a project."""
    return np.asarray(project.labels(upto))


def painted(numbers: list[int]) -> np.ndarray:
    """Return the corrections after these strokes."""
    canvas = np.zeros(SHAPE, np.uint8)
    for number in numbers:
        region, block = stroke_of(number)
        canvas[region.slices] = block
    return canvas


def paint_forever(folder: Path) -> None:
    """Paint strokes without end, and print the number of each stroke after it was saved."""
    with Project.open(folder) as project:
        while True:
            sys.stdout.write(f"{project.stroke(*stroke_of(project.strokes + 1))}\n")
            sys.stdout.flush()
            project.record("turn", turn=1, strokes=project.strokes)


if __name__ == "__main__":
    paint_forever(Path(sys.argv[1]))
