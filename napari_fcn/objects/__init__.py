"""From the class of each pixel to objects."""

from napari_fcn.objects.instances import Rule, find_objects

__all__ = ["Rule", "find_objects"]
