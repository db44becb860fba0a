"""Writes the training folders of the shipped 3-D and video models, for ``napari-fcn train``.

``napari-fcn recipe nuclei-3d DATA FOLDER`` writes ``train_KIND_NAME_image.tif`` and the label files from public data
sets in DATA, whose sources are given in the model cards. Validation images (``val_``) are not used for training: they
are other volumes, or the end of a volume or movie, separated by a gap.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile
from scipy import ndimage
from skimage.measure import label

from napari_fcn.errors import ImageError, OutputError
from napari_fcn.io.examples import tiff_software
from napari_fcn.learning.labels import IGNORE
from napari_fcn.sample_data import Look, cells
from napari_fcn.storage import Input, Inputs, replace_file
from napari_fcn.training.targets import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

N_SYNTHETIC = 12  # synthetic training volumes
WRITER = "napari-fcn recipe"  # the Software tag of the files


class TrainingPair(NamedTuple):
    """A labelled image of a training folder; labels are classes: 0 background, 1 inside, 2 rim, 255 unknown."""

    name: str
    image: Pixels
    labels: Pixels


def nuclei(data: Path) -> Iterator[TrainingPair]:
    """Yield volumes of nuclei: an embryo, a plant, organoids, and synthetic ones with a long point spread function."""
    image, mask = _read(data / "qcanet_embryo" / "train_8cell")
    yield from _train_and_val("embryo_8cell", image, objects(label(mask)), axis=1, fraction=0.5)
    image, labels = _read(data / "plantseg_3d" / "nuclei_1135")
    yield from _train_and_val("plant_1135", image, objects(labels), axis=1, fraction=0.65)
    for path in sorted((data / "cellos_organoid3d").glob("*_image.tif")):
        name = path.name.removesuffix("_image.tif")
        image, labels = _read(path.with_name(name))
        part = "val" if "_39" in name or "_16" in name else "train"
        yield TrainingPair(f"{part}_organoid_{name.replace('_', '-')}", image, _ignore_unlabelled(image, labels))
    for number in range(N_SYNTHETIC + 2):
        image, labels = cells((24, 160, 160), seed=number, look=_random_look(np.random.default_rng(number)))
        yield TrainingPair(
            f"{'train' if number < N_SYNTHETIC else 'val'}_synthetic_{number:02}", image, objects(labels)
        )


def cells_video(data: Path) -> Iterator[TrainingPair]:
    """Yield movies of cells in phase contrast and of fluorescent nuclei; rims are drawn frame by frame."""
    for name, folder, stem, axis in (
        ("glioblastoma", "t98g_video", "seq", 1),
        ("muscle", "laptrack_movies", "phase", 1),
        ("nuclei", "laptrack_movies", "nuclei", 1),
        ("yeast", "yeast_phase", "seq", 2),
    ):
        image, labels = _read(data / folder / stem)
        yield from _train_and_val(
            f"{name}_{stem}", image, np.stack([objects(frame) for frame in labels]), axis, fraction=0.7
        )


SETS = {  # subfolders of DATA
    "nuclei-3d": ("qcanet_embryo", "plantseg_3d", "cellos_organoid3d"),
    "cells-video": ("t98g_video", "laptrack_movies", "yeast_phase"),
}
RECIPES: Mapping[str, Callable[[Path], Iterator[TrainingPair]]] = {"nuclei-3d": nuclei, "cells-video": cells_video}


def _read(stem: Path) -> tuple[Pixels, Pixels]:
    image, labels = (tifffile.imread(stem.with_name(f"{stem.name}_{kind}.tif")) for kind in ("image", "label"))
    return image, labels


def _train_and_val(
    name: str, image: Pixels, labels: Pixels, axis: int, fraction: float, gap: float = 0.04
) -> Iterator[TrainingPair]:
    """Yield the training part of an image, and the validation part beyond a gap."""
    length = image.shape[axis]
    for part, span in (
        ("train", slice(0, int(fraction * length))),
        ("val", slice(int((fraction + gap) * length), None)),
    ):
        index = (*[slice(None)] * axis, span)
        yield TrainingPair(f"{part}_{name}", image[index], labels[index])


def _ignore_unlabelled(image: Pixels, labels: Pixels) -> Pixels:
    """Return the target for partly labelled nuclei: bright voxels without a label are ignored (255).

    Bright means more than half of the median intensity of labelled voxels. A margin around labels stays background.
    """
    smoothed = ndimage.gaussian_filter(image.astype(np.float32), (0.5, 1, 1))
    is_bright = smoothed > 0.5 * np.median(smoothed[labels > 0])
    is_near_label = ndimage.binary_dilation(labels > 0, iterations=2)
    target = objects(labels)
    target[ndimage.binary_dilation(is_bright & ~is_near_label, iterations=2) & (labels == 0)] = IGNORE
    return target


def _random_look(rng: np.random.Generator) -> Look:
    """Return random cells, plane distance (1.5 to 4 pixels) and blur (2 to 3.5 times longer across planes).

    A confocal point spread function is approximated by a Gaussian (Zhang et al. 2007, doi:10.1364/AO.46.001819).
    """
    lateral = rng.uniform(0.8, 1.8)
    return Look(
        diameter=rng.uniform(12, 36),
        spacing=(rng.uniform(1.5, 4), 1, 1),
        blur=(lateral * rng.uniform(2, 3.5), lateral, lateral),
        crowding=rng.uniform(0.4, 0.95),
        photons=float(np.exp(rng.uniform(np.log(30), np.log(300)))),
    )


def prepare(model: str, data: Path, folder: Path) -> Iterator[TrainingPair]:
    """Write the training folder of a shipped model, and yield each pair after it was written.

    Raises
    ------
    ImageError
        If a data set is missing.
    OutputError
        If the folder cannot be written, is the folder of the data sets or inside one of them, or contains a file of the
        same name that no recipe wrote.
    """
    inputs = Inputs(Input(data / name, "a data set") for name in SETS[model])
    inputs.check_folder(folder)
    if folder.exists() and folder.samefile(data):
        raise OutputError(f"{folder} is the folder of the data sets.", "Choose another one, such as a subfolder of it.")
    try:
        for pair in RECIPES[model](data):
            folder.mkdir(parents=True, exist_ok=True)
            for kind, pixels in (("image", pair.image), ("label", pair.labels)):
                _write(folder / f"{pair.name}_{kind}.tif", pixels, inputs)
            yield pair
    except FileNotFoundError as error:
        raise ImageError(
            f"{error.filename} is missing. Give the folder that holds the data sets of the card."
        ) from error
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error


def _write(path: Path, pixels: Pixels, inputs: Inputs) -> None:
    """Write a file of a training folder; a file that a recipe wrote is replaced."""
    if os.path.lexists(path) and tiff_software(path) != WRITER:
        raise OutputError(f"{path} exists, and no recipe wrote it.", "Choose another folder, or move it away.")
    with replace_file(path, inputs) as part:
        tifffile.imwrite(part, pixels, photometric="minisblack", compression="zlib", software=WRITER)
