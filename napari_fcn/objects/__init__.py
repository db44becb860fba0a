"""Objects from the probabilities of a network."""

from napari_fcn.objects.instances import Separation, find_objects
from napari_fcn.objects.landscape import ObjectRule

__all__ = ["ObjectRule", "Separation", "find_objects"]
