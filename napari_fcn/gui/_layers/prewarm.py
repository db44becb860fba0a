"""What napari loads and computes for the first layer of a kind, which would hold up the window for 200 ms."""

from importlib import import_module

MODULES = ("pandas", "scipy.ndimage", "skimage.color.colorconv")  # tables of features, thumbnails, colours of labels


def preload_layer_modules() -> None:
    """Import it and fill its caches; touches neither Qt nor a layer, so any thread may."""
    for name in MODULES:
        import_module(name)
    from vispy.visuals.line.dash_atlas import DashAtlas

    DashAtlas()  # patterns of dashed lines: napari makes one for the polygon tool of each Labels layer
