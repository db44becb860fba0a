"""Teaching a model with strokes on an image."""

from napari_fcn.teaching.context import SavedSession
from napari_fcn.teaching.teaching import Teaching

__all__ = ["SavedSession", "Teaching"]
