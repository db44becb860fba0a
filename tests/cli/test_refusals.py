"""System errors at any call give a message, leave no incomplete result, and do not stop other images."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from failing_system import ERRORS, FailingSystem, failing

from napari_fcn.cli import main
from napari_fcn.io import read_image
from napari_fcn.runs import job

SPREAD = 9  # calls that are tried of each command; a run that tries all of them takes minutes
Command = Callable[[Path], list[object]]

COMMANDS: dict[str, Command] = {
    "predict": lambda at: ["predict", at / "in", "--model", at / "m.safetensors", "--out", at / "out", "--tile", "32"],
    "predict zarr": lambda at: [
        "predict",
        at / "in/a.tif",
        "--model",
        at / "m.safetensors",
        "--out",
        at / "a.zarr",
    ],
    "predict png": lambda at: ["predict", at / "in/a.tif", "--model", at / "m.safetensors", "--out", at / "a.png"],
    "predict objects": lambda at: [
        *("predict", at / "in/a.tif", "--model", at / "m.safetensors"),
        *("--out", at / "out", "--save", "objects,probabilities"),
    ],
    "field": lambda at: [
        *("field", "--model", at / "m.safetensors", "--image", at / "in/a.tif"),
        *("--at", "20,20", "--out", at / "field.png"),
    ],
    "certify": lambda at: ["certify", at / "in/a.tif", "--model", at / "m.safetensors"],
    "models": lambda at: ["models", at / "m.safetensors"],
    "replay": lambda at: ["replay", at / "cells.fcn", "--image", at / "image.npy"],
}


@pytest.fixture
def place(tmp_path: Path, model: Path) -> Path:
    """A folder with all that the commands read."""
    at = tmp_path / "place"
    (at / "in").mkdir(parents=True)
    shutil.copy(model, at / "m.safetensors")
    numbers = np.random.default_rng(0)
    for name in ("a", "b"):
        tifffile.imwrite(at / "in" / f"{name}.tif", numbers.integers(0, 4000, (40, 50)).astype(np.uint16))
    stored = Path(__file__).parents[1] / "version_0_1_0"
    shutil.copytree(stored / "cells.fcn", at / "cells.fcn")
    shutil.copy(stored / "image.npy", at / "image.npy")
    return at


def run(place: Path, command: Command, **fault: int) -> tuple[int, FailingSystem]:
    words = [str(word) for word in command(place)]
    with failing(place, **fault) as system:
        code = main(words if words[0] == "models" else [*words, "--quiet"])
    return code, system


def results(at: Path) -> dict[str, int]:
    """Return the sum of the numbers in each result; one that is no whole file raises."""
    found = [path for path in (*at.glob("out/*"), *at.glob("*.zarr"), *at.glob("*.png")) if path.name[0] != "."]
    return {path.name: int(np.asarray(read_image(path).data).sum()) for path in found if "unfinished" not in path.name}


def clear(at: Path) -> None:
    shutil.rmtree(at / "out", ignore_errors=True)
    for path in {*at.glob("*.zarr*"), *at.glob("*.png*"), *at.glob(".*")}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("length", [1, 10**9], ids=["one call", "all calls from one on"])
def test_a_system_error_at_any_call_gives_a_message(
    name: str, length: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib") if name == "field" else None
    command = COMMANDS[name]
    expected, system = run(place, command)
    whole = results(place)
    clear(place)
    capsys.readouterr()
    for turn, at in enumerate(range(turn_of(name, length), system.count, max(1, system.count // SPREAD))):
        code, failed = run(place, command, at=at, length=length, number=ERRORS[turn % len(ERRORS)])
        said = capsys.readouterr().err
        where = f"{errno.errorcode[failed.number]} at {failed.calls[at] if at < failed.count else ''}: {said}"
        assert code in (expected, 1), where
        assert "Traceback" not in said, where
        assert code == 0 or re.search(r"^napari-fcn: .*[.)]$", said, re.MULTILINE), where
        made = results(place)
        assert all(whole[key] == value for key, value in made.items()), where  # never half of one under its name
        assert code == 1 or made == whole, where
        if "1 of 2 images failed" in said:
            assert len(made) >= 1, where
        clear(place)


def turn_of(name: str, length: int) -> int:
    """Return the first call that is tried, another one for each command."""
    return (len(name) + (length > 1) * 3) % SPREAD


def test_an_unreadable_folder_does_not_stop_the_others(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place / "closed"
    closed.mkdir()
    real = os.scandir, os.listdir

    def refuse(number: int) -> Callable[[object], object]:
        def call(path: object = ".") -> object:
            if str(path) == str(closed):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real[number](path)  # type: ignore[call-overload]

        return call

    monkeypatch.setattr(os, "scandir", refuse(0))
    monkeypatch.setattr(os, "listdir", refuse(1))
    command = ["predict", closed, place / "in", "--model", place / "m.safetensors", "--out", place / "out", "--quiet"]
    assert main([*map(str, command)]) == 1
    said = capsys.readouterr().err
    assert f"{closed} cannot be used: there is no permission" in said
    assert "1 of 3 images failed" in said
    assert sorted(results(place)) == ["a.ome.tif", "b.ome.tif"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 80 GiB"),
        RecursionError("maximum recursion depth exceeded"),
        UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"),
        OSError("a library that gives no number"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_system_error_for_one_image_does_not_stop_the_others(
    error: Exception, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = job.run_job

    def refuse(asked: job.RunJob, *others: Any) -> Iterator[object]:
        if asked.image.name == "a.tif":
            raise error
        return real(asked, *others)

    monkeypatch.setattr(job, "run_job", refuse)
    assert run(place, COMMANDS["predict"])[0] == 1
    said = capsys.readouterr().err
    assert "1 of 2 images failed" in said
    assert "Traceback" not in said
    assert list(results(place)) == ["b.ome.tif"]


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_an_undecodable_name_does_not_stop_the_other_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        (place / "in" / "a.tif").rename(place / "in" / "\udcff\udcfe.tif")
    except (OSError, UnicodeError):
        pytest.skip("this disk allows text only")
    code = run(place, COMMANDS["predict"])[0]
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "b.ome.tif" in results(place)
    assert code == 0 or "cannot be used" in said


def test_training_on_an_image_of_nan_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, labels, data = np.full((64, 64), np.nan, np.float32), np.zeros((64, 64), np.uint8), place / "data"
    labels[:9], labels[20:30], labels[40:50] = 1, 2, 3
    data.mkdir()
    for name in ("train_a", "val_a"):
        tifffile.imwrite(data / f"{name}_image.tif", empty)
        tifffile.imwrite(data / f"{name}_label.tif", labels)
    out, image = place / "o.safetensors", data / "train_a_image.tif"
    known = ["--model", place / "m.safetensors", "--steps", "0"]
    for command in (
        ["finetune", image, data / "train_a_label.tif", *known, "--out", out],
        ["train", data, "--spec", "unet width=2 depth=1 classes=3", "--epochs", "1", "--out", out],
    ):
        assert main([*map(str, command)]) == 1
        assert "no finite number, only NaN or infinity: there is nothing to learn from it." in capsys.readouterr().err
        assert not out.exists()
