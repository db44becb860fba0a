"""Objects from the class of each pixel."""

from napari_fcn.objects.instances import ObjectRule, find_objects

__all__ = ["ObjectRule", "find_objects"]
