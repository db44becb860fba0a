"""From the class of each pixel to objects."""

from napari_fcn.objects.instances import ObjectRule, find_objects

__all__ = ["ObjectRule", "find_objects"]
