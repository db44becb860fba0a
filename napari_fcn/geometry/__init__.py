"""Boxes, axes and tiles: n-dimensional values that depend on numpy only."""

from napari_fcn.geometry.axes import Axes
from napari_fcn.geometry.field import ReceptiveField
from napari_fcn.geometry.region import Region
from napari_fcn.geometry.tiling import Tile, TilePlan

__all__ = ["Axes", "ReceptiveField", "Region", "Tile", "TilePlan"]
