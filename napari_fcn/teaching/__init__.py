"""Teaching a model with strokes on an image."""

from napari_fcn.teaching.teaching import Teaching

__all__ = ["Teaching"]
