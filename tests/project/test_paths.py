"""Default paths and copies of projects."""

import os
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from napari_fcn.errors import ProjectError
from napari_fcn.project import copy_project, default_path
from napari_fcn.project.paths import MAX_NAME


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    return home


@pytest.mark.parametrize("file", ["cells.tif", "cells.ome.tiff", "cells.ome.zarr", "cells.npy", "cells.PNG", "cells"])
def test_the_default_path_is_next_to_the_image(tmp_path: Path, file: str) -> None:
    assert default_path("layer", tmp_path / file) == tmp_path / "cells.fcn"
    assert default_path("layer", str(tmp_path / file)) == tmp_path / "cells.fcn"


def test_a_used_name_gets_a_number(tmp_path: Path) -> None:
    for name in ("cells.fcn", "cells-2.fcn", "cells-3.fcn"):
        assert default_path("", tmp_path / "cells.tif") == tmp_path / name
        (tmp_path / name).mkdir()


@pytest.mark.parametrize("path", [None, "", "https://example.org/a.zarr", "s3://bucket/a.zarr"])
def test_the_default_path_without_a_file_is_in_the_home_folder(home: Path, path: str | None) -> None:
    assert default_path("cells", path) == home / "cells.fcn" if not path else default_path("cells", path).parent == home
    (home / "Documents").mkdir()
    assert default_path("cells", path).parent == home / "Documents"


def test_the_default_path_is_in_the_home_folder_if_that_of_the_image_is_not_writable(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_path("cells", tmp_path / "gone" / "cells.tif") == home / "cells.fcn"
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert default_path("cells", tmp_path / "cells.tif") == home / "cells.fcn"


@hypothesis.given(st.text())
def test_any_layer_name_gives_a_valid_folder_name(name: str) -> None:
    found = default_path(name)
    assert found.parent in (Path.home(), Path.home() / "Documents")
    assert not set('<>:"/\\|?*\0\n') & set(found.name)
    assert 4 < len(found.name) <= MAX_NAME + len("_-99.fcn")
    assert not found.stem.endswith((" ", "."))


@pytest.mark.parametrize(
    ("name", "safe"), [("", "image.fcn"), ("..", "image.fcn"), ("CON", "_CON.fcn"), ("a/b", "a_b.fcn")]
)
def test_reserved_names_are_changed(home: Path, name: str, safe: str) -> None:
    assert default_path(name) == home / safe


def test_a_failed_copy_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"copy\.fcn cannot be written"):
        copy_project(tmp_path / "gone.fcn", tmp_path / "copy.fcn")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("letter", ["a", "核", "\U0001f52c"])
def test_a_project_can_be_created_for_an_image_with_a_long_name(tmp_path: Path, letter: str) -> None:
    places = [default_path(letter * 250, tmp_path / "x.tif"), default_path("", tmp_path / (letter * 60 + ".tif"))]
    long = default_path(letter * 250)
    assert all(len(os.fsencode(path.name)) <= 255 for path in (*places, long))
    for path in dict.fromkeys((*places, tmp_path / long.name)):
        path.mkdir()
