"""Links are found at any depth of a folder, and not followed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_fcn.storage import find_links, is_link


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        pytest.skip(f"this system makes no links here: {error}")


def test_files_and_folders_are_not_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("x")
    assert list(find_links(tmp_path)) == []
    assert not is_link(tmp_path / "nothing")
    assert not is_link(tmp_path / "a" / "b" / "nothing")


def test_links_are_found_at_any_depth_and_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "a", outside / "deep"):
        folder.mkdir(parents=True)
    link(outside / "deep" / "unseen", tmp_path)
    link(inside / "a" / "folder", outside)
    link(inside / "broken", tmp_path / "nothing")
    link(inside / "a" / "itself", inside)
    assert set(find_links(inside)) == {inside / "broken", inside / "a" / "folder", inside / "a" / "itself"}


def test_the_searched_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link(tmp_path / "name", tmp_path / "real")
    assert is_link(tmp_path / "name")
    assert list(find_links(tmp_path / "name")) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_listed_but_is_not_a_link(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_link(tmp_path / "pipe")
    assert list(find_links(tmp_path)) == [tmp_path / "pipe"]


@pytest.mark.skipif(sys.platform != "win32", reason="junctions are of Windows")
def test_a_junction_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    subprocess.run(["cmd", "/c", "mklink", "/J", tmp_path / "name", tmp_path / "real"], check=True)
    assert is_link(tmp_path / "name")
