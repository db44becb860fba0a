"""Events of the analysis of receptive fields and of tiling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_fcn.geometry import Region


@dataclass(frozen=True, slots=True, eq=False)
class FieldDone:
    """The effective receptive field of one pixel, or the mean over several (Luo et al. 2016).

    Attributes
    ----------
    region : Region
        The theoretical receptive field on the image axes; nothing outside has any influence. For a mean over pixels
        it is relative to the pixel.
    heat : ndarray
        ``region.shape`` float32: fraction of the influence that each pixel has; sums to one.
    index : tuple of int
        The pixel, on the image axes; zeros for a mean.
    label : int
        Index of the class whose logit was used.
    size : tuple of int
        Size of the theoretical receptive field per image axis, not clipped at the border.
    widths : tuple of int
        Size per image axis that contains 90 % of the influence.
    r50, r90, r99 : float
        Distance in pixels within which 50, 90 and 99 % of the influence lie.
    used : float
        Fraction of the theoretical receptive field that is used, 0..1.
    seconds : float
        Duration of the computation.
    """

    region: Region
    heat: npt.NDArray[np.float32]
    index: tuple[int, ...]
    label: int
    size: tuple[int, ...]
    widths: tuple[int, ...]
    r50: float
    r90: float
    r99: float
    used: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CheckStep:
    """A step of a certificate, an equivariance map or a border map is done: ``done`` of ``total`` runs."""

    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """The prediction in tiles was compared with the prediction in one piece.

    Attributes
    ----------
    region : Region
        The part of the image that was compared.
    difference : ndarray
        ``region.shape`` float32: largest difference of a probability at each pixel.
    is_exact : bool
        Whether no probability differs by more than ``tolerance``.
    max_error, mean_error, tolerance : float
        Largest and mean difference of the probabilities, and the largest that counts as exact.
    label_flips : int
        Number of pixels whose class differs.
    tiles : int
        Number of tiles.
    halo_needed, halo_used : tuple of (int, int)
        Pixels before and after a tile, per axis of the network, that the receptive field needs and that the tiles read.
    reason : str
        Why the tiles are exact or not, and what was compared, for the user.
    """

    region: Region
    difference: npt.NDArray[np.float32]
    is_exact: bool
    max_error: float
    mean_error: float
    tolerance: float
    label_flips: int
    tiles: int
    halo_needed: tuple[tuple[int, int], ...]
    halo_used: tuple[tuple[int, int], ...]
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class EquivarianceDone:
    """The image was shifted by each step of the pooling grid, to test whether the prediction shifts with it.

    Attributes
    ----------
    region : Region
        Region on the image axes.
    values : ndarray
        ``region.shape`` float32: largest change of a probability over all shifts; 0 is equivariant.
    by_shift : tuple of tuple of float
        Per axis of the network, the mean change for a shift by 1, 2, ... pixels.
    flips : float
        Fraction of the pixels that change class at some shift, 0..1.
    sentence : str
        The finding, for the user.
    """

    region: Region
    values: npt.NDArray[np.float32]
    by_shift: tuple[tuple[float, ...], ...]
    flips: float
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class BorderTrustDone:
    """The dependence of predictions near the image border on padding was measured.

    Attributes
    ----------
    region : Region
        Region on the image axes.
    outside : ndarray
        ``region.shape`` float32: fraction of the effective receptive field that lies outside the image, 0..1.
    change : ndarray
        ``region.shape`` float32: largest difference of a probability between zero, reflect and replicate padding.
    depth : int
        Distance from the border in pixels within which a probability differs by more than 0.01.
    flips : float
        Fraction of these pixels whose class depends on the padding, 0..1.
    sentence : str
        The finding, for the user.
    """

    region: Region
    outside: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]
    depth: int
    flips: float
    sentence: str


@dataclass(frozen=True, slots=True, eq=False)
class ReachDone:
    """The pixels whose prediction a stroke can influence.

    Attributes
    ----------
    region : Region
        Their bounding box on the image axes.
    mask : ndarray
        ``region.shape`` bool: pixels whose prediction depends on a pixel of the stroke.
    """

    region: Region
    mask: npt.NDArray[np.bool_]
