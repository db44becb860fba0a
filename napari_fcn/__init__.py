"""Segment microscopy images with fully convolutional networks that learn from your corrections.

The public names are resolved on first use, so that ``import napari_fcn`` loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fcn.api import certify as certify
    from napari_fcn.api import classes as classes
    from napari_fcn.api import finetune as finetune
    from napari_fcn.api import load as load
    from napari_fcn.api import predict as predict
    from napari_fcn.api import receptive_field as receptive_field
    from napari_fcn.errors import FcnError as FcnError
    from napari_fcn.session import Session as Session
    from napari_fcn.teaching import Teaching as Teaching

_HOMES = {
    "FcnError": "napari_fcn.errors",
    "Session": "napari_fcn.session",
    "Teaching": "napari_fcn.teaching",
    "certify": "napari_fcn.api",
    "classes": "napari_fcn.api",
    "finetune": "napari_fcn.api",
    "load": "napari_fcn.api",
    "predict": "napari_fcn.api",
    "receptive_field": "napari_fcn.api",
}

__all__ = [
    "FcnError",
    "Session",
    "Teaching",
    "__version__",
    "certify",
    "classes",
    "finetune",
    "load",
    "predict",
    "receptive_field",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-fcn")
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_fcn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
