"""Tiles on the workers of a dask cluster: on this computer, or on many."""

from napari_fcn.distributed.cluster import Cluster, connected
from napari_fcn.distributed.predictor import Hired

__all__ = ["Cluster", "Hired", "connected"]
