"""Tiles on the workers of a dask cluster: on this computer, or on many."""

from napari_fcn.batch.cluster import Cluster, connected
from napari_fcn.batch.hired import Hired

__all__ = ["Cluster", "Hired", "connected"]
