"""Modules and tables that napari loads with the first layer of a kind, which would block the window for 200 ms."""

from contextlib import suppress
from importlib import import_module

from napari_fcn.gui._layers.napari_private import fill_dash_patterns

MODULES = ("pandas", "scipy.ndimage", "skimage.color.colorconv")  # tables of features, thumbnails, colours of labels


def preload_layer_modules() -> None:
    """Import the modules that layers need and fill their caches; safe on any thread: Qt and layers are not used."""
    for name in MODULES:
        with suppress(ImportError):  # not needed by this version of napari
            import_module(name)
    fill_dash_patterns()
