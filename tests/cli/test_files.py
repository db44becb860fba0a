"""Files of one image are one job, however they are named."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fcn.cli import main
from napari_fcn.cli.files import plan_files
from napari_fcn.errors import OutputError

XML = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="30" SizeY="20" SizeC="2" SizeZ="1" SizeT="1">'
    '<TiffData FirstC="0" IFD="0" PlaneCount="1"><UUID FileName="c0.ome.tif">urn:uuid:0</UUID></TiffData>'
    '<TiffData FirstC="1" IFD="0" PlaneCount="1"><UUID FileName="c1.ome.tif">urn:uuid:1</UUID></TiffData>'
    "</Pixels></Image></OME>"
)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A set of two files, one for each channel."""
    (tmp_path / "set").mkdir()
    found = [tmp_path / "set" / f"c{k}.ome.tif" for k in range(2)]
    for k, path in enumerate(found):
        plane = np.random.default_rng(k).integers(0, 4000, (20, 30)).astype(np.uint16)
        tifffile.imwrite(path, plane, description=XML.format(own=k), metadata=None)
    return found


def test_a_set_is_one_job_named_after_its_first_file(files: list[Path], tmp_path: Path) -> None:
    folder = str(files[0].parent)
    for given in ([folder], [f"{folder}/*.tif"], [*map(str, files)], [str(files[1]), str(files[0])]):
        out = tmp_path / "results"
        jobs = plan_files(given, out, ["classes"])
        assert [job.image for job in jobs] == [files[0]]
        assert jobs[0].out == out / "c0.ome.tif"


def test_naming_one_file_of_a_set_gives_one_result_file(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "r.ome.tif"
    assert [job.out for job in plan_files([str(files[1])], out, ["classes"])] == [out]


def test_the_same_file_under_two_paths_is_one_job(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(plan_files(["set/c0.ome.tif", str(files[1])], tmp_path / "r.ome.tif", ["classes"])) == 1


def test_the_files_of_a_set_are_noted_and_a_missing_one_is_an_error(
    files: list[Path], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = files[0].parent, tmp_path / "results"
    command = ["predict", str(folder), "--model", str(model), "--out", str(out), "--quiet"]
    assert main(command) == 0
    assert "2 files are one image: c0.ome.tif, c1.ome.tif." in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["c0.ome.tif"]
    files[1].unlink()
    assert main([*command, "--overwrite"]) == 1
    assert "cannot be found: c1.ome.tif" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["", ".", "..", "/", "folder"])
def test_a_folder_as_result_file_of_one_image_is_refused(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"is a folder\. Name a file in it, such as .*c0\.ome\.tif"):
        plan_files([str(files[0])], Path(out), ["classes"])


def test_several_kinds_of_results_can_go_to_the_current_folder(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (job,) = plan_files([str(files[0])], Path(), ["classes", "objects"])
    assert job.out == tmp_path
    assert {path.parent for path in job.targets.values()} == {tmp_path}


@pytest.mark.parametrize("command", ["finetune a.tif b.tif --model nuclei", "train a", "field --model nuclei"])
@pytest.mark.parametrize("out", ["", ".", "/", ".."])
def test_an_output_file_needs_a_name(command: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--out", out])
    assert ended.value.code == 2
    assert "names no file" in capsys.readouterr().err
