"""What a batch is made of: which images, and what is to be done for each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import FcnError, OutputError, in_dock
from napari_fcn.geometry import Region
from napari_fcn.gui._controller.batch_work import FileTask, HiddenCanvas, NoCanvas, run_file, run_layer
from napari_fcn.gui._controller.work import Job, Seen
from napari_fcn.gui._layers import fits_in_memory, read
from napari_fcn.io.finding import images_at, result_suffix, stem
from napari_fcn.io.images import READABLE
from napari_fcn.io.ome_sets import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Image

    from napari_fcn.gui._controller.batch_state import BatchRequest, Row
    from napari_fcn.gui._controller.batch_work import Ended
    from napari_fcn.gui._controller.catalogue import Loaded, ModelEntry


@dataclass(slots=True, eq=False)
class Batch:
    """A batch that is going on."""

    request: BatchRequest
    model: ModelEntry
    began: float
    ended: list[int] = field(default_factory=list)
    owners: dict[Path, int] = field(default_factory=dict)  # which row writes a file
    devices: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        info = self.model.info
        chosen = info.original if self.request.settings.head == "original" and info.original else info.classes
        return tuple((label.name, label.colour) for label in chosen)


@dataclass(slots=True, eq=False)
class Present:
    """The row that is being run."""

    number: int
    make: Callable[..., Any]
    files: dict[str, Path]
    job: Job | None = None  # of a layer
    layer: Image | None = None
    notes: tuple[str, ...] = ()
    began: float = field(default_factory=time.monotonic)
    end: Ended | None = None


def of_file(batch: Batch, row: Row, path: Path, loaded: Loaded) -> Present:
    request = batch.request
    if not request.save.kinds:
        raise OutputError("An image in a file has no layer to show results on. Choose under Save what is written.")
    place = request.save.place(stem(path), path.parent, result_suffix(path))
    assert place is not None
    out, files = place
    save, settings = request.save, request.settings
    task = FileTask(path, request.model, settings, save.axis_names, out, files, save.replace)
    return Present(row.number, partial(run_file, task, loaded), files)


def of_layer(batch: Batch, row: Row, layer: Image, loaded: Loaded) -> Present:
    request, save, image = batch.request, batch.request.save, read(layer)
    bound = image.bind(batch.model.info.spec, save.axis_names)
    axes = bound.axes
    source = Path(image.path).absolute() if image.path and "://" not in image.path else None
    place = save.place(layer.name, source and source.parent, result_suffix(source) if source else ".ome.tif")
    files = {} if place is None else place[1]
    shape = axes.image_shape(image.shape)
    canvas = HiddenCanvas.blank(shape) if fits_in_memory(shape) else NoCanvas.blank((0,))
    notes = tuple(map(in_dock, bound.notes))
    if not files and isinstance(canvas, NoCanvas):
        raise OutputError(
            f"The results of {layer.name} are too large to be kept in memory. Choose what is written under Save, and a "
            "folder under Save to."
        )
    if place is None and save.kinds:
        notes += ("Result layers only: the image did not come from a file, and there is no folder under Save to.",)
    seen = Seen(Region.whole(shape))
    job = Job(image, axes, request.model, request.settings, seen, canvas, files, bound.calibration, save.replace)
    return Present(row.number, partial(run_layer, job, batch.classes, loaded), dict(files), job, layer, notes)


def found(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the images that paths stand for, and a sentence on each that is none."""
    images: list[Path] = []
    problems, others = [], []
    for path in paths:
        path = path.absolute()
        if path.is_file() and path.suffix.lower() not in READABLE:
            others.append(path.name)
            continue
        try:
            images += images_at(path)
        except FcnError as error:
            problems.append(in_dock(error))
        except OSError as error:
            problems.append(f"{path} cannot be opened ({error.strerror or error}).")
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        problems.append(f"Left out, as no image that can be read: {shown}. Readable are {', '.join(READABLE)}.")
    return distinct(images), problems


def added(new: int, known: int) -> str:
    parts = [f"{new} added." if new else "", f"{known} in the list already." if known else ""]
    return " ".join(filter(None, parts))
