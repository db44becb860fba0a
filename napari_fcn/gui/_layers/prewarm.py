"""What napari loads and computes for the first layer of a kind, which would hold up the window for 200 ms."""

from importlib import import_module

NEEDED = ("pandas", "scipy.ndimage", "skimage.color.colorconv")  # tables of features, thumbnails, colours of labels


def load_what_layers_need() -> None:
    """Import it and fill its caches; touches neither Qt nor a layer, so any thread may."""
    for name in NEEDED:
        import_module(name)
    from vispy.visuals.line.dash_atlas import DashAtlas

    DashAtlas()  # patterns of dashed lines: napari makes one for the polygon tool of each Labels layer
