"""Datasets of random crops from a folder of labelled images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.inference.source import ImageSource, check_array, check_finite, luminance
from napari_fcn.models.binding import Network
from napari_fcn.settings import PredictSettings
from napari_fcn.training.augment import Augmentation
from napari_fcn.training.pairs import bind_pair, compiled, find_pairs
from napari_fcn.training.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_fcn.io import ImageFile
    from napari_fcn.models.binding import NetworkShape
    from napari_fcn.models.normalise import Normaliser, Scaling
    from napari_fcn.settings import TrainSettings

PATCH_SIDES = {1: 4096, 2: 256, 3: 64}  # pixels along each axis, by number of axes


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image with its labels.

    Attributes
    ----------
    name, kind : str
        File name, and kind of image.
    views : tuple of ndarray
        ``(channels, *space)`` float32, normalised. The first is the input at inference; a colour image has another view
        for each colour channel.
    labels : ndarray
        ``(*space)`` label values.
    notes : tuple of str
        Sentences for the user about conversions.
    picture : str
        The picture that the image is a part of, as the planes of a volume are; empty if it is a picture of its own.
    scaling : Scaling or None
        The scaling of the first view: intensities of the file are ``view * scale + offset``. None: not scaled.
    """

    name: str
    kind: str
    views: tuple[npt.NDArray[np.float32], ...]
    labels: npt.NDArray[np.generic]
    notes: tuple[str, ...] = ()
    picture: str = ""
    scaling: Scaling | None = None

    @property
    def intensities(self) -> npt.NDArray[np.float32]:
        """The mean over channels of the first view in the intensities of the file, ``(*space)``."""
        view = self.views[0]
        if self.scaling is None:
            return np.asarray(view.mean(0))
        shape = (-1, *(1,) * (view.ndim - 1))
        scale, offset = (np.array(n, np.float32).reshape(shape) for n in (self.scaling.scale, self.scaling.offset))
        return np.asarray((view * scale + offset).mean(0))


def read_folder(
    folder: Path, patterns: tuple[str, str], kinds: str, network: int | NetworkShape, normaliser: Normaliser
) -> list[LabelledImage]:
    """Return the labelled images of a folder; each plane of a stack is an image of its own for a 2-D network.

    Images are read, their axes and channels chosen, and their intensities scaled as for prediction.

    Parameters
    ----------
    folder : Path
        The folder, with files as for `find_pairs`.
    patterns : (str, str)
        Shell patterns, separated by commas: names to include and to exclude.
    kinds : str
        Regular expression whose first group is the kind of an image; if empty, all have the same kind.
    network : int or NetworkShape
        The network, or the number of axes that it convolves, for one channel. A network with one channel learns
        colours as luminance and one by one.
    normaliser : Normaliser
        How to scale each image.

    Raises
    ------
    ImageError
        If a file cannot be read, a label image is missing or has another shape than its image, or they do not fit the
        network.
    """
    kind_pattern = compiled(kinds, "Kinds")
    shape = Network(network) if isinstance(network, int) else network
    images = []
    for pair in find_pairs(folder, patterns):
        match = kind_pattern.search(pair.name) if kinds else None
        kind = match[1] if match and match.groups() else ""
        try:
            images += _planes((pair.name, kind), pair.read(), shape, normaliser)
        except ImageError as error:
            if error.short.startswith((str(pair.image), str(pair.labels))):
                raise
            raise ImageError(f"{pair.name}: {error.short}", error.advice) from error
    return images


def _planes(
    names: tuple[str, str],
    content: tuple[ImageFile, npt.NDArray[np.generic]],
    network: NetworkShape,
    normaliser: Normaliser,
) -> list[LabelledImage]:
    """Return one labelled image for each index of the axes over which the network loops."""
    (name, kind), (image, labels) = names, content
    check_array(image.data)
    check_finite(image.data)
    bound, labels = bind_pair(image, labels, network)
    axes, notes = bound.axes, list(bound.remarks)
    if bound.rgb and network.channels == 1:
        pixels = np.moveaxis(image.data, axes.names.index(axes.channel or ""), 0)[:3]
        blocks = [luminance(pixels)[None], *pixels[:, None]]
    else:
        notes += _channel_notes(axes.channels(image.data.shape), network, bound.rgb)
        source = ImageSource.open(image.data, axes, network.channels, PredictSettings(), bound.rgb, network.colours)
        blocks = [source.read(Region.whole(source.shape))]
    repeated = network.channels if network.colours else 0
    scalings = [normaliser.fit(block.reshape(len(block), -1), repeated) for block in blocks]
    notes += scalings[0].notes
    planes_of_views = [axes.to_net(scale.apply(block)) for scale, block in zip(scalings, blocks, strict=True)]
    label_planes = axes.to_net(labels[None])[:, 0]
    return [
        LabelledImage(
            f"{name} {i}" if len(label_planes) > 1 else name,
            kind,
            tuple(np.ascontiguousarray(planes[i]) for planes in planes_of_views),
            plane,
            () if i else tuple(f"{name}: {note}" for note in notes),
            name,
            scalings[0],
        )
        for i, plane in enumerate(label_planes)
    ]


def _channel_notes(count: int, network: NetworkShape, rgb: bool) -> list[str]:
    """Return a note on channels that the network does not read; raise ImageError if it needs others."""
    if network.colours or rgb or count == network.channels:
        return []
    advice = f"To use all of them, add channels={count} to --spec."
    if network.channels == 1:
        return [f"The image has {count} channels, the network reads one: channel 0. {advice}"]
    raise ImageError(f"the network reads {network.channels} channels, the image has {count}.", advice)


def per_axis(name: str, given: Sequence[Any], ndim: int) -> tuple[Any, ...]:
    """Return one number for each axis, from one for all or one for each.

    Raises
    ------
    ImageError
        If there is another number of them.
    """
    if len(given) not in (1, ndim):
        raise ImageError(
            f"The {name} {tuple(given)} has {len(given)} numbers; give one, or one for each of {ndim} axes."
        )
    return tuple(given) if len(given) == ndim else tuple(given) * ndim


class Crops(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Random crops of labelled images; the ``i``-th crop of a seed is always the same.

    Parameters
    ----------
    images : sequence of LabelledImage
        The images.
    settings : TrainSettings
        Target, patch, spacing, number of crops, augmentation, balance of kinds, and seed.
    time : int, optional
        The time axis of the images.
    spacing : sequence of float, optional
        Pixel size along each axis, if the settings have none; if empty, all are equal.
    directed : collection of int, optional
        Axes along which classes differ in direction, as for `Augmentation.of`.

    Attributes
    ----------
    epoch : int
        Number of the epoch; each has different crops.

    Raises
    ------
    ImageError
        If the patch or the spacing does not fit the axes of the images.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        settings: TrainSettings,
        time: int | None = None,
        spacing: Sequence[float] = (),
        directed: Collection[int] = (),
    ) -> None:
        self.images, self.settings, self.epoch = images, settings, 0
        ndim = images[0].labels.ndim
        self.patch = per_axis("patch", settings.patch or (PATCH_SIDES[ndim],), ndim)
        relative = per_axis("spacing", settings.spacing or tuple(spacing) or (1.0,), ndim)
        self.target = TARGETS[settings.target]
        self.augmentation = Augmentation.of(settings, relative, time, directed)
        sizes = Counter(image.kind for image in images)
        weights = np.array([sizes[image.kind] ** (settings.balance - 1) for image in images])
        self.probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.settings.crops * len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self.settings.seed, self.epoch, index))
        image = self.images[rng.choice(len(self.images), p=self.probabilities)]
        view = image.views[0 if rng.random() < 0.5 else rng.integers(len(image.views))]
        crop, labels = self.augmentation.crop(view, image.labels, self.patch, rng)
        return torch.from_numpy(crop), torch.from_numpy(self.target(labels).astype(np.int64))
