"""A tiny model and an image for the commands."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from net_contract import one_thread  # noqa: F401

from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = NetSpec(classes=3, width=2, depth=1)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    net = spec.build(torch.Generator().manual_seed(3))
    Checkpoint.of(net, plain_recipe("tiny", spec, "napari-fcn train nowhere")).save(path)
    return path


@pytest.fixture
def image(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "cells.ome.tif"
    data = rng.integers(0, 4000, (3, 37, 41)).astype(np.uint16)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.3}
    tifffile.imwrite(path, data, metadata=metadata)
    return path
