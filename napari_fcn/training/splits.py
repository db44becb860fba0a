"""Divides labelled images into training and validation images, so that no picture is in both.

Scores on images that show the same picture, animal or movie as training images are too optimistic. Images belong to one
picture if they are planes of one stack, have the same pixels, were cut from one picture (`matching_edges`), or if their
names say so (a regular expression).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_fcn.errors import ImageError
from napari_fcn.events import SplitChosen
from napari_fcn.training.groups import connected, matching_edges
from napari_fcn.training.pairs import compiled

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from napari_fcn.training.dataset import LabelledImage

    Images = list[LabelledImage]

_SHARE = re.compile(r"(0?\.[0-9]+)|([0-9.]+)\s*%")
MAX_LISTED_PAIRS = 5


def validation_share(validate: str) -> float | None:
    """Return the fraction of images to validate on, such as 0.2 for ``0.2`` or ``20%``; None for patterns of names.

    Raises
    ------
    ImageError
        If it is not between 0 and 1.
    """
    match = _SHARE.fullmatch(validate.strip())
    if not match:
        return None
    share = float(match[1]) if match[1] else float(match[2]) / 100
    if not 0 < share < 1:
        raise ImageError(f"The share of validation images is {validate}; it must be above 0 and below 1, such as 0.2.")
    return share


def with_pictures(images: Sequence[LabelledImage], names: str = "") -> Images:
    """Return the images, in which ``picture`` is the name of the first image of the same picture.

    Parameters
    ----------
    images : sequence of LabelledImage
        The images; `LabelledImage.intensities` are compared.
    names : str
        Regular expression: images whose names have the same first group (or the same match, if it has no groups) are of
        one picture. Empty: names are not compared.
    """
    pattern = compiled(names, "Groups")
    first_of: dict[Hashable, int] = {}
    pairs = []
    for number, image in enumerate(images):
        view = image.views[0]
        keys: list[Hashable] = [("picture", image.picture or image.name)]
        if view.min() < view.max():  # empty planes are equal in many stacks
            keys.append((view.shape, hash(view.tobytes())))
        if names and (match := pattern.search(image.name)):
            keys.append(("name", match[1] if match.groups() else match[0]))
        pairs += [(first_of.setdefault(key, number), number) for key in keys]
    pairs += [(match.first, match.second) for match in matching_edges(image.intensities for image in images)]
    groups = connected(len(images), pairs)
    labels: dict[int, str] = {}
    for image, group in zip(images, groups, strict=True):
        labels.setdefault(group, image.name)
    return [replace(image, picture=labels[group]) for image, group in zip(images, groups, strict=True)]


def draw_validation(images: Sequence[LabelledImage], share: float, seed: int) -> tuple[Images, Images]:
    """Return training and validation images; pictures are drawn at random, for each kind of image.

    Parameters
    ----------
    images : sequence of LabelledImage
        The images, with pictures as from `with_pictures`.
    share : float
        Fraction of the images of each kind for validation; fewer if the pictures are too large.
    seed : int
        Seed of the random numbers.

    Raises
    ------
    ImageError
        If all images are of one picture.
    """
    if not images:
        raise ImageError("There are no images to draw validation images from.")
    by_kind: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    kinds: dict[str, str] = {}
    for image in images:
        by_kind[kinds.setdefault(image.picture, image.kind)][image.picture] += 1
    rng = np.random.default_rng(seed)
    chosen: set[str] = set()
    for _, sizes in sorted(by_kind.items()):
        chosen |= _draw(sizes, share * sum(sizes.values()), rng)
    if not chosen:  # each kind has a single picture
        chosen = _draw({name: n for sizes in by_kind.values() for name, n in sizes.items()}, share * len(images), rng)
    if not chosen:
        raise ImageError(
            f"All {len(images)} images are parts of one picture ({images[0].picture}), so none can be used for "
            "validation. Add images of other pictures, or give patterns of names with --validate."
        )
    return [i for i in images if i.picture not in chosen], [i for i in images if i.picture in chosen]


def _draw(sizes: dict[str, int], wanted: float, rng: np.random.Generator) -> set[str]:
    """Return pictures with about the wanted number of images; none if there is one picture only."""
    names = [str(name) for name in rng.permutation(sorted(sizes))]
    chosen: set[str] = set()
    count = 0
    for name in names if len(names) > 1 else ():
        if count + sizes[name] <= max(wanted, 1) + 0.5:
            chosen.add(name)
            count += sizes[name]
    if not chosen and len(names) > 1:
        chosen.add(min(names, key=lambda name: sizes[name]))
    return chosen


def describe_split(
    training: Sequence[LabelledImage], validation: Sequence[LabelledImage], validate: str
) -> SplitChosen:
    """Return how images were divided, with a warning that names images of one picture in both parts.

    Parameters
    ----------
    training, validation : sequence of LabelledImage
        The images, with pictures as from `with_pictures`.
    validate : str
        The setting: patterns of names, or a share.
    """
    shared = tuple(_shared(training, validation))
    pictures = _counted(len({image.picture for image in validation}), "picture")
    if validation_share(validate) is not None:
        method = (
            f"{len(validation)} of {len(training) + len(validation)} images, from {pictures} drawn at random. "
            "Images of one picture (by matching edges, equal pixels or names) are not in both parts."
        )
    else:
        method = f"{_counted(len(validation), 'image')} with names {validate}, from {pictures}."
        method += "" if shared else " No picture is in both parts."
    found = SplitChosen(len(training), len(validation), method, shared)
    if not shared:
        return found
    listed = "; ".join(f"{name} and {other}" for name, other in shared[:MAX_LISTED_PAIRS])
    more = f"; and {len(shared) - MAX_LISTED_PAIRS} more" if len(shared) > MAX_LISTED_PAIRS else ""
    advice = f"Of one picture: {listed}{more}. --validate 0.2 draws whole pictures."
    return replace(found, notes=(found.warning, advice))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _shared(training: Sequence[LabelledImage], validation: Sequence[LabelledImage]) -> Iterator[tuple[str, str]]:
    """Yield each validation image with a training image of the same picture."""
    training_names: dict[str, str] = {}
    for image in training:
        training_names.setdefault(image.picture, image.name)
    for image in validation:
        if image.picture in training_names:
            yield image.name, training_names[image.picture]
