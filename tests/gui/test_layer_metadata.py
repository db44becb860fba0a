"""Axis names, channels and pixel size of a layer, from its metadata and its file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.layers._source import layer_source

from napari_fcn.geometry.calibration import Calibration
from napari_fcn.gui._layers import read_layer
from napari_fcn.gui._layers.layer_metadata import channel_names

NAMED = ("DAPI", "actin")
OME = {"axes": "CYX", "Channel": {"Name": list(NAMED)}, "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3}


def of(scale: tuple[float, ...], origin: tuple[float, ...]) -> Calibration:
    return Calibration.of(scale, ("micrometer",) * len(scale), origin)


def opened(path: Path, **how: Any) -> Image:
    """Return the layer that napari makes of a file: its pixels, and its path."""
    with layer_source(path=str(path)):
        return Image(tifffile.imread(path), rgb=False, **how)


@pytest.mark.parametrize(
    "metadata",
    [
        {"channel_names": list(NAMED)},
        {"name": NAMED},
        {"ChNames": list(NAMED)},
        {"Summary": {"ChNames": list(NAMED)}},
        {"Channel": {"Name": list(NAMED)}},
        {"omero": {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "actin"}]}},
        {"attributes": {"ome": {"omero": {"channels": [{"label": "DAPI"}, {"label": "actin"}]}}}},
        {"name": "cells", "channels": [{"name": "DAPI"}, {"name": "actin"}]},
    ],
)
def test_channel_names_are_found_in_the_metadata_of_common_readers(metadata: dict[str, Any]) -> None:
    assert channel_names(metadata) == NAMED


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"channels": 2},
        {"name": "cells"},
        {"channels": ["DAPI", ""]},
        {"channels": [{"color": "red"}]},
        {"name": []},
    ],
)
def test_other_metadata_give_no_channel_names(metadata: dict[str, Any]) -> None:
    assert channel_names(metadata) == ()


def test_recursive_metadata_terminate() -> None:
    endless: dict[str, Any] = {}
    endless["metadata"] = endless
    assert channel_names(endless) == ()


def test_missing_metadata_of_a_layer_are_read_from_its_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, np.ones((2, 30, 40), np.uint8), metadata=OME)
    image = read_layer(opened(path))
    assert image.names == ("c", "y", "x")
    assert image.channels == NAMED
    assert image.spacing[1:] == ((0.3, "micrometer"), (0.2, "micrometer"))


def test_metadata_of_the_layer_take_precedence_over_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, np.ones((2, 30, 40), np.uint8), metadata=OME)
    layer = opened(path, axis_labels=("z", "y", "x"), scale=(5, 0.7, 0.7))
    assert read_layer(layer).names == ("z", "y", "x")
    assert read_layer(layer).spacing == ((5, "pixel"), (0.7, "pixel"), (0.7, "pixel"))
    layer.scale, layer.units = (1, 1, 1), ("nm", "nm", "nm")
    assert read_layer(layer).spacing[2] == (1, "nanometer")


def test_a_file_of_another_shape_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    tifffile.imwrite(path, np.ones((2, 30, 40), np.uint8), metadata=OME)
    layer = opened(path)
    layer.data = layer.data[:, :20]
    assert read_layer(layer).names == ()
    assert read_layer(layer).spacing[-1] == (1, "pixel")
    path.unlink()
    assert read_layer(layer).names == ()


def test_a_plain_tiff_gives_pixel_size_but_no_axis_names(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        np.ones((4, 30, 40), np.uint8),
        photometric="minisblack",
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    image = read_layer(opened(path))
    assert image.names == ()
    assert image.spacing == ((1, "pixel"), (0.5, "micrometer"), (0.5, "micrometer"))


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ({}, Calibration.unknown(2)),
        ({"translate": (100, 200)}, Calibration.of((1, 1), ("pixel",) * 2, (100, 200))),
        ({"scale": (0.5, 0.25), "units": "um", "translate": (3, 4)}, of((0.5, 0.25), (3, 4))),
        ({"scale": (0.5, 0.25), "units": "um", "affine": [[2, 0, 5], [0, 2, 6], [0, 0, 1]]}, of((1, 0.5), (5, 6))),
        ({"scale": (0.5, 0.5), "units": "um", "translate": (3, 4), "rotate": 30}, of((0.5, 0.5), (0, 0))),
        ({"scale": (-0.5, 0.5), "units": "um", "translate": (3, 4)}, of((0.5, 0.5), (0, 0))),
    ],
)
def test_the_calibration_of_a_layer_follows_its_transforms(how: dict[str, Any], wanted: Calibration) -> None:
    image = read_layer(Image(np.ones((6, 8)), **how))
    assert np.allclose(image.calibration.scale, wanted.scale)
    assert np.allclose(image.calibration.origin, wanted.origin)
    assert image.calibration.units == wanted.units
    assert bool(image.notes) == bool("rotate" in how or how.get("scale", (1, 1))[0] < 0)


def test_a_moved_layer_is_shifted_from_the_origin_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.ome.tif"
    plane = {"PositionX": [30.0], "PositionXUnit": ["µm"], "PositionY": [40.0], "PositionYUnit": ["µm"]}
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Plane": plane}
    tifffile.imwrite(path, np.ones((30, 40), np.uint8), metadata=metadata)
    layer = opened(path)
    assert read_layer(layer).calibration == of((0.5, 0.5), (40, 30))
    layer.translate = (10, 20)
    assert read_layer(layer).calibration == of((0.5, 0.5), (45, 40))
    layer.scale, layer.translate = (0.5, 0.5), (41, 31)
    assert read_layer(layer).calibration == of((0.5, 0.5), (41, 31))


def test_indexed_and_inverted_images_are_not_treated_as_intensities(tmp_path: Path) -> None:
    data = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    table = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    kinds = {"palette": {"colormap": table}, "miniswhite": {}, "minisblack": {}}
    for kind, how in kinds.items():
        tifffile.imwrite(tmp_path / f"{kind}.tif", data, photometric=kind, metadata={"axes": "YX"}, **how)
    meanings = {kind: read_layer(opened(tmp_path / f"{kind}.tif")).meaning for kind in kinds}
    assert "palette" in meanings["palette"]
    assert "0 is white" in meanings["miniswhite"]
    assert meanings["minisblack"] == ""
