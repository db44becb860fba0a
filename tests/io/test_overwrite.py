"""Files and folders that a result may replace."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_fcn.errors import InputAtRiskError, OutputError, OutputExistsError
from napari_fcn.geometry import Region
from napari_fcn.io import ResultMeta, disk, incremental_zarr, open_result
from napari_fcn.io.overwrite import Protection, is_result, is_zarr_entry
from napari_fcn.io.run_inputs import collect_inputs, referenced_files

META = ResultMeta(("y", "x"), (1.0, 1.0), ("pixel", "pixel"))
NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links need rights there")
OURS = Protection(only_results=True)


def write(path: Path, **more: object) -> Path:
    with open_result(path, "classes", (300, 300), "uint8", META, **more) as writer:
        writer.write(Region.whole((300, 300)), np.ones((300, 300), np.uint8))
    return path


def image(path: Path) -> Path:
    """Write somebody's OME-Zarr."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", shape=(4, 6), dtype="u1")[...] = 7
    group.attrs["multiscales"] = [{"version": "0.4", "axes": ["y", "x"], "datasets": [{"path": "0"}]}]
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".npy", ".png"])
def test_an_input_is_not_replaced_even_if_it_appears_during_the_run(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    before = contents(tmp_path)
    with pytest.raises(InputAtRiskError):
        write(path, overwrite=True, protection=Protection((collect_inputs({"an image": [path]}),)))
    (tmp_path / "raw").mkdir()
    kept = tmp_path / "raw" / path.name
    shutil.move(path, kept)
    with (
        pytest.raises(InputAtRiskError),
        open_result(
            path,
            "classes",
            (4, 6),
            "uint8",
            META,
            overwrite=True,
            protection=Protection((collect_inputs({"an image": [kept]}),)),
        ),
    ):
        shutil.move(kept, path)
    shutil.rmtree(tmp_path / "raw")
    assert contents(tmp_path) == before


def test_a_foreign_ome_zarr_is_never_replaced(tmp_path: Path) -> None:
    path = image(tmp_path / "a.zarr")
    before = contents(path)
    for overwrite in (True, False):
        with pytest.raises(OutputError):
            write(path, overwrite=overwrite)
    assert contents(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("attributes", [{}, {"napari_fcn": 1}, {"napari_fcn": {"kind": "photographs"}}])
def test_a_zarr_with_an_incomplete_record_is_foreign(tmp_path: Path, attributes: dict) -> None:
    zarr.create_group(str(tmp_path / "a.zarr"), attributes=attributes)
    with pytest.raises(OutputError, match="did not write"):
        write(tmp_path / "a.zarr", overwrite=True)


@pytest.mark.parametrize("name", ["thesis.txt", "labels/0/zarr.json", "0/notes.md", "0/c/0/0.bak", "c/0", "1/c/x/0"])
def test_a_result_with_foreign_files_is_kept_and_the_error_names_them(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.zarr")
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_text("years of work")
    before = contents(path)
    with pytest.raises(OutputError, match="also holds") as error:
        write(path, overwrite=True)
    assert name.split("/")[0] in str(error.value)
    assert contents(path) == before


def test_a_foreign_file_that_appears_during_the_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = write(tmp_path / "a.zarr"), os.rename

    def late(source: Path, target: Path) -> None:
        if source == path:
            (path / "thesis.txt").touch()
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(OutputError, match=r"also holds thesis\.txt"):
        write(path, overwrite=True)
    assert (path / "thesis.txt").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_files_of_file_managers_do_not_prevent_replacement(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr")
    for name in (".DS_Store", "0/._c", "Thumbs.db"):
        (path / name).touch()
    write(path, overwrite=True)
    assert not (path / ".DS_Store").exists()


def test_an_empty_folder_and_an_unfinished_result_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    incremental_zarr.IncrementalZarr(tmp_path / "b.zarr", "classes", 0, (300, 300), (64, 64), META)
    for name in ("a.zarr", "b.zarr"):
        assert is_result(write(tmp_path / name, overwrite=True))


@NO_LINKS
@pytest.mark.parametrize("level", ["", "0", "zarr.json", "0/zarr.json", "0/c", "0/c/0", "0/c/0/0"])
def test_links_in_a_result_are_not_followed(tmp_path: Path, level: str) -> None:
    path = write(tmp_path / "a.zarr")
    elsewhere = tmp_path / "elsewhere"
    (path / level).rename(elsewhere)
    os.symlink(elsewhere, path / level)
    before = contents(tmp_path)
    with pytest.raises(OutputError):
        write(path, overwrite=True)
    assert contents(tmp_path) == before
    assert (path / level).is_symlink()


@NO_LINKS
def test_a_link_to_a_file_is_replaced_and_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("years of work")
    os.symlink(tmp_path / "precious", tmp_path / "a.npy")
    with pytest.raises(OutputExistsError):
        write(tmp_path / "a.npy")
    write(tmp_path / "a.npy", overwrite=True)
    assert (tmp_path / "precious").read_text() == "years of work"
    os.symlink(tmp_path / "gone", tmp_path / "b.npy")
    with pytest.raises(OutputExistsError):
        write(tmp_path / "b.npy")


@NO_LINKS
def test_a_broken_link_is_replaced(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone", tmp_path / "a.zarr")
    write(tmp_path / "a.zarr", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert is_result(tmp_path / "a.zarr")


def test_a_file_with_an_automatic_name_is_replaced_only_if_it_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    for content in (b"", b"no picture"):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="not a result of napari-fcn"):
            write(path, overwrite=True, protection=OURS)
    tifffile.imwrite(path, np.zeros((4, 6), np.uint8))
    with pytest.raises(OutputError, match="not a result of napari-fcn"):
        write(path, overwrite=True, protection=OURS)
    write(path, overwrite=True)
    write(path, overwrite=True, protection=OURS)
    assert is_result(path)


def test_all_files_of_an_ome_tiff_and_all_of_an_ome_zarr_are_inputs(tmp_path: Path) -> None:
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}"><UUID FileName="{name}.ome.tif">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate("ab")
    )
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="4" SizeZ="2" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
    )
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", np.zeros((4, 6), np.uint8), description=xml, metadata=None)
    assert referenced_files(tmp_path / "a.ome.tif") == [tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"]
    with pytest.raises(InputAtRiskError, match=r"b\.ome\.tif is a file of a\.ome\.tif"):
        collect_inputs({"an image": [tmp_path / "a.ome.tif"]}).check_file(tmp_path / "b.ome.tif")
    level = image(tmp_path / "c.zarr") / "0"
    for place in (tmp_path / "c.zarr", tmp_path / "c.zarr" / "result.tif", level):
        with pytest.raises(InputAtRiskError):
            collect_inputs({"an image": [level]}).check_file(place)


def test_files_of_a_result_are_distinguished_from_foreign_ones() -> None:
    half = f"{'0' * 32}.partial"
    for name in (
        "zarr.json",
        "0",
        "0/zarr.json",
        "12/c",
        "0/c/0/3/1",
        f"0/c/0.{half}",
        f"zarr.{half}",
        f"0/zarr.{half}",
    ):
        is_folder = name in ("0", "12/c")
        assert is_zarr_entry(tuple(name.split("/")), is_folder), name
    for name in (
        ".zattrs",
        "x",
        "0/x",
        "0/c/x",
        "0/c/0.bak",
        "labels/zarr.json",
        "0/1/zarr.json",
        "0/c/zarr.json",
        "a.partial",
    ):
        assert not is_zarr_entry(tuple(name.split("/")), False), name


def test_a_failed_rename_keeps_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.zarr")
    record = json.loads((path / "zarr.json").read_text())
    (tmp_path / "new").mkdir()
    monkeypatch.setattr(disk, "check_replaceable_zarr", lambda folder: (_ for _ in ()).throw(OutputError("late")))
    with pytest.raises(OutputError, match="late"):
        disk.publish(tmp_path / "new", path)
    assert json.loads((path / "zarr.json").read_text()) == record
