"""Training folders of the shipped 3-D and video models."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fcn.errors import ImageError, OutputError
from napari_fcn.learning.labels import IGNORE
from napari_fcn.training import shipped_datasets
from napari_fcn.training.shipped_datasets import prepare


def put(folder: Path, name: str, labels: np.ndarray, image: np.ndarray | None = None) -> None:
    """Write labels and an image; the default image is 200 in objects and 10 elsewhere."""
    folder.mkdir(exist_ok=True)
    pixels = np.where(labels > 0, 200, 10).astype(np.uint8) if image is None else image
    tifffile.imwrite(folder / f"{name}_image.tif", pixels, photometric="minisblack")
    tifffile.imwrite(folder / f"{name}_label.tif", labels, photometric="minisblack")


def blocks(shape: tuple[int, ...]) -> np.ndarray:
    """Return objects of 6 x 6 pixels, numbered, 10 pixels apart along the last two axes."""
    labels = np.zeros(shape, np.uint8)
    number = 0
    for y in range(2, shape[-2] - 6, 10):
        for x in range(2, shape[-1] - 6, 10):
            number += 1
            labels[..., y : y + 6, x : x + 6] = number
    return labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    put(tmp_path / "qcanet_embryo", "train_8cell", (blocks((6, 40, 40)) > 0).astype(np.uint8))
    put(tmp_path / "plantseg_3d", "nuclei_1135", blocks((6, 60, 40)))
    for name in ("EGFP_d0_flt32_108", "EGFP_d0_flt32_39", "mCherry_d0_flt32_16"):
        put(tmp_path / "cellos_organoid3d", name, blocks((5, 30, 30)))
    put(tmp_path / "t98g_video", "seq", blocks((4, 60, 40)))
    for name in ("phase", "nuclei"):
        put(tmp_path / "laptrack_movies", name, blocks((4, 60, 40)))
    put(tmp_path / "yeast_phase", "seq", blocks((4, 40, 60)))
    return tmp_path


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("nuclei-3d", {"embryo", "organoid", "plant", "synthetic"}),
        ("cells-video", {"glioblastoma", "muscle", "nuclei", "yeast"}),
    ],
)
def test_each_kind_is_in_training_and_validation(
    model: str, kinds: set[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_datasets, "N_SYNTHETIC", 1)
    pairs = list(prepare(model, data, tmp_path / "out"))
    for part in ("train", "val"):
        assert {pair.name.split("_")[1] for pair in pairs if pair.name.startswith(part)} == kinds
    for pair in pairs:
        image, labels = (tifffile.imread(tmp_path / "out" / f"{pair.name}_{what}.tif") for what in ("image", "label"))
        assert image.shape == labels.shape == pair.image.shape
        assert {0, 1, 2} <= set(np.unique(labels)) <= {0, 1, 2, IGNORE}


def test_validation_parts_are_separate_from_training_parts(data: Path, tmp_path: Path) -> None:
    rows = np.broadcast_to(np.arange(60, dtype=np.uint8)[:, None], (4, 60, 40))
    put(data / "t98g_video", "seq", blocks((4, 60, 40)), rows)
    result = {pair.name: pair.image for pair in prepare("cells-video", data, tmp_path / "out")}
    learnt, scored = result["train_glioblastoma_seq"], result["val_glioblastoma_seq"]
    assert learnt.max() + 2 < scored.min()
    assert scored.max() == 59


def test_rims_of_a_movie_are_computed_frame_by_frame(data: Path, tmp_path: Path) -> None:
    result = {pair.name: pair.labels for pair in prepare("cells-video", data, tmp_path / "out")}
    frames = result["train_yeast_seq"]
    assert (frames[0] == 1).sum() == (frames[1] == 1).sum() > 0


def test_bright_voxels_without_a_label_are_ignored(data: Path, tmp_path: Path) -> None:
    labels = blocks((5, 40, 40))
    image = np.where(labels > 0, 200, 10).astype(np.uint8)
    left_out, labels = labels == 1, np.where(labels == 1, 0, labels)
    put(data / "cellos_organoid3d", "EGFP_d0_flt32_108", labels, image)
    result = {pair.name: pair.labels for pair in prepare("nuclei-3d", data, tmp_path / "out")}
    target = result["train_organoid_EGFP-d0-flt32-108"]
    assert (target[left_out] == IGNORE).mean() > 0.9
    assert set(np.unique(target[labels > 0])) == {1, 2}
    assert (target == 0).any()


def test_a_missing_data_set_is_named(data: Path, tmp_path: Path) -> None:
    (data / "plantseg_3d" / "nuclei_1135_label.tif").unlink()
    with pytest.raises(ImageError, match=r"nuclei_1135_label.tif is missing"):
        list(prepare("nuclei-3d", data, tmp_path / "out"))


def test_a_training_folder_is_rewritten_but_other_files_are_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped_datasets, "N_SYNTHETIC", 0)
    for _ in range(2):
        assert list(prepare("cells-video", data, tmp_path / "out"))
    first = sorted((tmp_path / "out").iterdir())[0]
    tifffile.imwrite(first, np.zeros((4, 6), np.uint8))
    with pytest.raises(OutputError, match="no recipe wrote it"):
        list(prepare("cells-video", data, tmp_path / "out"))
    assert tifffile.imread(first).shape == (4, 6)
