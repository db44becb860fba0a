"""Prediction of tiles on the workers of a dask cluster, on one or several computers."""

from napari_fcn.distributed.cluster import Cluster, connect
from napari_fcn.distributed.predictor import DistributedPredictor

__all__ = ["Cluster", "DistributedPredictor", "connect"]
