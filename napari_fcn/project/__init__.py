"""The folder on disk that outlives a session: strokes, commits, settings, and which image they belong to.

Nothing here loads torch until weights are asked for.
"""

from napari_fcn.project.folder import Project
from napari_fcn.project.image import ImageRecord, fingerprint
from napari_fcn.project.paths import copy_project, default_path

__all__ = ["ImageRecord", "Project", "copy_project", "default_path", "fingerprint"]
