"""Tiles on the workers of a dask cluster: on this computer, or on many."""

from napari_fcn.distributed.cluster import Cluster, connect
from napari_fcn.distributed.predictor import DistributedPredictor

__all__ = ["Cluster", "DistributedPredictor", "connect"]
