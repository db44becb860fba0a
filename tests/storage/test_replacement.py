import os
from contextlib import suppress
from pathlib import Path

import pytest

from napari_fcn.errors import InputAtRiskError
from napari_fcn.storage import Input, Inputs, replace_file, unused_path

NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links need rights there")


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replace_file(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with suppress(KeyError), replace_file(path) as part:
        part.write_text("half")
        raise KeyError
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.txt", "new")]


@NO_LINKS
def test_a_link_is_replaced_and_its_target_is_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("years of work")
    os.symlink(tmp_path / "precious", tmp_path / "a")
    with replace_file(tmp_path / "a") as part:
        part.write_text("new")
    assert (tmp_path / "precious").read_text() == "years of work"
    assert not (tmp_path / "a").is_symlink()


def test_an_input_that_appears_during_the_run_is_kept(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_text("pixels")
    inputs = Inputs([Input(raw, "the image")])
    with pytest.raises(InputAtRiskError), replace_file(raw, inputs):
        raise AssertionError("nothing is written")
    late = replace_file(tmp_path / "out", inputs)
    late.__enter__().write_text("new")
    os.link(raw, tmp_path / "out")
    with pytest.raises(InputAtRiskError):
        late.__exit__(None, None, None)
    assert raw.read_text() == "pixels"


def test_a_used_name_gets_a_number(tmp_path: Path) -> None:
    assert unused_path(tmp_path, "a", ".png") == tmp_path / "a.png"
    for name in ("a.png", "a-2.png"):
        (tmp_path / name).touch()
    assert unused_path(tmp_path, "a", ".png") == tmp_path / "a-3.png"


@NO_LINKS
def test_a_broken_link_counts_as_a_used_name(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone", tmp_path / "a.png")
    assert unused_path(tmp_path, "a", ".png") == tmp_path / "a-2.png"
