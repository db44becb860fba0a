"""Existing results and unfinished runs; the tests of the command line cover the rest."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_fcn.errors import ModelError, OutputExistsError
from napari_fcn.events import RunDone, RunPlanned, TileDone
from napari_fcn.inference import backend_choice, openvino_backend
from napari_fcn.io import ImageLocation, read_image
from napari_fcn.io.result_reader import read_provenance
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets.spec import NetSpec
from napari_fcn.objects.size_choice import SizeChoice
from napari_fcn.runs.job import OutputPolicy, RunInput, RunJob, run_job
from napari_fcn.runs.resume import stored_identity
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

SETTINGS = PredictSettings(device="cpu", tile=(16,))
Run = Callable[..., Iterator[Any]]


@pytest.fixture
def job(tmp_path: Path, rng: np.random.Generator) -> RunJob:
    np.save(tmp_path / "cells.npy", rng.integers(0, 255, (32, 48), np.uint8))
    targets = {"classes": tmp_path / "cells_classes.ome.tif"}
    return RunJob(tmp_path / "cells.npy", tmp_path / "cells", targets, ImageLocation.from_file(tmp_path / "cells.npy"))


@pytest.fixture
def run(job: RunJob) -> Run:
    spec = NetSpec(classes=3, width=2, depth=1)
    net = spec.build(torch.Generator().manual_seed(3))
    checkpoint = Checkpoint.of(net, plain_recipe("tiny", spec, "made for a test"))

    def run(policy: OutputPolicy) -> Iterator[Any]:
        image = read_image(job.image)
        session = Session(image.data, checkpoint, image.bind(spec), policy.settings)
        return run_job(job, RunInput.of(image, session), policy)

    return run


def interrupt(run: Run, policy: OutputPolicy, tiles: int = 2) -> None:
    """Stop a run after some tiles."""
    with closing(run(policy)) as events:  # type: ignore[type-var]  # generators can be closed
        for event in events:
            tiles -= isinstance(event, TileDone)
            if not tiles:
                return


def planned(events: list[Any]) -> RunPlanned:
    return next(event for event in events if isinstance(event, RunPlanned))


def test_a_finished_result_of_the_same_run_is_not_written_again(run: Run, job: RunJob) -> None:
    assert isinstance(list(run(OutputPolicy(SETTINGS, resume=True)))[-1], RunDone)
    written = job.targets["classes"].stat().st_mtime_ns
    assert list(run(OutputPolicy(SETTINGS, resume=True, overwrite=True))) == []
    assert job.targets["classes"].stat().st_mtime_ns == written


def test_a_result_with_other_settings_is_refused_before_any_prediction(run: Run, job: RunJob) -> None:
    list(run(OutputPolicy(SETTINGS)))
    other = replace(SETTINGS, colour="dab")
    with pytest.raises(OutputExistsError, match=r"Pass --overwrite") as error:
        next(run(OutputPolicy(other, resume=True)))
    assert error.value.short == f"{job.targets['classes']} exists."
    assert isinstance(list(run(OutputPolicy(other, resume=True, overwrite=True)))[-1], RunDone)


def test_a_stopped_run_leaves_no_result_and_is_resumed(run: Run, job: RunJob) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    assert not job.targets["classes"].exists()
    assert planned(list(run(OutputPolicy(SETTINGS, resume=True)))).done == 2
    assert job.targets["classes"].exists()
    assert not job.out.with_name("cells.unfinished").exists()


def test_an_unfinished_run_with_other_settings_is_removed_only_with_renew(run: Run) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    other = OutputPolicy(replace(SETTINGS, colour="dab"), resume=True)
    with pytest.raises(OutputExistsError, match="different settings"):
        list(run(other))
    assert planned(list(run(replace(other, renew=True)))).done == 0


def test_a_run_without_a_tile_setting_resumes_with_the_tiles_of_the_unfinished_run(run: Run) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    plan = planned(list(run(OutputPolicy(replace(SETTINGS, tile=()), resume=True))))
    assert (plan.done, plan.tile) == (2, (16, 16))


@pytest.fixture
def two_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let auto choose OpenVINO for every image."""
    if not openvino_backend.is_installed():
        pytest.skip("OpenVINO is not installed: pip install 'napari-fcn[openvino]'")
    monkeypatch.setattr(backend_choice, "MIN_PIXELS", 1)
    monkeypatch.setattr(backend_choice, "FASTER_ON", (backend_choice.platform.machine(),))


@pytest.mark.usefixtures("two_backends")
@pytest.mark.parametrize(("backend", "device"), [("torch", "cpu"), ("openvino", "cpu, OpenVINO")])
def test_a_resumed_run_keeps_its_back_end(
    run: Run, job: RunJob, backend: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(run, OutputPolicy(replace(SETTINGS, backend=backend), resume=True))
    if backend == "openvino":
        monkeypatch.setattr(backend_choice, "MIN_PIXELS", 10**9)  # auto would choose PyTorch
    plan = planned(list(run(OutputPolicy(SETTINGS, resume=True))))
    assert (plan.done, plan.device) == (2, device)
    assert list(run(OutputPolicy(SETTINGS, resume=True))) == []  # finished


@pytest.mark.usefixtures("two_backends")
def test_a_run_is_not_resumed_with_the_other_back_end(run: Run) -> None:
    interrupt(run, OutputPolicy(replace(SETTINGS, backend="torch"), resume=True))
    with pytest.raises(OutputExistsError, match="the back end was torch and is openvino"):
        list(run(OutputPolicy(replace(SETTINGS, backend="openvino"), resume=True)))


def test_the_identity_of_a_run_in_pytorch_is_that_of_earlier_versions(run: Run, job: RunJob) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    identity = stored_identity(job.out)
    assert identity is not None
    assert "backend" not in {**identity, **identity["settings"]}


def test_a_run_that_cannot_be_planned_leaves_the_unfinished_run(run: Run) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    with pytest.raises(ModelError, match="3 lengths"):
        list(run(OutputPolicy(replace(SETTINGS, tile=(16, 16, 16)), overwrite=True)))
    assert planned(list(run(OutputPolicy(SETTINGS, resume=True)))).done == 2


def test_a_resumed_run_uses_the_measured_object_size(job: RunJob, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NetSpec(classes=3, width=2, depth=1)
    info = replace(plain_recipe("tiny", spec, "made for a test"), object_size=20)
    checkpoint = Checkpoint.of(spec.build(torch.Generator().manual_seed(3)), info)
    measured: list[SizeChoice] = []

    def measure(*_: object) -> SizeChoice:
        measured.append(SizeChoice(30.0 + len(measured), 30.0 + len(measured)))
        return measured[-1]

    monkeypatch.setattr("napari_fcn.objects.size_choice.choose_object_size", measure)

    def run(policy: OutputPolicy) -> Iterator[Any]:
        image = read_image(job.image)
        session = Session(image.data, checkpoint, image.bind(spec), policy.settings)
        return run_job(job, RunInput.of(image, session), policy)

    policy = OutputPolicy(replace(SETTINGS, object_size="auto"), resume=True)
    interrupt(run, policy)
    assert (stored_identity(job.out) or {})["measured"] == [30.0, 30.0]
    plan = planned(list(run(policy)))
    assert plan.done == 2
    assert "Objects are about 30 px" in " ".join(plan.notes)
    assert read_provenance(job.targets["classes"])["object_size"] == [30.0, 30.0]
    assert list(run(policy)) == []  # finished
    assert len(measured) == 1
    renewed = planned(list(run(replace(policy, resume=False, overwrite=True))))
    assert "Objects are about 31 px" in " ".join(renewed.notes)


def test_the_identity_of_a_run_without_new_settings_is_that_of_earlier_versions(run: Run, job: RunJob) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    identity = stored_identity(job.out) or {}
    assert not {"object_size", "percentiles", "scaling", "measured"} & {*identity, *identity["settings"]}


def test_a_run_with_scaled_frames_is_not_resumed_without(run: Run) -> None:
    interrupt(run, OutputPolicy(SETTINGS, resume=True))
    with pytest.raises(OutputExistsError, match=r"--scaling was (image|empty) and is frame"):
        list(run(OutputPolicy(replace(SETTINGS, scaling="frame"), resume=True)))
