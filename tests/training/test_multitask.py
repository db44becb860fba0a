"""One trunk with a head for each task."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.test_pictures import discs
from training.test_plane_crops import picture

from napari_fcn.errors import ModelError
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings
from napari_fcn.training.general import any_object
from napari_fcn.training.multitask import (
    MultitaskNet,
    MultitaskSettings,
    MultitaskTraining,
    distance_loss,
    score,
)

SPEC = NetSpec("mbconv", channels=3, width=4, depth=2, colours=True)
SETTINGS = MultitaskSettings({"nuclei": 0.6, "membranes": 0.4}, side=32, batch=2, epochs=3, steps=2)


def training(folder: Path, settings: MultitaskSettings = SETTINGS) -> MultitaskTraining:
    net = MultitaskNet(SPEC, list(settings.shares), torch.Generator().manual_seed(0))
    val = replace(picture(), name="set/val_nuclei")
    membranes = replace(picture("membranes"), labels=(discs() > 0).astype(np.int32))
    infos = {task: plain_recipe(task, net.spec_of(task), "command") for task in settings.shares}
    return MultitaskTraining(net, [picture(), membranes, val], settings, folder, infos)


def test_an_interrupted_training_gives_the_same_weights(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    epochs = [event.epoch for event in training(tmp_path / "whole").run()]
    assert epochs == [1, 2, 3]
    run = training(tmp_path / "parts").run()
    next(run)
    run.close()
    assert [event.epoch for event in training(tmp_path / "parts").run()] == [2, 3]
    for task in SETTINGS.shares:
        whole = Checkpoint.load(tmp_path / "whole" / f"{task}.safetensors")
        parts = Checkpoint.load(tmp_path / "parts" / f"{task}.safetensors")
        assert whole.hash == parts.hash


def test_the_models_share_their_trunk_and_read_grey_and_colour(tmp_path: Path) -> None:
    list(training(tmp_path, replace(SETTINGS, epochs=1)).run())
    nuclei, membranes = (Checkpoint.load(tmp_path / f"{task}.safetensors") for task in SETTINGS.shares)
    assert nuclei.info.spec == replace(SPEC, classes=3, distance=True)
    assert membranes.info.spec == replace(SPEC, classes=2)
    shared = [name for name in nuclei.weights if not name.startswith(("score", "distance"))]
    assert all(torch.equal(nuclei.weights[name], membranes.weights[name]) for name in shared)
    image = np.random.default_rng(0).integers(0, 255, (60, 50, 3), np.uint8)
    for pixels, rgb in ((image, True), (image[..., 0], False)):
        events = list(Session(pixels, nuclei, settings=PredictSettings(device="cpu"), rgb=rgb).predict())
        assert np.isfinite(events[1].probabilities).all()


def test_a_state_of_other_settings_is_refused(tmp_path: Path) -> None:
    list(training(tmp_path, replace(SETTINGS, epochs=1)).run())
    with pytest.raises(ModelError, match="belongs to a run with other settings"):
        training(tmp_path, replace(SETTINGS, epochs=4))


def test_scores_are_written_into_the_card(tmp_path: Path) -> None:
    run = training(tmp_path, replace(SETTINGS, epochs=1))
    list(run.run())
    scores = dict(run.validate())
    assert set(scores["nuclei"]) == {"dice", "dice_fluo"}
    assert scores["membranes"] == {}
    assert Checkpoint.load(tmp_path / "nuclei.safetensors").info.card.scores == scores["nuclei"]


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    events = list(training(tmp_path, replace(SETTINGS, epochs=4, steps=8, batch=4)).run())
    assert events[-1].losses["nuclei"] < events[0].losses["nuclei"]


def test_the_score_is_one_for_the_truth() -> None:
    class Perfect(torch.nn.Module):
        spec = SPEC

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside = (x[:, :1] > 0).float()
            return torch.cat([1 - inside, inside, 0 * inside], 1)

    assert score(Perfect(), [picture()]) == {"dice": 1.0, "dice_fluo": 1.0}  # type: ignore[arg-type]


def test_the_distance_is_learnt_where_classes_are_known() -> None:
    prediction, distance = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    classes = torch.zeros(1, 4, 4, dtype=torch.long)
    assert distance_loss(prediction, distance, classes) == pytest.approx(0.95)
    classes[:] = 255
    assert distance_loss(prediction, distance, classes) == 0


def test_general_finds_the_objects_of_all_tasks_with_the_same_trunk(tmp_path: Path) -> None:
    run = training(tmp_path, replace(SETTINGS, epochs=1, steps=150))
    list(run.run())
    scores = run.write_general(plain_recipe("general", replace(SPEC, classes=2), "command"))
    general, nuclei = (Checkpoint.load(tmp_path / f"{name}.safetensors") for name in ("general", "nuclei"))
    assert general.info.card.scores == scores
    assert set(scores) == {"dice", "dice_fluo"}
    assert scores["dice"] > 0.5
    assert general.weights["score.weight"].shape[0] == 2
    shared = [name for name in general.weights if not name.startswith("score")]
    assert all(torch.equal(general.weights[name], nuclei.weights[name]) for name in shared)


def test_rims_are_objects_and_unknown_pixels_stay_unknown() -> None:
    assert any_object(torch.tensor([0, 1, 2, IGNORE])).tolist() == [0, 1, 1, IGNORE]
