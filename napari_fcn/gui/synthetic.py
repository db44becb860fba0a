"""A dock that makes synthetic cells with exact ground truth, to test models on."""

# No postponed annotations here: napari evaluates the return annotation.
from magicgui import magic_factory
from magicgui.widgets import FunctionGui
from napari.types import LayerDataTuple

from napari_fcn import sample_data
from napari_fcn.gui._samples import sample_layers
from napari_fcn.gui._widgets.guard import DockGuard
from napari_fcn.sample_data import Look, Sample

CELL_KINDS = ("plane", "volume", "movie")
PIXEL_MICROMETRES = 0.5
MOVIE_FRAMES, MINUTES_PER_FRAME = 16, 5


def _guard(widget: FunctionGui) -> None:
    DockGuard(widget.native)


@magic_factory(
    call_button="Make cells",
    widget_init=_guard,
    kind={
        "label": "Kind",
        "choices": CELL_KINDS,
        "tooltip": "A plane, a volume with planes twice as far apart, or a movie.",
    },
    size={
        "label": "Size (px)",
        "min": 64,
        "max": 4096,
        "step": 64,
        "tooltip": "Length of y and x; z of a volume has an eighth.",
    },
    diameter={"label": "Diameter (px)", "min": 6, "max": 200, "tooltip": "Mean diameter of a cell."},
    crowding={
        "label": "Crowding",
        "widget_type": "FloatSlider",
        "min": 0.05,
        "max": 1.0,
        "tooltip": "Density of cells; at 1, they touch.",
    },
    photons={
        "label": "Photons",
        "min": 5,
        "max": 5000,
        "tooltip": "Photons per pixel of a typical cell; fewer give more noise.",
    },
    seed={"label": "Seed", "min": 0, "max": 10_000, "tooltip": "The same seed gives the same cells."},
)
def make_cells(
    kind: str = "plane",
    size: int = 512,
    diameter: int = 28,
    crowding: float = 0.7,
    photons: int = 150,
    seed: int = 0,
) -> list[LayerDataTuple]:
    """Return an image layer of synthetic cells and a hidden labels layer with their ground truth."""
    look = Look(diameter=diameter, crowding=crowding, photons=photons, spacing=(2, 1, 1) if kind == "volume" else ())
    step, unit = (
        {"z": 2 * PIXEL_MICROMETRES, "y": PIXEL_MICROMETRES, "x": PIXEL_MICROMETRES, "t": 60.0 * MINUTES_PER_FRAME},
        {"t": "second"},
    )
    if kind == "movie":
        image, labels = sample_data.cells_movie((MOVIE_FRAMES, size, size), seed=seed, look=look)
    else:
        image, labels = sample_data.cells(
            (size // 8, size, size) if kind == "volume" else (size, size), seed=seed, look=look
        )
    axes = {"plane": ("y", "x"), "volume": ("z", "y", "x"), "movie": ("t", "y", "x")}[kind]
    scale, units = tuple(step[axis] for axis in axes), tuple(unit.get(axis, "micrometer") for axis in axes)
    name = f"Synthetic cells, {kind} {seed}"
    return [LayerDataTuple(data) for data in sample_layers(Sample(name, image, labels, axes, scale, units))]
