from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import label

import napari_fcn as fcn
from napari_fcn.errors import OutputError
from napari_fcn.events import ObjectsStep, RunDone, RunPlanned, TileDone
from napari_fcn.io import ResultMeta
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.runs.writer import RunWriter
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

META = ResultMeta(axes=("y", "x"), scale=(1.0, 1.0), units=("pixel", "pixel"))


@pytest.fixture
def session(rng: np.random.Generator) -> Session:
    spec = NetSpec(width=2, depth=1)
    checkpoint = Checkpoint.of(spec.build(), plain_recipe("tiny", spec, ""))
    return Session(rng.random((20, 30)), checkpoint, settings=PredictSettings(tile=(8,)))


def test_the_files_hold_the_predicted_results_and_every_event_is_yielded(session: Session, tmp_path: Path) -> None:
    paths = {kind: tmp_path / f"{kind}.npy" for kind in ("classes", "probabilities", "probabilities8")}
    events = list(RunWriter(paths).run(session, META))
    assert isinstance(events[0], RunPlanned)
    assert isinstance(events[-1], RunDone)
    assert sum(isinstance(event, TileDone) for event in events) == events[0].tiles == 12
    probabilities = fcn.predict(session.source.array, session.checkpoint, tile=(8,))
    np.testing.assert_allclose(np.load(paths["probabilities"]), probabilities, atol=1e-6)
    np.testing.assert_array_equal(np.load(paths["classes"]), probabilities.argmax(0))
    assert np.abs(np.load(paths["probabilities8"]) / 255 - probabilities).max() <= 0.5 / 255 + 1e-6


def test_a_stopped_run_leaves_no_file(session: Session, tmp_path: Path) -> None:
    events = RunWriter({"classes": tmp_path / "classes.npy"}).run(session, META)
    next(events)
    next(events)
    events.close()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_refused_before_the_run(session: Session, tmp_path: Path) -> None:
    (tmp_path / "classes.npy").write_text("existing")
    with pytest.raises(OutputError, match="exists"):
        next(RunWriter({"classes": tmp_path / "classes.npy"}).run(session, META))
    assert (tmp_path / "classes.npy").read_text() == "existing"


def test_objects_without_rims_are_connected_components_and_leave_no_extra_files(
    session: Session, tmp_path: Path
) -> None:
    session.settings = replace(session.settings, smallest=1)
    list(RunWriter({"probabilities": tmp_path / "probabilities.npy"}).run(session, META))
    events = list(RunWriter({"objects": tmp_path / "objects.npy"}).run(session, META))
    steps = [event for event in events if isinstance(event, ObjectsStep)]
    assert [step.done for step in steps] == list(range(1, steps[0].total + 1))
    assert isinstance(events[-1], RunDone)
    probabilities, objects = np.load(tmp_path / "probabilities.npy"), np.load(tmp_path / "objects.npy")
    classes = np.where(probabilities[0] < 0.5, 1 + probabilities[1:].argmax(0), 0)
    np.testing.assert_array_equal(objects, label(classes, background=0, connectivity=1))
    assert objects.dtype == np.uint32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects.npy", "probabilities.npy"]
