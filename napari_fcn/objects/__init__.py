"""Objects from the probabilities of a network."""

from napari_fcn.objects.instances import ArrayStore, Separation, find_objects, objects_of
from napari_fcn.objects.landscape import ObjectRule

__all__ = ["ArrayStore", "ObjectRule", "Separation", "find_objects", "objects_of"]
