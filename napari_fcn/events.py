"""What the engine yields while it works: frozen facts, each complete in itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Region


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """A prediction is about to start.

    Attributes
    ----------
    tiles : int
        Number of tiles.
    tile, halo : tuple
        Core length and (before, after) halo per image axis, in pixels.
    device, precision : str
        Where and in which numbers the network runs, for example ``"cpu"`` and ``"float32"``.
    peak_bytes : int
        Memory that the run is predicted to need beyond what is in use, in bytes.
    notes : tuple of str
        Sentences for the user: what was replaced, guessed or left out.
    """

    tiles: int
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    device: str
    precision: str
    peak_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TileDone:
    """The answer for one tile.

    Attributes
    ----------
    region : Region
        Where it lies, on the image axes.
    probabilities : ndarray
        ``(classes, *region.shape)`` float32, sums to one over the classes.
    done, total : int
        Tiles finished so far, and in all.
    """

    region: Region
    probabilities: npt.NDArray[np.float32]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RunDone:
    """A prediction has finished.

    Attributes
    ----------
    pixels : int
        Pixels of the image (all loop axes included).
    seconds : float
        Time from the first read to the last tile.
    device, precision : str
        Where and in which numbers the network ran.
    """

    pixels: int
    seconds: float
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class EpochDone:
    """One pass of training has finished.

    Attributes
    ----------
    epoch, epochs : int
        Passes finished so far, and planned.
    loss : float
        Mean training loss of the pass.
    scores : dict of str to float
        Validation scores, each in 0..1, higher is better.
    best : bool
        Whether these are the best weights so far (they are on disk).
    seconds : float
        Time since the start of training.
    """

    epoch: int
    epochs: int
    loss: float
    scores: dict[str, float]
    best: bool
    seconds: float
