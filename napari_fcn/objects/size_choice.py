"""Measures the objects of an image with the network itself, to choose the size at which the image is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, inf, log2, pi
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_fcn.errors import Advice, ImageError, Note
from napari_fcn.geometry import Region
from napari_fcn.geometry.resampling import Resampling
from napari_fcn.inference.intensities import fit_scaling
from napari_fcn.inference.resampling import (
    NO_OBJECT_SIZE,
    ResampledSource,
    object_grid,
    plan_grid,
    resample_objects,
)
from napari_fcn.inference.source import spread_blocks
from napari_fcn.objects.landscape import ObjectRule
from napari_fcn.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from napari_fcn.inference.backends import Backend
    from napari_fcn.inference.source import ImageSource
    from napari_fcn.models.card import ModelInfo
    from napari_fcn.models.normalise import AnyScaling
    from napari_fcn.settings import PredictSettings

    Probabilities = npt.NDArray[np.float32]

SCALES = (2**-2.5, 2**-1.5, 2**-0.5, 1.0, 2**0.5, 2**1.5)  # pixels of the network per pixel of the image
GROWTH = 3  # pixels of the network by which an object grows into its rim, and that surround the foreground
WINDOW = {1: 2**12, 2: 2**7, 3: 2**6}  # length of a window in pixels of the network, by its number of axes
PLACES = 3  # windows at each scale
CELL, SMOOTHING = 64, 4  # pixels over which structure is measured, and over which noise is averaged before
BALL = {1: 1.0, 2: pi / 4, 3: pi / 6}  # volume of a ball of diameter 1
SCALE_COST = 0.15  # of the margin between probabilities, per factor of 2 from the size of the image
NEAR = (0.6, 3.0)  # sizes relative to the best one between which resampling costs more than it gains
LARGE = 1.5  # size to which larger objects are resampled, relative to the best one: less detail is lost
SIZES = (0.25, 5.0)  # smallest and largest size that is believed, relative to that at which the network works best
GIVE_SIZE = Advice("Give --object-size a number if it has some.", "Set Object size under Advanced if it has some.")


@dataclass(frozen=True, slots=True)
class SizeChoice:
    """The size of objects that was chosen for an image.

    Attributes
    ----------
    measured : float
        Diameter of the objects in pixels of the image; 0 if none were found.
    used : float
        The object size with which the image is read: the measured one, a smaller one for large objects, or that of the
        model if the image is not resampled.
    pixels : int
        Pixels that the network has predicted for the choice.
    """

    measured: float
    used: float
    pixels: int = field(default=0, compare=False)

    @classmethod
    def stored(cls, identity: object) -> SizeChoice | None:
        """Return the choice of an earlier run from its `identity`; None if it is not one."""
        if (
            not isinstance(identity, list)
            or len(identity) != 2
            or not all(isinstance(n, int | float) for n in identity)
        ):
            return None
        measured, used = map(float, identity)
        return cls(measured, used) if 0 <= measured < inf and 0 < used < inf else None

    @property
    def identity(self) -> list[float]:
        """The sizes as JSON, which identify a run."""
        return [self.measured, self.used]

    def notes(self, best: float) -> tuple[str, ...]:
        """Return a sentence for the user; ``best`` is the size at which the model works best."""
        if not self.measured:
            return (Note("No objects were found to measure their size: the image is read at its own size.", GIVE_SIZE),)
        sizes = f"Objects are about {self.measured:g} px; the model works best at {best:g} px:"
        if self.used == best:
            return (f"{sizes} near enough, not resampled.",)
        factor = best / self.used
        return (f"{sizes} resampled by {factor:.2g}, to {factor * self.measured:.2g} px.",)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What the network found at one scale: the size of objects in its pixels, how sure it is, 0..1, and its work."""

    scale: float
    size: float
    sureness: float
    pixels: int

    @property
    def measured(self) -> float:
        """Size of the objects in pixels of the image."""
        return self.size / self.scale

    @property
    def score(self) -> float:
        return self.sureness - SCALE_COST * abs(log2(self.scale))

    def is_credible(self, best: float) -> bool:
        return SIZES[0] * best <= self.size <= SIZES[1] * best


@dataclass(frozen=True, slots=True, eq=False)
class NetworkGrid:
    """The grid of pixels on which a network reads an image, known at once or after the objects are measured.

    Attributes
    ----------
    source : ImageSource
        The image.
    info : ModelInfo
        The model.
    settings : PredictSettings
        The object size, and the kernel.
    planned : (Resampling or None, tuple of str)
        The resampling and its notes without a measurement.
    """

    source: ImageSource
    info: ModelInfo
    settings: PredictSettings
    planned: tuple[Resampling | None, tuple[str, ...]]

    @classmethod
    def plan(
        cls, source: ImageSource, spacing: Sequence[float], info: ModelInfo, settings: PredictSettings
    ) -> NetworkGrid:
        """Return the grid of an image; errors as of `plan_grid`, and if a model does not state the size of objects."""
        if settings.object_size == AUTO and not info.object_size:
            raise ImageError(
                "The object size auto was given, but the model does not state at which size it works best.",
                NO_OBJECT_SIZE,
            )
        return cls(source, info, settings, plan_grid(source, spacing, info, settings))

    @property
    def is_measured(self) -> bool:
        """Whether the settings ask for a measurement."""
        return self.settings.object_size == AUTO

    def measure(self, backend: Backend) -> SizeChoice:
        """Return the size of the objects, found by a network that is ready to run."""
        scaling, _ = fit_scaling(self.source, self.info, self.settings)
        return choose_object_size(self.source, scaling, backend, self.info)

    def object_size(self, choice: SizeChoice | None) -> float | None:
        """Return the object size as a number, of the measurement if there is one."""
        size = self.settings.object_size if choice is None else choice.used
        return None if size is None else float(size)

    def resampling(self, choice: SizeChoice | None) -> Resampling | None:
        """Return the map from the pixels of the image to those of the network; None if they are the same."""
        if choice is None:
            return self.planned[0]
        return resample_objects(self.source, choice.used, self.info.object_size, self.settings.resample)[0]

    def notes(self, choice: SizeChoice | None) -> tuple[str, ...]:
        """Return sentences for the user."""
        return self.planned[1] if choice is None else choice.notes(self.info.object_size)


def choose_object_size(source: ImageSource, scaling: AnyScaling, backend: Backend, info: ModelInfo) -> SizeChoice:
    """Return the size of the objects in an image, measured in a few windows at several scales.

    The scale is that at which the network is surest: the difference between the two largest probabilities, on average
    over the foreground and its surroundings, less a cost for scales far from that of the image. The size of objects
    there is measured again at the scale at which they have the size of the model. An image whose
    objects are near that size is read as it is. The choice depends on the whole image only: windows lie where there is
    structure, far from each other, in all frames and planes.

    Parameters
    ----------
    source : ImageSource
        The image.
    scaling : Scaling or FrameScaling
        How its intensities are scaled.
    backend : Backend
        The network, ready to run.
    info : ModelInfo
        Its description, with the size of objects at which it works best.
    """
    best, places = info.object_size, find_places(source, scaling)
    probe = _Probe(source, scaling, backend, info, places)
    findings = [probe.measure(scale) for scale in SCALES]
    credible = [finding for finding in findings if finding.is_credible(best)]
    pixels = sum(finding.pixels for finding in findings)
    if not credible:
        return SizeChoice(0.0, best, pixels)
    chosen = max(credible, key=lambda finding: finding.score)
    again = probe.measure(best / chosen.measured)
    pixels += again.pixels
    if again.is_credible(best) and abs(log2(again.measured / chosen.measured)) < 1:
        chosen = again
    measured = float(f"{chosen.measured:.2g}")
    if NEAR[0] * best <= measured <= NEAR[1] * best:
        return SizeChoice(measured, best, pixels)
    return SizeChoice(measured, measured if measured < best else float(f"{measured / LARGE:.3g}"), pixels)


def find_places(source: ImageSource, scaling: AnyScaling) -> list[tuple[float, ...]]:
    """Return the centres of at most `PLACES` parts of an image, on its axes: with much structure, far from each other.

    Structure is the standard deviation of scaled intensities in cells of 64 x 64 pixels, of blocks spread over the
    image, after a mean of 4 x 4 pixels.
    """
    cells = [cell for region in spread_blocks(source.shape) for cell in _cells(source, scaling, region)]
    centres, structure = np.array([centre for centre, _ in cells]), np.array([value for _, value in cells])
    extent, chosen = np.array(source.shape, float), [int(structure.argmax())]
    distance = np.full(len(cells), 1.0)
    while len(chosen) < min(PLACES, len(cells)):
        latest = np.abs((centres - centres[chosen[-1]]) / extent).max(1)
        distance = np.minimum(distance, latest)
        chosen.append(int((structure * np.minimum(distance, 1 / PLACES)).argmax()))
    return [tuple(float(x) for x in centres[i]) for i in dict.fromkeys(chosen)]


def _cells(source: ImageSource, scaling: AnyScaling, region: Region) -> Iterator[tuple[tuple[float, ...], float]]:
    """Yield the centre and the structure of each cell of a region."""
    block = scaling.apply(source.read(region), region).mean(0)
    rows, columns = ([1] * 2 + [*block.shape])[-2:]
    for y in range(0, max(1, rows - CELL // 2), CELL):
        for x in range(0, max(1, columns - CELL // 2), CELL):
            inside = [slice(None)] * (block.ndim - 2) + [slice(y, y + CELL), slice(x, x + CELL)]
            cell = block[tuple(inside[-block.ndim :])]
            smooth = ndimage.uniform_filter(cell, [min(SMOOTHING, n) for n in cell.shape])
            offset = [0.0] * (block.ndim - 2) + [float(y), float(x)]
            steps = zip(region.start, offset[-block.ndim :], cell.shape, strict=True)
            yield tuple(start + skip + n / 2 for start, skip, n in steps), float(smooth.std())


@dataclass(frozen=True, slots=True)
class _Probe:
    """A network on windows of an image at any scale."""

    source: ImageSource
    scaling: AnyScaling
    backend: Backend
    info: ModelInfo
    places: Sequence[tuple[float, ...]]

    def measure(self, scale: float) -> _Finding:
        """Return what the network finds in the windows, with ``scale`` of its pixels per pixel of the image."""
        names, axes = [label.name for label in self.info.classes], self.source.axes
        rule = ObjectRule.from_class_names(names, axes.space, axes.space)
        one = BALL[len(axes.space)] * self.info.object_size ** len(axes.space)  # pixels of an object
        volumes: list[npt.NDArray[np.intp]] = []
        margin = near = pixels = 0.0
        for window, block in self._blocks(scale):
            probabilities = self.backend.probabilities(block)[0, : len(names)]
            pixels += window.size
            inside, cut = measure_objects(probabilities.argmax(0), rule)
            volumes.append(inside if 2 * inside.sum() > cut.sum() else np.concatenate([inside, cut]))
            total, count = _margin(probabilities)
            margin, near = margin + total, near + count
        sizes = (np.concatenate(volumes) / BALL[len(axes.space)]) ** (1 / len(axes.space))
        size = _typical(sizes[sizes >= SIZES[0] * self.info.object_size])
        return _Finding(scale, size, margin / (near + one), int(pixels))

    def _blocks(self, scale: float) -> Iterator[tuple[Region, npt.NDArray[np.float32]]]:
        """Yield the windows on the grid of the network, each once, and their scaled blocks ``(1, C, *space)``."""
        source, axes = self.source, self.source.axes
        target = object_grid(source, 1 / scale)
        read = source if target == source.shape else ResampledSource(source, Resampling(source.shape, target))
        longest = axes.spread([WINDOW[len(axes.space)]] * len(axes.space), 1)
        windows = []
        for place in self.places:
            lengths = [min(n, length) for n, length in zip(target, longest, strict=True)]
            middle = [floor(x * m / n) for x, m, n in zip(place, target, source.shape, strict=True)]
            start = tuple(
                min(max(0, x - length // 2), n - length) for x, length, n in zip(middle, lengths, target, strict=True)
            )
            windows.append(Region(start, tuple(a + n for a, n in zip(start, lengths, strict=True))))
        for window in dict.fromkeys(windows):
            block = self.scaling.apply(read.read(window), window)
            yield window, np.ascontiguousarray(axes.to_net(block))


def measure_objects(
    classes: npt.NDArray[np.intp], rule: ObjectRule
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pixels of each object of a window: of those inside, and of those that its border cuts.

    Parameters
    ----------
    classes : ndarray
        ``(*space)``: class of each pixel.
    rule : ObjectRule
        Which of them form objects; objects grow into their rim.
    """
    numbers = np.zeros(classes.shape, np.intp)
    for label in rule.inside:
        pieces, _ = ndimage.label(classes == label)
        numbers = np.where(pieces > 0, pieces + numbers.max(), numbers)
    if rule.rim:
        distance, nearest = ndimage.distance_transform_edt(numbers == 0, return_indices=True)
        is_rim = np.isin(classes, rule.rim) & (distance <= GROWTH)
        numbers = np.where(is_rim, numbers[tuple(nearest)], numbers)
    volumes = np.bincount(numbers.ravel(), minlength=1)
    volumes[0] = 0
    is_cut = np.zeros(len(volumes), bool)
    for axis in range(numbers.ndim):
        is_cut[np.take(numbers, [0, -1], axis)] = True
    return volumes[~is_cut & (volumes > 0)], volumes[is_cut & (volumes > 0)]


def _margin(probabilities: Probabilities) -> tuple[float, int]:
    """Return the sum of the margins over the foreground and its surroundings, and their number of pixels."""
    near = ndimage.binary_dilation(probabilities.argmax(0) > 0, iterations=GROWTH)
    top = np.partition(probabilities, -2, axis=0)
    return float((top[-1] - top[-2])[near].sum()), int(near.sum())


def _typical(sizes: npt.NDArray[np.float64]) -> float:
    """Return the size at which objects, in order of size, have half of the sum of sizes; 0 without any.

    Neither fragments, which are many and small, nor joined objects, which are few and large, have much influence.
    """
    if not sizes.size:
        return 0.0
    ordered = np.sort(sizes)
    total = np.cumsum(ordered)
    return float(ordered[np.searchsorted(total, total[-1] / 2)])
