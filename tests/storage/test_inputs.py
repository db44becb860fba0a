import os
from pathlib import Path

import pytest

from napari_fcn.errors import InputAtRiskError, OutputError
from napari_fcn.storage import NO_INPUTS, Input, Inputs


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "raw.tif").write_bytes(b"pixels")
    return tmp_path / "in" / "raw.tif"


def inputs(*paths: Path) -> Inputs:
    return Inputs(Input(path, "the image") for path in paths)


def alias(raw: Path, how: str) -> Path:
    """Return another name of a file."""
    other = raw.parent.parent / f"other-{how}"
    if how == "link":
        os.symlink(raw, other)
    elif how == "hard link":
        os.link(raw, other)
    elif how == "linked folder":
        os.symlink(raw.parent, other)
        return other / raw.name
    elif how == "dots":
        return raw.parent / ".." / raw.parent.name / raw.name
    else:
        os.symlink(raw, raw.with_name("first"))
        os.symlink(raw.with_name("first"), other)
    return other


WAYS = ("link", "hard link", "linked folder", "dots", "link to a link")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("how", WAYS)
def test_an_input_is_recognised_under_any_name(raw: Path, how: str) -> None:
    other = alias(raw, how)
    for read, written in ((raw, other), (other, raw)):
        with pytest.raises(InputAtRiskError, match="the image, which it would replace"):
            inputs(read).check_file(written)


def test_the_error_for_an_output_that_is_an_input_names_it_once(raw: Path) -> None:
    with pytest.raises(InputAtRiskError) as error:
        inputs(raw).check_file(raw)
    assert error.value.short == f"{raw} is the image, which it would replace."
    assert "--out" in str(error.value)
    assert isinstance(error.value, OutputError)


@pytest.mark.parametrize("below", ["result.tif", "0/c/result.zarr", "../img.zarr/x.npy"])
def test_an_output_inside_an_input_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "img.zarr").mkdir()
    for check in (inputs(tmp_path / "img.zarr").check_file, inputs(tmp_path / "img.zarr").check_folder):
        with pytest.raises(InputAtRiskError, match=r"would be written into .*img\.zarr, the image"):
            check(tmp_path / "img.zarr" / below)


def test_an_output_around_an_input_is_refused_but_its_folder_is_allowed(raw: Path) -> None:
    with pytest.raises(InputAtRiskError, match=r"holds .*raw\.tif"):
        inputs(raw).check_file(raw.parent)
    inputs(raw).check_folder(raw.parent)
    inputs(raw).check_file(raw.parent / "result.tif")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_folder_with_a_link_to_an_input_is_protected(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "out.zarr").mkdir()
    os.symlink(raw, tmp_path / "out.zarr" / "image.tif")
    with pytest.raises(InputAtRiskError, match="holds"):
        inputs(tmp_path / "out.zarr" / "image.tif").check_file(tmp_path / "out.zarr")


def test_names_that_the_file_system_does_not_distinguish_are_one_file(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def insensitive(path: os.PathLike[str] | str, **more: object) -> os.stat_result:
        return stat(str(path).replace("RAW.TIF", "raw.tif"), **more)

    monkeypatch.setattr(os, "stat", insensitive)
    with pytest.raises(InputAtRiskError):
        inputs(raw).check_file(raw.with_name("RAW.TIF"))


@pytest.mark.parametrize("name", ["raw2.tif", "raw.tif.unfinished", "sub/raw.tif"])
def test_other_paths_are_allowed(raw: Path, name: str) -> None:
    inputs(raw).check_file(raw.parent / name)
    NO_INPUTS.check_file(raw)


def test_referenced_files_are_searched_only_if_an_output_exists(raw: Path) -> None:
    asked: list[Path] = []

    def members(path: Path) -> list[Path]:
        asked.append(path)
        return [path.with_name("second.tif")]

    known = Inputs([Input(raw, "the image")], members)
    known.check_file(raw.with_name("second.tif"))
    assert asked == []
    raw.with_name("second.tif").touch()
    with pytest.raises(InputAtRiskError, match=r"a file of raw\.tif"):
        known.check_file(raw.with_name("second.tif"))
    (raw.parent.parent / "elsewhere").touch()
    known.check_file(raw.parent.parent / "elsewhere")
    assert asked == [raw]


def test_many_inputs_are_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (tmp_path / str(number)).touch()
    known, stat, asked = inputs(*tmp_path.iterdir()), os.stat, []

    def counted(path: str, **more: object) -> os.stat_result:
        asked.append(path)
        return stat(path, **more)

    monkeypatch.setattr(os, "stat", counted)
    known.check_file(tmp_path / "out.tif")
    assert len(asked) < 40
