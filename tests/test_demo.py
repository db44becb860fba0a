from pathlib import Path

import numpy as np

from napari_fcn.cli import main
from napari_fcn.io import read_image


def test_the_demo_without_a_window_segments_a_real_image(tmp_path: Path) -> None:
    assert main(["demo", "--no-window", "--out", str(tmp_path)]) == 0
    classes = np.asarray(read_image(tmp_path / "immunohistochemistry-classes.ome.tif").data[:])
    assert classes.shape == (512, 512)
    assert 0.02 < (classes > 0).mean() < 0.9
    assert read_image(tmp_path / "immunohistochemistry-overlay.png").rgb
