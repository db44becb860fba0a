"""Projects, models, results and unfinished runs of version 0.1.0 open as before."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from net_contract import one_thread  # noqa: F401

from napari_fcn.cli import main
from napari_fcn.io import read_image, read_result_meta
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.project import Project

STORED = Path(__file__).parent / "version_0_1_0"
FACTS: dict[str, Any] = json.loads((STORED / "facts.json").read_text())
MADE = 1_700_000_000  # seconds: when the image of the unfinished runs was written


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A copy of the stored files, to write in."""
    folder = tmp_path / "stored"
    shutil.copytree(STORED, folder)
    os.utime(folder / "image.npy", (MADE, MADE))
    return folder


@pytest.mark.parametrize("opened", [Project.open, Project.open_read_only], ids=["to write", "to read"])
def test_every_state_of_a_project_has_its_strokes_and_weights(stored: Path, opened: Any) -> None:
    strokes = np.load(stored / "strokes.npz")
    with opened(stored / "cells.fcn") as project:
        history = project.history()
        found = [
            {"number": c.number, "parent": c.parent, "kind": c.kind, "hash": c.hash, "name": c.name}
            for c in history.commits
        ]
        assert found == FACTS["states"]
        assert history.present.number == FACTS["present"]
        for state in FACTS["states"]:
            assert history.checkpoint(state["number"]).hash == state["hash"]
            np.testing.assert_array_equal(project.labels_at(state["number"]), strokes[str(state["number"])])
        assert [label.name for label in project.classes()] == FACTS["classes"]
        assert [name for name, *_ in project.pins()] == FACTS["pins"]
        assert project.strokes == FACTS["strokes"]
        assert not project.notes


def test_a_project_takes_strokes_and_opens_again(stored: Path) -> None:
    from napari_fcn.geometry import Region

    with Project.open(stored / "cells.fcn") as project:
        before = np.asarray(project.labels())
        project.stroke(Region((0, 0), (2, 3)), np.full((2, 3), 2, np.uint8))
    before[:2, :3] = 2
    with Project.open_read_only(stored / "cells.fcn") as project:
        np.testing.assert_array_equal(project.labels(), before)
        assert (project.strokes, list(project.notes)) == (FACTS["strokes"] + 1, [])


def test_a_model_opens_with_its_hash(stored: Path) -> None:
    assert Checkpoint.load(stored / "taught.safetensors").hash == FACTS["taught"]
    assert main(["models", str(stored / "taught.safetensors")]) == 0


@pytest.mark.parametrize("name", ["classes.ome.tif", "classes.ome.zarr"])
def test_an_unfinished_run_is_resumed(stored: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    def predict(out: Path, *more: str) -> None:
        given = (stored / "image.npy", "--model", stored / "tiny.safetensors", "--out", out, "--axes", "YX")
        assert main(["predict", *map(str, given), "--device", "cpu", "--quiet", "--json", *more]) == 0

    predict(stored / name, "--resume")
    assert json.loads(capsys.readouterr().out)["resumed"] == 5
    assert not (stored / f"{name}.unfinished").exists()
    predict(stored / f"new {name}", "--tile", "32")
    there, anew = (np.asarray(read_image(stored / path).data[...]) for path in (name, f"new {name}"))
    np.testing.assert_array_equal(there, anew)


@pytest.mark.parametrize("name", ["whole.ome.tif", "whole.ome.zarr"])
def test_a_result_says_what_it_is_and_is_replaced_only_if_asked(stored: Path, name: str) -> None:
    record = read_result_meta(stored / name)
    assert record["kind"] == "classes"
    image = read_image(stored / name)
    assert image.axes == ("y", "x")
    given = (stored / "image.npy", "--model", stored / "tiny.safetensors", "--out", stored / name, "--quiet")
    assert main(["predict", *map(str, given)]) == 1
    assert main(["predict", *map(str, given), "--overwrite"]) == 0
