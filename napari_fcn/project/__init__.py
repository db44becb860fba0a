"""Saved teaching sessions: folders with strokes, commits, settings, and the identity of the image.

Importing this package does not load torch; reading weights does.
"""

from napari_fcn.project.folder import Project
from napari_fcn.project.image import ImageRecord, fingerprint
from napari_fcn.project.paths import copy_project, default_path

__all__ = ["ImageRecord", "Project", "copy_project", "default_path", "fingerprint"]
