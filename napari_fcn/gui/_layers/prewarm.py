"""The modules and tables that napari loads with the first layer of a kind: 200 ms in which the window would stop."""

from contextlib import suppress
from importlib import import_module

from napari_fcn.gui._layers.napari_private import fill_dash_patterns

MODULES = ("pandas", "scipy.ndimage", "skimage.color.colorconv")  # tables of features, thumbnails, colours of labels


def preload_layer_modules() -> None:
    """Import the modules that layers need and fill their caches; safe on any thread: Qt and layers are not used."""
    for name in MODULES:
        with suppress(ImportError):  # a napari that does not need it
            import_module(name)
    fill_dash_patterns()
