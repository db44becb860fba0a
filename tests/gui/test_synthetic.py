import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_fcn.gui.synthetic import CELL_KINDS, make_cells


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_each_kind_gives_an_image_and_a_hidden_truth_layer(kind: str, qtbot: object) -> None:
    widget = make_cells()
    try:
        image, truth = (Layer.create(*data) for data in widget(kind=kind, size=64, diameter=12, seed=3))
    finally:
        widget.close()
    viewer = ViewerModel()
    viewer.add_layer(image)
    viewer.add_layer(truth)
    assert image.data.shape == truth.data.shape
    assert image.ndim == {"plane": 2, "volume": 3, "movie": 3}[kind]
    assert truth.data.max() > 0
    assert not truth.visible
    assert tuple(image.scale) == tuple(truth.scale)


def test_the_seed_determines_the_cells(qtbot: object) -> None:
    widget = make_cells()
    try:
        first, again, other = (widget(size=64, seed=seed) for seed in (1, 1, 2))
    finally:
        widget.close()
    assert (first[0][0] == again[0][0]).all()
    assert (first[0][0] != other[0][0]).any()
