"""Pictures of the public data sets, by task."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fcn.learning.labels import IGNORE
from napari_fcn.training import pictures
from napari_fcn.training.pictures import TASKS, border_distance, median_diameter, read_all, targets, to_channels


def discs(shape: tuple[int, int] = (80, 90), radius: float = 8.0) -> np.ndarray:
    """Return numbered discs; two of them touch."""
    labels = np.zeros(shape, np.uint16)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for number, (row, column) in enumerate([(20, 20), (20, 36), (55, 60)], start=1):
        labels[((y - row) ** 2 + (x - column) ** 2 <= radius**2) & (labels == 0)] = number
    return labels


def write(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{name}_image.tif", image)
    tifffile.imwrite(folder / f"{name}_label.tif", labels)


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A small folder with sets of each task."""
    labels = discs()
    image = rng.integers(0, 50, labels.shape).astype(np.uint8) + (labels > 0) * np.uint8(150)
    for name in ("train_fluo_a", "val_fluo_b"):
        write(tmp_path / "dsb2018", name, image, labels)
    colour = np.stack([255 - image, 200 - image // 2, 255 - image // 3], -1).astype(np.uint8)
    write(tmp_path / "nuinsseg_he", "train_kidney_001", colour, labels)
    write(tmp_path / "nuinsseg_he", "val_testis_001", colour, labels)
    for number in (3, 33):
        write(tmp_path / "t98g_phase", f"set{number:02}", image, labels)
    write(tmp_path / "nist_phase", "train_img_1", image.astype(np.uint16), (labels > 0).astype(np.uint8))
    write(tmp_path / "axon_tem", "train_366A_0001", image, np.minimum(labels, 3).astype(np.uint8))
    write(tmp_path / "cem_organelles", "mitochondria1", image, (labels > 0).astype(np.uint8))
    write(tmp_path / "cem_organelles", "er", image, (labels > 0).astype(np.uint8))
    return tmp_path


def test_sets_are_read_by_task_and_missing_ones_are_left_out(data: Path) -> None:
    found = {picture.name: picture for picture in read_all(data)}
    assert set(found) == {
        "dsb2018/train_fluo_a",
        "dsb2018/val_fluo_b",
        "nuinsseg_he/train_kidney_001",
        "nuinsseg_he/val_testis_001",
        "t98g_phase/train_set03",
        "t98g_phase/val_set33",
        "nist_phase/train_train_img_1",
        "axon_tem/train_train_366A_0001",
        "cem_organelles/train_mitochondria1",
    }
    assert found["nuinsseg_he/val_testis_001"].kind == "he-testis"
    assert found["t98g_phase/val_set33"].is_validation
    assert found["axon_tem/train_train_366A_0001"].labels.max() == 2  # the third class is an axon too
    assert set(np.unique(found["cem_organelles/train_mitochondria1"].labels)) == {0, 3}
    assert found["nist_phase/train_train_img_1"].labels.max() > 1  # the mask is numbered


def test_a_set_that_is_left_out_is_not_read(data: Path) -> None:
    assert not [p for p in read_all(data, ["dsb2018", "nuinsseg_he"]) if p.task == "nuclei"]


def test_grey_pictures_have_three_equal_channels_and_colours_one_scale(data: Path) -> None:
    found = {picture.name: picture for picture in read_all(data)}
    grey, colour = found["dsb2018/train_fluo_a"], found["nuinsseg_he/train_kidney_001"]
    assert not grey.is_colour
    assert (grey.image == grey.image[:1]).all()
    assert colour.is_colour
    assert colour.image[0].mean() != pytest.approx(colour.image[1].mean(), abs=0.05)


def test_colours_keep_their_ratios() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[:10] = (200, 100, 50)
    scaled = to_channels(image)
    steps = scaled[:, 0, 0] - scaled[:, 15, 0]
    np.testing.assert_allclose(steps / steps[0], [1, 0.5, 0.25], rtol=1e-5)


def test_the_distance_is_one_in_the_middle_of_each_object_and_falls_to_its_border() -> None:
    labels = discs()
    distance = border_distance(labels)
    assert (distance[labels == 0] == 0).all()
    for number in (1, 2, 3):
        inside = distance[labels == number]
        assert inside.max() == 1
        assert 0 < inside.min() < 0.3
    assert distance[20, 28] < 0.4  # where two touch


def test_an_object_at_the_border_of_the_picture_goes_on_outside() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[:, :20] = 1
    distance = border_distance(labels)
    assert distance[20, 0] == distance[0, 0] == 1


def test_the_diameter_is_that_of_the_median_object() -> None:
    assert median_diameter(discs()) == pytest.approx(16, abs=1)
    assert median_diameter(np.zeros((5, 5), int)) == pictures.DEFAULT_DIAMETER


@pytest.mark.parametrize(("task", "classes"), [("nuclei", {0, 1, 2, IGNORE}), ("organelles", {0, 1, 2, 3, IGNORE})])
def test_unknown_pixels_are_ignored(task: str, classes: set[int]) -> None:
    labels = discs().astype(np.int32)
    labels[:, :5] = -1
    found = targets(labels, TASKS[task])
    assert set(np.unique(found)) == classes
    assert (found[:, :5] == IGNORE).all()


def test_no_group_is_in_both_parts(shared_data: Path) -> None:
    names = ["axon_tem", "axon_sem", "yeast_traps", "cem_organelles"]
    without = [name for name in pictures.SOURCES if name not in names]
    groups: dict[str, set[bool]] = {}
    for picture in read_all(shared_data, without):
        groups.setdefault(picture.group, set()).add(picture.is_validation)
    assert all(len(parts) == 1 for parts in groups.values())
