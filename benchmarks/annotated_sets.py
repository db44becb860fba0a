"""Images with labels for the benchmarks of interactive segmentation.

The groups ``tuning`` and ``reported`` are disjoint: the first is for the development of methods, the second for the
tables only. No shipped model was trained on any of them. Images are cropped to 512 x 512, where foreground and
background are most balanced.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_fcn.training.targets import membranes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Labels = np.ndarray

SIDE = 512
STEP = 32  # pixels between the candidate positions of a crop
UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class Example:
    """An image and its ground truth.

    ``image`` is (planes, Y, X) or, in colour, (planes, Y, X, 3); ``truth`` is (planes, Y, X) class indices, 0 for the
    background and 255 for unknown; ``anisotropy`` is the distance of planes divided by the pixel size.
    """

    set: str
    name: str
    image: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]
    anisotropy: float = 1.0

    @property
    def is_colour(self) -> bool:
        """Whether the last axis holds red, green and blue."""
        return self.image.ndim == 4


@dataclass(frozen=True, slots=True)
class Source:
    """The files of an example, and the plane and rows that are used."""

    stem: str
    plane: int | None = None  # None: all
    rows: tuple[int, int | None] = (0, None)
    classes: tuple[str, ...] = ()  # if they differ from those of the set


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A folder of images and labels, the conversion of labels to classes, and the examples of each group."""

    classes: tuple[str, ...]
    target: Callable[[Labels], Labels]
    tuning: tuple[Source, ...]
    reported: tuple[Source, ...]


def foreground(labels: Labels) -> Labels:
    """Return 1 in every object."""
    return (labels > 0).astype(np.uint8)


def class_indices(labels: Labels) -> Labels:
    """Return labels that are class indices already."""
    return labels.astype(np.uint8)


def sources(*stems: str) -> tuple[Source, ...]:
    """Return whole pairs of files."""
    return tuple(Source(stem) for stem in stems)


def planes(stem: str, *numbers: int, rows: tuple[int, int | None] = (0, None)) -> tuple[Source, ...]:
    """Return single planes of one stack."""
    return tuple(Source(stem, number, rows) for number in numbers)


def oxides(*stems: str) -> tuple[Source, ...]:
    """Return the images of the material set with one class besides the background."""
    return tuple(Source(f"oxide_{stem}", classes=("background", "oxide layer")) for stem in stems)


SETS: Mapping[str, ImageSet] = {
    # The validation images; the two in bright field are those that the nuclei model was not trained on.
    "dsb2018": ImageSet(
        ("background", "nucleus"),
        foreground,
        sources("val_fluo_44ab6a09eede", "val_he_7798ca1ddb31", "train_bright_08275a5b1c2d"),
        sources("val_fluo_76faaed50ed6", "val_fluo_c169a7782a69", "val_he_c0152b1a260e", "train_bright_1a1155256916"),
    ),
    # The suggested validation images and one more for tuning.
    "t98g_phase": ImageSet(
        ("background", "cell"),
        foreground,
        sources("set31", "set33"),
        sources("set35", "set37", "set39"),
    ),
    # Its licence allows evaluation only: the validation sections are reported, earlier ones are for tuning.
    "isbi2012_em": ImageSet(
        ("background", "membrane"),
        class_indices,
        planes("train", 2, 10),
        planes("val", 0, 2, 4),
    ),
    # One block: slices of its validation part, 60 nm apart or more; tuning and report are 70 nm apart.
    "flyem_fibsem": ImageSet(
        ("background", "membrane"),
        membranes,
        planes("val", 1, 7),
        planes("val", 14, 21, 28),
    ),
    # Without a validation part: images are held out by animal.
    "axon_sem": ImageSet(
        ("background", "axon", "myelin"),
        class_indices,
        sources("rat3_data9", "rat5_data14"),
        sources("rat4_data12", "rat7_Maxo03img60", "rat8_V915"),
    ),
    # Without a validation part: whole specimens are held out.
    "nasa_sem": ImageSet(
        ("background", "secondary precipitate", "tertiary precipitate"),
        class_indices,
        oxides("040617_3_S0410019") + sources("superalloy_spot1_0d_0"),
        oxides("021519_3_1426C_100cyc0008", "070516_3_S2470003")
        + sources("superalloy_pt2_15kx_3kv_7", "superalloy_SE_15kv_50kx_precip_-_untested-2_0"),
    ),
    # One movie: the upper colony is for tuning, the lower one is reported.
    "yeast_phase": ImageSet(
        ("background", "cell"),
        foreground,
        planes("seq", 2, 7, rows=(0, 235)),
        planes("seq", 0, 4, 9, rows=(235, None)),
    ),
    # The two labels divide the hippocampus at a plane that is not visible in the image: here they are one class.
    "hippocampus_mri": ImageSet(
        ("background", "hippocampus"),
        foreground,
        sources("val_023", "val_045"),
        sources("val_068", "val_095", "val_124"),
    ),
}


def data_folder() -> Path:
    """Return the folder of the data sets."""
    return Path(os.environ.get("NAPARI_FCN_DATA", "../shared/data"))


def examples(group: str, names: Iterable[str] = (), data: Path | None = None) -> Iterator[Example]:
    """Yield the examples of ``"tuning"`` or ``"reported"``, of the named sets or of all.

    Raises
    ------
    ValueError
        If there is no set of a given name.
    """
    selected = tuple(names) or tuple(SETS)
    if unknown := set(selected) - set(SETS):
        raise ValueError(f"Unknown image sets: {', '.join(sorted(unknown))}. Choose from {', '.join(SETS)}.")
    for name in selected:
        for source in SETS[name].tuning if group == "tuning" else SETS[name].reported:
            yield read(name, source, data or data_folder())


def read(name: str, source: Source, data: Path) -> Example:
    """Return one example of a set."""
    image = tifffile.imread(data / name / f"{source.stem}_image.tif")
    labels = tifffile.imread(data / name / f"{source.stem}_label.tif")
    if labels.ndim == 2:
        image, labels = image[None], labels[None]
    used = slice(None) if source.plane is None else slice(source.plane, source.plane + 1)
    image, labels = (a[used, slice(*source.rows)] for a in (image, labels))
    truth = np.stack([SETS[name].target(plane) for plane in labels])
    crop = most_balanced(truth)
    image = image if image.dtype == np.uint8 else image.astype(np.float32)
    title = source.stem if source.plane is None else f"{source.stem} plane {source.plane}"
    return Example(
        name,
        title,
        np.ascontiguousarray(image[crop]),
        np.ascontiguousarray(truth[crop]),
        source.classes or SETS[name].classes,
    )


def most_balanced(truth: Labels) -> tuple[slice, ...]:
    """Return the crop of at most 512 x 512 in which foreground and background are most balanced."""
    corners = [range(0, max(size - SIDE, 0) + 1, STEP) for size in truth.shape[1:]]
    crops = [(slice(None), *(slice(start, start + SIDE) for start in corner)) for corner in product(*corners)]
    return max(crops, key=lambda crop: min((truth[crop] > 0).mean(), (truth[crop] == 0).mean()))
