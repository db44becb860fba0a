import os
from pathlib import Path

import pytest

from napari_fcn.storage import FolderMark, foreign_files, remove_own_files
from napari_fcn.storage.owned_folder import MARK_NAME

MARK = FolderMark("test")


def ours(parts: tuple[str, ...], is_folder: bool) -> bool:
    return parts[0] in (MARK_NAME, "data") and "foreign" not in parts


def filled(folder: Path) -> Path:
    (folder / "data" / "deep").mkdir(parents=True)
    for name in ("data/a", "data/deep/b", "data/.DS_Store"):
        (folder / name).touch()
    MARK.write(folder)
    return folder


def test_a_folder_is_recognised_by_the_mark_of_its_purpose(tmp_path: Path) -> None:
    assert not MARK.is_in(tmp_path)
    MARK.write(tmp_path)
    assert MARK.is_in(tmp_path)
    assert not FolderMark("other").is_in(tmp_path)
    first = (tmp_path / MARK_NAME).read_bytes()
    MARK.write(tmp_path)
    assert (tmp_path / MARK_NAME).read_bytes() == first


@pytest.mark.parametrize("length", [0, 1, 20])
def test_a_truncated_mark_counts_only_if_it_is_the_only_file(tmp_path: Path, length: int) -> None:
    MARK.write(tmp_path)
    (tmp_path / MARK_NAME).write_bytes((tmp_path / MARK_NAME).read_bytes()[:length])
    assert MARK.is_in(tmp_path)
    (tmp_path / "thesis.txt").touch()
    assert not MARK.is_in(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_mark_does_not_count(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    MARK.write(tmp_path / "a")
    os.symlink(tmp_path / "a" / MARK_NAME, tmp_path / "b" / MARK_NAME)
    assert not MARK.is_in(tmp_path / "b")


def test_own_files_are_removed_and_then_the_folder(tmp_path: Path) -> None:
    folder = filled(tmp_path / "f")
    assert foreign_files(folder, ours) == []
    assert remove_own_files(folder, ours)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["thesis.txt", "data/foreign", "data/deep/foreign/x"])
def test_foreign_files_are_listed_and_kept_with_their_folders_and_the_mark(tmp_path: Path, name: str) -> None:
    folder = filled(tmp_path / "f")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("years of work")
    assert [(folder / name).is_relative_to(path) for path in foreign_files(folder, ours)] == [True]
    assert not remove_own_files(folder, ours)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(left) == sorted([folder / MARK_NAME, folder / name])


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("name", ["data", "data/a", "data/deep"])
def test_a_link_is_foreign_and_its_target_is_kept(tmp_path: Path, name: str) -> None:
    folder, elsewhere = filled(tmp_path / "f"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a").write_text("years of work")
    (folder / name).rename(tmp_path / "aside")
    os.symlink(elsewhere, folder / name)
    assert foreign_files(folder, ours) == [folder / name]
    assert not remove_own_files(folder, ours)
    assert (elsewhere / "a").read_text() == "years of work"
    os.symlink(elsewhere, tmp_path / "root")
    assert not remove_own_files(tmp_path / "root", lambda parts, is_folder: True)
    assert (elsewhere / "a").exists()
