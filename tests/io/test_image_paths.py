from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_fcn.errors import ImageError
from napari_fcn.io.image_paths import image_stem, list_images, result_suffix


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_the_images_of_a_folder_are_sorted_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.tif", "notes.txt", "table.csv")
    assert list_images(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.png"]


def test_a_path_of_a_file_is_returned_even_if_it_is_missing(tmp_path: Path) -> None:
    assert list_images(tmp_path / "gone.tif") == [tmp_path / "gone.tif"]


@pytest.mark.parametrize("name", ["image.zarr", "no_suffix"])
def test_a_zarr_folder_of_any_name_is_one_image(tmp_path: Path, name: str) -> None:
    zarr.save_array(str(tmp_path / name), np.zeros((4, 4)))
    assert list_images(tmp_path / name) == [tmp_path / name]


@pytest.mark.parametrize("made", ["a_classes.ome.tif", "a_objects.ome.tif", "a_probabilities.tif", "._a.tif"])
def test_results_and_hidden_files_are_skipped(tmp_path: Path, made: str) -> None:
    touch(tmp_path, "a.tif", made)
    assert list_images(tmp_path) == [tmp_path / "a.tif"]


def test_files_named_like_results_are_images_if_their_source_is_missing(tmp_path: Path) -> None:
    files = touch(tmp_path, "a_classes.tif", "b_label.tif")
    assert list_images(tmp_path) == files


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(ImageError, match=r"contains no image\. Supported:"):
        list_images(tmp_path)


def test_the_stem_of_an_image_has_no_double_suffix() -> None:
    assert [image_stem(Path(name)) for name in ("a.b.ome.tif", "a.zarr", "a")] == ["a.b", "a", "a"]


def test_results_of_a_zarr_folder_are_zarr(tmp_path: Path) -> None:
    assert result_suffix(tmp_path) == ".ome.zarr"
    assert result_suffix(tmp_path / "a.tif") == ".ome.tif"
