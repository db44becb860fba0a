"""Interrupted runs, and resuming them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_fcn.cli import main
from napari_fcn.geometry import TilePlan
from napari_fcn.io import read_image
from napari_fcn.io.lazy_array import LazyArray
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.runs.ledger import RunLedger
from napari_fcn.session import Session

TESTS = Path(__file__).parents[1]
MOMENTS = (  # in which two runs are killed, each twice
    ("between_pixels_and_ledger", "half_a_line"),
    ("half_a_chunk", "amid_the_pyramid"),
)
TILES = 25


@pytest.fixture
def scene(tmp_path: Path, model: Path, rng: np.random.Generator) -> Path:
    """A folder with an image of 25 tiles as OME-less zarr, and the model."""
    image = zarr.create_array(tmp_path / "image.zarr", shape=(600, 560), chunks=(128, 128), dtype="u2")
    image[:] = rng.integers(0, 4000, image.shape)
    (tmp_path / "tiny.safetensors").write_bytes(model.read_bytes())
    return tmp_path


def arguments(scene: Path, out: str, *more: object) -> list[str]:
    told = (scene / "image.zarr", "--model", scene / "tiny.safetensors", "--out", scene / out, "--quiet")
    return ["predict", *map(str, told), *(() if "--tile" in more else ("--tile", "128")), *map(str, more)]


def stop_after(blocks: int) -> pytest.MonkeyPatch:
    """Let the user press Ctrl+C when so many blocks are done; the caller undoes it."""
    patch, add = pytest.MonkeyPatch(), RunLedger.add

    def stop(self: RunLedger, block: object) -> None:
        add(self, block)
        if len(self.blocks) == blocks:
            raise KeyboardInterrupt

    patch.setattr(RunLedger, "add", stop)
    return patch


@pytest.fixture
def interrupted(scene: Path) -> Callable[..., None]:
    """A function that begins a run which ends after ten blocks."""

    def begin(out: str, *more: object) -> None:
        patch = stop_after(10)
        assert main(arguments(scene, out, *more)) == 130
        patch.undo()

    return begin


def report_of(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_image(path).data[...])


def started(scene: Path, out: str, moment: str, *more: object) -> subprocess.Popen:
    """Return a process that runs until a moment."""
    command = [sys.executable, str(TESTS / "killed.py"), moment, *arguments(scene, out, *more)]
    alike = {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, env=os.environ | alike, text=True)


def kill(process: subprocess.Popen) -> None:
    """End a process at its moment, as the system would: without a word."""
    with process:
        assert process.stdout.readline().strip() == "now"
        process.kill()
    assert process.returncode != 0


def test_a_resumed_run_gives_the_same_bits_after_a_kill_at_any_moment(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = [f"{number}/a.ome.zarr" for number in range(len(MOMENTS[0]))]
    for moments, more in zip(MOMENTS, ((), ("--resume",)), strict=True):
        for process in [started(scene, out, moment, *more) for out, moment in zip(outs, moments, strict=True)]:
            kill(process)
    assert not [out for out in outs if (scene / out).exists()]
    whole = scene / "whole" / "a.ome.zarr"
    assert main(arguments(scene, "whole/a.ome.zarr")) == 0
    for out, done in zip(outs, (1, TILES), strict=True):
        assert main(arguments(scene, out, "--resume", "--json")) == 0
        assert report_of(capsys)["resumed"] == done
        again = scene / out
        assert [path.name for path in again.parent.iterdir()] == ["a.ome.zarr"]
        files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (whole, again)]
        assert files[0] == files[1]
        for path in (path for path in whole.rglob("*") if path.is_file()):
            assert path.read_bytes() == (again / path.relative_to(whole)).read_bytes()


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif", ".npy", ".png"])
def test_an_interrupted_run_is_resumed_in_every_format(
    suffix: str, scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(f"a{suffix}")
    assert "--resume" in capsys.readouterr().err
    assert not (scene / f"a{suffix}").exists()
    assert main(arguments(scene, f"a{suffix}", "--resume", "--json")) == 0
    assert report_of(capsys)["resumed"] == 10
    assert main(arguments(scene, f"b{suffix}")) == 0
    np.testing.assert_array_equal(pixels(scene / f"a{suffix}"), pixels(scene / f"b{suffix}"))


def test_several_results_and_objects_are_resumed_together(scene: Path, interrupted: Callable[..., None]) -> None:
    kinds = ("--save", "probabilities,objects,probabilities8")
    interrupted("a", *kinds)
    assert main(arguments(scene, "a", *kinds, "--resume")) == 0
    assert main(arguments(scene, "b", *kinds)) == 0
    names = {"probabilities.ome.zarr", "objects.ome.zarr", "probabilities8.ome.zarr"}
    assert {path.name for path in (scene / "a").iterdir()} == names
    for name in names:
        np.testing.assert_array_equal(pixels(scene / "a" / name), pixels(scene / "b" / name))


def test_the_tile_of_the_first_run_is_kept_with_less_free_memory(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    command = arguments(scene, "a.npy", "--resume", "--json")
    place = command.index("--tile")
    assert main(command[:place] + command[place + 2 :]) == 0
    assert report_of(capsys)["tiles"] == TILES


def test_damaged_blocks_are_predicted_again(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    stored = np.lib.format.open_memmap(scene / "a.npy.unfinished" / "classes", "r+")
    stored[3, 140] ^= 1
    stored.flush()
    del stored
    assert main(arguments(scene, "a.npy", "--resume", "--json")) == 0
    assert report_of(capsys)["resumed"] == 9
    assert main(arguments(scene, "b.npy")) == 0
    np.testing.assert_array_equal(np.load(scene / "a.npy"), np.load(scene / "b.npy"))


def test_blocks_of_changed_parts_of_the_image_are_predicted_again(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    chunk = scene / "image.zarr" / "c" / "0" / "0"
    os.utime(chunk, ns=(1, 1))
    assert main(arguments(scene, "a.npy", "--resume", "--json")) == 0
    assert report_of(capsys)["resumed"] == 6  # four of the ten read a pixel of that chunk


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--colour", "eosin"), "--colour was luminance and is eosin"),
        (("--precision", "bfloat16"), "the precision was float32 and is bfloat16"),
        (("--save", "probabilities"), "--save was classes and is probabilities"),
        (("--voxel-size", "2,3"), "the pixel size was 1,1 and is 2,3"),
        (("--tile", "32"), "contains an unfinished run with --tile 128,128"),
    ],
)
def test_resuming_with_other_settings_is_refused_with_the_differences(
    more: tuple[str, ...], words: str, scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    assert main(arguments(scene, "a.npy", "--resume", *more)) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "--overwrite" in said
    assert len(RunLedger.open(scene / "a.npy.unfinished" / "ledger.jsonl").blocks) == 10


def test_resuming_with_another_model_is_refused(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    checkpoint = Checkpoint.load(scene / "tiny.safetensors")
    next(weight for weight in checkpoint.weights.values() if weight.any()).mul_(2)
    checkpoint.save(scene / "tiny.safetensors")
    assert main(arguments(scene, "a.npy", "--resume")) == 1
    assert "the model's hash was" in capsys.readouterr().err


def test_resuming_with_other_intensities_is_refused(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    image = zarr.open_array(scene / "image.zarr", mode="r+")
    image[:128] = 65000
    assert main(arguments(scene, "a.npy", "--resume")) == 1
    assert "the range of intensities was" in capsys.readouterr().err


def test_resuming_with_another_version_is_refused(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted("a.npy")
    monkeypatch.setattr("napari_fcn.runs.resume.version", lambda name: "9.9")
    assert main(arguments(scene, "a.npy", "--resume")) == 1
    assert "and is 9.9" in capsys.readouterr().err


def test_an_unfinished_run_is_kept_by_the_command_without_resume(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    assert main(arguments(scene, "a.npy")) == 1
    assert "contains an unfinished run." in capsys.readouterr().err
    assert main(arguments(scene, "a.npy", "--overwrite", "--json")) == 0
    assert report_of(capsys)["resumed"] == 0
    assert not (scene / "a.npy.unfinished").exists()


def test_a_run_of_another_program_is_not_changed(
    scene: Path, interrupted: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("a.npy")
    holder = {"pid": os.getpid(), "host": "another", "user": "ada", "since": 0.0, "token": "x"}
    (scene / "a.npy.unfinished" / "lock").write_text(json.dumps(holder))
    for flag in ("--resume", "--overwrite"):
        assert main(arguments(scene, "a.npy", flag)) == 1
        assert "Another run is writing" in capsys.readouterr().err
    assert (scene / "a.npy.unfinished" / "lock").exists()


def test_finished_images_are_skipped(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(scene, "a.ome.tif")) == 0
    before = (scene / "a.ome.tif").stat().st_mtime_ns
    assert main(arguments(scene, "a.ome.tif", "--resume")) == 0
    assert "already done" in capsys.readouterr().err
    assert (scene / "a.ome.tif").stat().st_mtime_ns == before


def test_a_result_of_a_changed_image_is_not_skipped(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(scene, "a.ome.tif")) == 0
    os.utime(scene / "image.zarr" / "c" / "2" / "1", ns=(1, 1))
    assert main(arguments(scene, "a.ome.tif", "--resume")) == 1
    assert "exists" in capsys.readouterr().err


def test_a_folder_is_resumed_at_the_interrupted_image(
    scene: Path, model: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene / "images").mkdir()
    for name in "abc":
        np.save(scene / "images" / f"{name}.npy", rng.integers(0, 99, (50, 40)))
    command = ["predict", str(scene / "images"), "--model", str(model), "--out", str(scene / "out"), "--tile", "16"]
    add = RunLedger.add

    def stop(self: RunLedger, block: object) -> None:
        add(self, block)
        if self._path.parent.name.startswith("b.") and len(self.blocks) == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLedger, "add", stop)
        assert main(command) == 130
    assert sorted(path.name for path in (scene / "out").iterdir()) == ["a.ome.tif", "b.ome.tif.unfinished"]
    capsys.readouterr()
    assert main([*command, "--resume", "--json"]) == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report.get("resumed") for report in reports] == [None, 3, 0]
    assert sorted(path.name for path in (scene / "out").iterdir()) == ["a.ome.tif", "b.ome.tif", "c.ome.tif"]


def test_a_run_without_a_finished_block_leaves_no_files(scene: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLedger, "add", lambda self, block: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(arguments(scene, "a.npy")) == 130
    assert sorted(path.name for path in scene.iterdir()) == ["image.zarr", "tiny.safetensors"]


def test_a_run_plans_its_tiles_once_and_lists_the_chunks_of_its_image_once(
    scene: Path, interrupted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, listed = [], []
    plan, files = Session.plan, LazyArray.files

    def count_plan(session: Session, max_pixels: int | None = None) -> TilePlan:
        planned.append(max_pixels)
        return plan(session, max_pixels)

    def count_listing(array: LazyArray, index: tuple[slice, ...]) -> Iterable[Path]:
        if all(part == slice(0, n) for part, n in zip(index, array.shape, strict=True)):
            listed.append(index)
        return files(array, index)

    interrupted("a.ome.tif")
    monkeypatch.setattr(Session, "plan", count_plan)
    monkeypatch.setattr(LazyArray, "files", count_listing)
    for more, plans in ((("a.ome.tif", "--resume"), 1), (("a.ome.tif", "--resume"), 0), (("b.ome.tif",), 1)):
        planned.clear()
        listed.clear()
        assert main(arguments(scene, *more)) == 0
        assert (len(planned), len(listed)) == (plans, 1), more
