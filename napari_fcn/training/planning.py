"""Plans a network from the images of a training folder, as `finetune` does from its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fcn.errors import ImageError
from napari_fcn.io.images import read_header
from napari_fcn.models.binding import Network, new_network
from napari_fcn.models.recipe import fitting_spec, parse_words
from napari_fcn.training.pairs import bind_pair, find_pairs
from napari_fcn.training.targets import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_fcn.nets.spec import NetSpec
    from napari_fcn.settings import TrainSettings

UNLIMITED = 2**30  # pixels: a depth that is stated is not reduced for short images


def plan_for_folder(
    text: str, folder: Path, settings: TrainSettings, classes: int = 0, voxel_size: Sequence[float] = ()
) -> tuple[NetSpec, tuple[float, ...]]:
    """Return a network for the images of a folder, and their voxel size in micrometres per axis of the network.

    Axes, channels, pools and kernels that the text does not state follow from the first training image: its axes in
    space, its channels (colours are read as luminance), its voxel size and shape.

    Parameters
    ----------
    text : str
        The network, as for `parse_spec`.
    folder : Path
        The training folder.
    settings : TrainSettings
        The target, which may fix the number of classes, the names of the training images, and their relative pixel
        sizes, if the files do not state them.
    classes : int
        Number of classes, if the recipe states them; 0: that of the target.
    voxel_size : sequence of float
        Voxel size in the recipe, which also gives the number of axes; empty: that of the file.

    Returns
    -------
    spec : NetSpec
        The network.
    voxel_size : tuple of float
        Empty if unknown, or if the images have different ones.

    Raises
    ------
    ImageError
        If the folder has no training image, or it cannot be read.
    FcnError
        If the text is no network.
    """
    words = parse_words(text)
    defaults = {"classes": classes or CLASSES.get(settings.target), "ndim": len(voxel_size)}
    text = " ".join([text, *(f"{name}={n}" for name, n in defaults.items() if n and name not in words)])
    pairs = find_pairs(folder, (settings.train, ""))
    if not pairs:
        raise ImageError(
            f"{folder} holds no labelled image whose name fits {settings.train!r}. Needed are pairs such as "
            "a_image.tif and a_label.tif; change the pattern or the folder."
        )
    image, labels = pairs[0].read()
    ndim, time = words.get("ndim") or len(voxel_size) or None, words.get("time")
    network = new_network(words["family"], labels.shape, [n for n in image.axes if n not in ("c", "s")], ndim, time)
    channels = words.get("channels")
    known = Network(network.ndim, channels if isinstance(channels, int) else network.channels, network.time)
    try:
        bound, labels = bind_pair(image, labels, known)
    except ImageError as error:
        raise ImageError(f"{pairs[0].name}: {error.short}", error.advice) from error
    shape = tuple(labels.shape[position] for position in bound.axes.space_positions)
    relative = tuple(voxel_size) or bound.ratios
    if len(settings.spacing) in (1, len(shape)):
        relative = settings.spacing if len(settings.spacing) == len(shape) else settings.spacing * len(shape)
    spec = fitting_spec(
        text,
        relative,
        (UNLIMITED,) * len(shape) if "depth" in words else shape,
        1 if bound.rgb else bound.axes.channels(image.data.shape),
    )
    return spec, tuple(voxel_size) or (bound.spacing if _have_one_calibration([pair.image for pair in pairs]) else ())


def _have_one_calibration(paths: Sequence[Path]) -> bool:
    """Whether all files state the same pixel sizes."""
    first, *others = ((header.scale, header.units) for header in map(read_header, paths))
    return all(other == first for other in others)


def describe_network(spec: NetSpec) -> str:
    """Return a sentence for the user: family, channels, classes and pools of a network."""
    pools = ", ".join("x".join(map(str, pool)) for pool in spec.pool)
    channels = f"{spec.channels} channel{'' if spec.channels == 1 else 's'}"
    return (
        f"Network: {spec.family}, {spec.ndim}-D, {channels}, {spec.classes} classes, width {spec.width}, depth "
        f"{spec.depth}, pools {pools or 'none'}."
    )
