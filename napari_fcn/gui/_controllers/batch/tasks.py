"""The images of a batch, and the job of each."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fcn.errors import FcnError, OutputError, in_dock
from napari_fcn.gui._controllers.batch.jobs import FileJob, HiddenCanvas, NoCanvas, run_file, run_layer
from napari_fcn.gui._controllers.output_paths import file_name
from napari_fcn.gui._controllers.segment.worker import LayerJob
from napari_fcn.gui._layers import fits_in_memory, read_layer
from napari_fcn.io.image_file import READABLE_SUFFIXES
from napari_fcn.io.image_paths import image_stem, list_images, result_suffix, results_folder
from napari_fcn.io.ome_sets import unique_images
from napari_fcn.io.overwrite import Protection
from napari_fcn.io.result_names import distinct_names
from napari_fcn.io.run_inputs import IMAGE_INPUT, MODEL_INPUT, collect_inputs
from napari_fcn.storage import NO_INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.layers import Image

    from napari_fcn.gui._controllers.batch.jobs import JobEnded
    from napari_fcn.gui._controllers.batch.state import BatchRequest, Row
    from napari_fcn.gui._controllers.model_catalog import ModelCache, ModelEntry
    from napari_fcn.settings import OutputSettings
    from napari_fcn.storage import Inputs


@dataclass(slots=True, eq=False)
class Batch:
    """A running batch."""

    request: BatchRequest
    model: ModelEntry
    began: float
    ended: list[int] = field(default_factory=list)
    owners: dict[Path, int] = field(default_factory=dict)  # row that writes each file
    devices: set[str] = field(default_factory=set)
    names: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # of the results, and of the image
    inputs: Inputs = NO_INPUTS
    _rows: dict[int, Path | Image] = field(default_factory=dict)

    def update_inputs(self, origins: Mapping[int, Path | Image | None]) -> None:
        """Update the names of the results and the protected files from the current rows."""
        rows = {number: origin for number, origin in origins.items() if origin is not None}
        if rows == self._rows:
            return
        images = [path for origin in rows.values() for path in input_files(origin)]
        self.inputs = collect_inputs({IMAGE_INPUT: images, MODEL_INPUT: [self.request.model]})
        self.names, self._rows = _result_names(rows, self.request.output), rows

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def classes(self) -> tuple[tuple[str, str], ...]:
        info = self.model.info
        labels = info.original if self.request.settings.head == "original" and info.original else info.classes
        return tuple((label.name, label.colour) for label in labels)


@dataclass(slots=True, eq=False)
class CurrentJob:
    """The job of the current row."""

    number: int
    make: Callable[..., Any]
    files: dict[str, Path]
    job: LayerJob | None = None  # of a layer
    layer: Image | None = None
    notes: tuple[str, ...] = ()
    end: JobEnded | None = None


def job_for_file(batch: Batch, row: Row, path: Path, loaded: ModelCache) -> CurrentJob:
    request = batch.request
    if not request.output.save:
        raise OutputError("Results of image files must be saved. Choose what to write under Save.")
    output, settings = request.output, request.settings
    folder, (name, _) = output.folder_for(results_folder(path)), batch.names[row.number]
    assert folder is not None
    out, files = folder / name, output.paths_in(folder, name, result_suffix(path))
    Protection((batch.inputs,)).check_inputs(*files.values())
    task = FileJob(path, request.model, settings, output.axis_names, out, files, output.overwrite, batch.inputs)
    return CurrentJob(row.number, partial(run_file, task, loaded), files, notes=_name_note(batch, row))


def job_for_layer(batch: Batch, row: Row, layer: Image, loaded: ModelCache) -> CurrentJob:
    request, output, image = batch.request, batch.request.output, read_layer(layer)
    bound = image.bind(batch.model.info.spec, output.axis_names)
    axes = bound.axes
    source, folder = _result_folder(layer, output)
    suffix = result_suffix(source) if source else ".ome.tif"
    files = {} if folder is None else output.paths_in(folder, batch.names[row.number][0], suffix)
    protection = Protection((batch.inputs,), only_results=True)
    protection.check_inputs(*files.values())
    shape = axes.image_shape(image.shape)
    canvas = HiddenCanvas.empty(shape) if fits_in_memory(shape) else NoCanvas.empty((0,))
    notes: tuple[str, ...] = ()
    if not files and isinstance(canvas, NoCanvas):
        raise OutputError(
            f"The results of {layer.name} are too large for memory. Choose what to write under Save, and a folder "
            "under Save to."
        )
    if folder is not None and output.save:
        notes += _name_note(batch, row)
    elif output.save:
        notes += ("Result layers only: the image did not come from a file, and there is no folder under Save to.",)
    job = LayerJob(  # without a visible region: no layer shows the result before the end
        image, bound, request.model, request.settings, None, canvas, files, output.overwrite, protection, output.save
    )
    return CurrentJob(row.number, partial(run_layer, job, batch.classes, loaded), dict(files), job, layer, notes)


def input_files(origin: Path | Image) -> tuple[Path, ...]:
    """Return the input files and folders of a row."""
    return (origin,) if isinstance(origin, Path) else read_layer(origin).files


def _result_folder(origin: Path | Image, output: OutputSettings) -> tuple[Path | None, Path | None]:
    """Return the image file of a row, and the folder of its results; None if there is none."""
    text = str(origin if isinstance(origin, Path) else origin.source.path or "")
    source = Path(text).absolute() if text and "://" not in text else None
    return source, output.folder_for(results_folder(source) if source else None)


def _result_names(origins: Mapping[int, Path | Image], output: OutputSettings) -> dict[int, tuple[str, str]]:
    """Return for each row the base name of its results, unique in its folder, and the name of its image."""
    rows: dict[Path | None, list[tuple[int, Path, str]]] = defaultdict(list)
    for number, origin in origins.items():
        source, folder = _result_folder(origin, output)
        name = image_stem(origin) if isinstance(origin, Path) else file_name(origin.name, source or "")
        rows[folder].append((number, source or Path("/", name), name))
    result_names: dict[int, tuple[str, str]] = {}
    for folder, group in rows.items():
        numbers, paths, names = zip(*group, strict=True)
        unique = distinct_names(paths, names, folder or Path())
        result_names.update(zip(numbers, zip(unique, names, strict=True), strict=True))
    return result_names


def _name_note(batch: Batch, row: Row) -> tuple[str, ...]:
    """Return a note if the results are not named after the image."""
    name, image_name = batch.names[row.number]
    if name == image_name:
        return ()
    return (f"Another image in the list is also named {image_name}; the results of this one are named {name}.",)


def expand_paths(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the images in files and folders, and a message for each path without images."""
    images: list[Path] = []
    problems, unsupported = [], []
    for path in paths:
        path = path.absolute()
        if path.is_file() and path.suffix.lower() not in READABLE_SUFFIXES:
            unsupported.append(path.name)
            continue
        try:
            images += list_images(path)
        except FcnError as error:
            problems.append(in_dock(error))
        except OSError as error:
            problems.append(f"{path} cannot be opened ({error.strerror or error}).")
    if unsupported:
        names = ", ".join(unsupported[:3]) + (f" and {len(unsupported) - 3} more" if len(unsupported) > 3 else "")
        problems.append(f"Skipped (unsupported type): {names}. Supported: {', '.join(READABLE_SUFFIXES)}.")
    return unique_images(images), problems


def added_message(added: int, listed: int) -> str:
    parts = [f"{added} added." if added else "", f"{listed} already in the list." if listed else ""]
    return " ".join(filter(None, parts))
