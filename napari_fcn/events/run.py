"""Events of a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        Device and number type of the network, for example ``"cpu"`` and ``"float32"``.
    peak_bytes : int
        Memory in bytes that the run is predicted to need in addition to what is in use.
    notes : tuple of str
        Sentences for the user: replacements, guesses and omissions.
    done : int
        Tiles finished by an earlier run.
    allowed_bytes : int
        Memory in bytes that the run may use; 0 without a limit.
    """

    tiles: int
    tile: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]
    device: str
    precision: str
    peak_bytes: int
    notes: tuple[str, ...] = ()
    done: int = 0
    allowed_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TileDone:
    """The prediction for one tile.

    Attributes
    ----------
    region : Region
        Core of the tile, on the image axes.
    probabilities : ndarray
        ``(classes, *region.shape)`` float32, sums to one over the classes.
    done, total : int
        Tiles finished so far, and in all.
    work : float
        Fraction of the work of this run that is done, 0..1, by the pixels that tiles read; 0 if it is unknown.
    distance : ndarray or None
        ``region.shape`` float32, 0..1: predicted distance to the border of the object, relative to the largest in it;
        None if the network has none.
    """

    region: Region
    probabilities: npt.NDArray[np.float32]
    done: int
    total: int
    work: float = 0.0
    distance: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PreviewDone:
    """The prediction for a part of what is on screen, ahead of its tile; the tile follows as a `TileDone`.

    Attributes
    ----------
    region : Region
        On the image axes.
    probabilities : ndarray
        ``(classes, *region.shape)`` float32; equal to that of the tile up to rounding.
    work : float
        As in `TileDone`; previews are a part of the work.
    """

    region: Region
    probabilities: npt.NDArray[np.float32]
    work: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ResultsDone:
    """The results for one tile, encoded as in files: yielded by a run on a cluster.

    Attributes
    ----------
    region : Region
        Core of the tile, on the image axes.
    results : mapping of str to ndarray
        An array for each kind of result: ``(classes, *region.shape)`` for ``"probabilities"`` (float32) and
        ``"probabilities8"`` (uint8), ``region.shape`` for ``"classes"`` (uint8) and for ``"landscape"`` (uint16), from
        which objects are found.
    done, total : int
        Tiles finished so far, and in all.
    """

    region: Region
    results: Mapping[str, npt.NDArray[np.generic]]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ObjectsStep:
    """A step of the search for objects is done: ``done`` of ``total``."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FallbackTaken:
    """Memory ran out, and the run continues with less; finished tiles are kept.

    Attributes
    ----------
    line : str
        A sentence or two for the user: what did not fit, and what is used instead.
    tile : tuple of int
        Core length per image axis from now on, in pixels.
    device, precision : str
        Device and number type from now on, as in `RunPlanned`.
    total : int
        Tiles in all, including the finished ones.
    """

    line: str
    tile: tuple[int, ...]
    device: str
    precision: str
    total: int


@dataclass(frozen=True, slots=True)
class RunDone:
    """A prediction has finished.

    Attributes
    ----------
    pixels : int
        Pixels of the image, including all loop axes.
    seconds : float
        Time from the first read to the last tile.
    device, precision : str
        Device and number type that were used, as in `RunPlanned`.
    notes : tuple of str
        Sentences for the user: what happened during the run.
    """

    pixels: int
    seconds: float
    device: str
    precision: str
    notes: tuple[str, ...] = ()
