"""A model, an image, and what strokes teach the model there."""

from napari_fcn.teaching.teaching import Teaching

__all__ = ["Teaching"]
