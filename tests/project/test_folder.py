"""Saving and restoring of a project: model, settings, corrections of every commit, classes, pins."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import net_contract
import numpy as np
import painter
import pytest
import torch
from net_contract import one_thread  # noqa: F401
from painter import AXES, CLASSES, IMAGE, paint, painted, record_of, restored, stroke_of

from napari_fcn.errors import ImageMovedError, ModelError, ProjectError
from napari_fcn.events import HistoryChanged
from napari_fcn.geometry import Region
from napari_fcn.learning.history import History
from napari_fcn.models.card import ClassLabel, ModelCard
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.project import Project
from napari_fcn.settings import TeachSettings

SPEC = NetSpec(width=2, depth=1)
THREE = (*CLASSES, ClassLabel("rim", "#56b4e9"))


def model(step: float = 0.0) -> Checkpoint:
    """Return a model; another step is another score layer on the same trunk."""
    found = net_contract.checkpoint(SPEC)
    weights = {name: w + step if name.startswith("score") else w for name, w in found.weights.items()}
    return Checkpoint(replace(found.info, card=ModelCard(name="nuclei")), weights)


def commit(project: Project, history: History, step: float, kind: str = "head") -> HistoryChanged:
    """Add a commit that has learnt from all strokes, as a session does."""
    history.add(kind, project.strokes, project.current_stroke, model(step), {"right": 0.5})
    project.record_history(history.event())
    return history.event()


def of_commit(project: Project, number: int) -> np.ndarray:
    return np.asarray(project.labels_at(number))


# Making and opening


def test_a_new_project_opens_with_its_image_settings_classes_and_model(tmp_path: Path) -> None:
    image = replace(record_of(IMAGE, "/data/cells.tif"), scale=(1.0, 0.5, 0.5), units=("s", "µm", "µm"))
    settings = TeachSettings(keep=0.75, network="ask", patch=64)
    Project.create(tmp_path / "a.fcn", image, model(), settings, THREE).close()
    with Project.open(str(tmp_path / "a.fcn")) as project:
        assert project.image == image
        assert project.settings() == settings
        assert project.classes() == THREE
        start = project.checkpoint()
        assert start is not None
        assert start.hash == model().hash
        assert start.info == model().info
        assert (project.strokes, project.notes, list(project.entries())) == (0, (), [])
        assert project.history().commits == ()
    assert json.loads((tmp_path / "a.fcn" / "project.json").read_bytes())["model"]["name"] == "nuclei"


def test_filters_only_have_no_model(project: Project) -> None:
    assert project.checkpoint() is None


def test_a_project_opens_by_its_manifest(project: Project) -> None:
    project.close()
    with Project.open(project.path / "project.json") as again:
        assert again.path == project.path


def test_creating_a_project_never_overwrites_a_folder(project: Project) -> None:
    with pytest.raises(ProjectError, match=r"a\.fcn exists already.*another name"):
        painter.create(project.path)


def test_a_failed_creation_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_fcn.storage.atomic.os.fsync", fail)
    with pytest.raises(ProjectError, match=r"a\.fcn cannot be written: the disk is full.*another folder"):
        painter.create(tmp_path / "a.fcn")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_without_write_permission_can_be_opened_read_only(project: Project) -> None:
    project.close()
    project.path.chmod(0o500)
    try:
        with pytest.raises(ProjectError, match=r"no permission.*read-only"):
            Project.open(project.path)
        Project.open_read_only(project.path).close()
    finally:
        project.path.chmod(0o700)


def test_an_error_on_locking_suggests_read_only_or_a_copy(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    project.close()
    monkeypatch.setattr("napari_fcn.storage.lock.os.open", fail)
    with pytest.raises(ProjectError, match=r"no permission.*read-only.*a copy"):
        Project.open(project.path)
    Project.open_read_only(project.path).close()


def test_opening_a_folder_that_is_not_a_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"There is no project .*nothing\.fcn"):
        Project.open(tmp_path / "nothing.fcn")
    with pytest.raises(ProjectError, match=r"is not a napari-fcn project: it has no project\.json"):
        Project.open(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_project_of_a_newer_format_is_refused_and_unchanged(project: Project) -> None:
    project.close()
    file = project.path / "project.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2, "version": "7.0"}))
    before = sorted(project.path.rglob("*"))
    with pytest.raises(ProjectError, match=r"format 2, made by napari-fcn 7\.0; .* up to 1\. Update napari-fcn"):
        Project.open(project.path)
    assert sorted(project.path.rglob("*")) == before


@pytest.mark.parametrize("file", ["project.json", "image.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": "one"}', "\x00" * 100])
def test_a_damaged_manifest_or_image_record_is_named(project: Project, file: str, text: str) -> None:
    paint(project, 1)
    project.close()
    (project.path / file).write_text(text)
    with pytest.raises(ProjectError, match=rf"damaged: {file} cannot be used.*backup.*journal\.jsonl"):
        Project.open(project.path)
    assert not (project.path / "lock").exists()


@pytest.mark.parametrize("file", ["image.json", "journal.jsonl"])
def test_a_missing_file_is_named(project: Project, file: str) -> None:
    project.close()
    (project.path / file).unlink()
    with pytest.raises(ProjectError, match=rf"{file} cannot be used \(it is missing\)"):
        Project.open(project.path)


def test_a_damaged_or_foreign_model_is_named(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a.fcn", record_of(IMAGE), model(), TeachSettings(), CLASSES) as project:
        model(1.0).save(project.path / "start.safetensors")
        with pytest.raises(ProjectError, match="not the model with which the project started, nuclei"):
            project.checkpoint()
        (project.path / "start.safetensors").write_bytes(b"?")
        with pytest.raises(ModelError, match="cut off"):
            project.checkpoint()


def test_opening_loads_no_torch(project: Project) -> None:
    commit(project, project.history(), 0.0, "start")
    paint(project, 2)
    project.close()
    program = (
        "import sys; from napari_fcn.project import Project; "
        "p = Project.open(sys.argv[1]); p.history().event(); list(p.corrections()); p.settings(); p.close(); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program, project.path], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "napari", "qtpy", "scipy", "skimage", "dask", "zarr", "tifffile"}


# Strokes


def test_a_stroke_outside_the_image_or_of_another_type_is_refused(project: Project) -> None:
    block = np.zeros((1, 2, 2), np.uint8)
    with pytest.raises(ValueError, match="is not inside an image"):
        project.stroke(Region((0, 299, 0), (1, 301, 2)), block)
    with pytest.raises(ValueError, match="needed, not int64"):
        project.stroke(Region((0, 0, 0), (1, 2, 2)), block.astype(int))
    with pytest.raises(ValueError, match=r"and \(1, 2, 2\)"):
        project.stroke(Region((0, 0, 0), (1, 3, 2)), block)
    assert project.stroke(Region((0, 9, 0), (1, 9, 2)), block[:, :0]) == 0
    assert list(project.entries()) == []


def test_a_stroke_is_stored_as_a_copy(project: Project) -> None:
    block = np.ones((1, 2, 2), np.uint8)
    project.stroke(Region((0, 0, 0), (1, 2, 2)), block)
    block[:] = 2
    assert restored(project).max() == 1


def test_two_threads_can_write_at_once(project: Project) -> None:
    def teach() -> None:
        for turn in range(100):
            project.record("turn", turn=turn, strokes=project.strokes)

    teacher = threading.Thread(target=teach)
    teacher.start()
    paint(project, 40)
    teacher.join()
    found = list(project.entries())
    project.close()
    with Project.open(project.path) as again:
        assert again.notes == ()
        assert list(again.entries()) == found
        assert [entry["n"] for entry in found] == list(range(140))
        assert [entry["turn"] for entry in found if entry["kind"] == "turn"] == list(range(100))
        assert np.array_equal(restored(again), painted(list(range(1, 41))))


def test_strokes_have_no_channel_axis(tmp_path: Path) -> None:
    image = np.zeros((2, 40, 30), np.uint8)
    axes = replace(AXES, names=("c", "y", "x"), channel="c")
    with Project.create(tmp_path / "a.fcn", record_of(image, axes=axes), None, TeachSettings(), CLASSES) as project:
        assert project.stroke(Region((0, 0), (40, 30)), np.ones((40, 30), np.uint8)) == 1


# History


def test_the_history_is_restored_with_its_weights(project: Project) -> None:
    history = project.history()
    commit(project, history, 0.0, "start")
    paint(project, 2)
    commit(project, history, 1.0)
    commit(project, history, 2.0)
    history.rename(1, "good")
    project.record_history(history.event())
    history.go_to(1)
    project.record_history(history.event(is_restored=True))
    commit(project, history, 3.0)
    history.go_to(2)
    project.record_history(history.event(is_restored=True))
    history.undo()
    project.record_history(history.event(is_restored=True))
    project.close()
    with Project.open(project.path) as again:
        found = again.history()
        assert found.event() == history.event()
        for number, step in enumerate([0.0, 1.0, 2.0, 3.0]):
            assert found.checkpoint(number).hash == model(step).hash
            assert found.checkpoint(number).info == model().info
        assert found.redo() == history.redo()
        assert found.present.number == 2
        assert found.add("head", 9, 2, model(4.0)).number == 4
    small, large = ((project.path / "commits" / f"000{n}.safetensors").stat().st_size for n in (1, 0))
    assert small < large / 2


def test_an_event_without_changes_writes_no_entry(project: Project) -> None:
    history = project.history()
    event = commit(project, history, 0.0, "start")
    count = len(list(project.entries()))
    project.record_history(event)
    assert len(list(project.entries())) == count


def test_going_back_to_a_commit_restores_its_corrections(project: Project) -> None:
    history = project.history()
    commit(project, history, 0.0, "start")
    paint(project, 2)
    commit(project, history, 1.0)
    paint(project, 2)
    commit(project, history, 2.0)
    paint(project, 1)  # not learnt from yet
    project.record_history(replace(history.event(is_restored=True), present=history.go_to(1).number))
    assert project.current_stroke == 2
    assert np.array_equal(restored(project), painted([1, 2]))
    paint(project, 1)
    commit(project, history, 3.0)
    project.close()
    with Project.open(project.path) as again:
        assert (again.strokes, again.current_stroke) == (6, 6)
        assert np.array_equal(restored(again), painted([1, 2, 6]))
        assert np.array_equal(restored(again, 5), painted([1, 2, 3, 4, 5]))
        for number, strokes in enumerate([[], [1, 2], [1, 2, 3, 4], [1, 2, 6]]):
            assert np.array_equal(of_commit(again, number), painted(strokes))
        with pytest.raises(ValueError, match="no commit 4"):
            of_commit(again, 4)


@pytest.mark.parametrize("harm", ["missing", "short", "empty"])
def test_a_commit_without_weights_is_skipped_and_its_strokes_stay(project: Project, harm: str) -> None:
    history = project.history()
    commit(project, history, 0.0, "start")
    paint(project, 1)
    commit(project, history, 1.0)
    paint(project, 1)
    commit(project, history, 2.0)
    project.record("present", number=1)
    project.record("present", number=2)
    paint(project, 1)
    project.close()
    file = project.path / "commits" / "0002.safetensors"
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3] if harm == "short" else b"")
    with Project.open(project.path) as again:
        found = again.history()
        assert [c.number for c in found.commits] == [0, 1]
        assert found.present.number == 1
        assert found.checkpoint(1).hash == model(1.0).hash
        assert again.strokes == 3
        assert found.add("head", 3, 3, model(5.0)).number == 3  # never the number of another one
        again.record_history(found.event())
    with Project.open(project.path) as again:
        assert again.history().checkpoint(3).hash == model(5.0).hash
        assert again.history().log(3)[-1]["number"] == 3


def test_strokes_stay_if_all_commits_are_lost(project: Project) -> None:
    commit(project, project.history(), 0.0, "start")
    paint(project, 2)
    project.close()
    (project.path / "commits" / "0000.safetensors").unlink()
    with Project.open(project.path) as again:
        assert again.history().commits == ()
        assert commit(again, again.history(), 1.0, "start").present == 1
        assert np.array_equal(restored(again), painted([1, 2]))
    with Project.open(project.path) as again:
        assert again.history().checkpoint(1).hash == model(1.0).hash


def test_the_children_of_a_lost_commit_get_its_parent(project: Project) -> None:
    history = project.history()
    for number in range(4):
        commit(project, history, float(number), "head" if number else "start")
    project.close()
    (project.path / "commits" / "0002.safetensors").unlink()
    with Project.open(project.path) as again:
        assert [(c.number, c.parent) for c in again.history().commits] == [(0, None), (1, 0), (3, 1)]
        assert again.history().checkpoint(3).hash == model(3.0).hash
        assert len(again.notes) == 1


def test_a_weights_file_without_a_journal_entry_is_ignored(project: Project) -> None:
    history = project.history()
    commit(project, history, 0.0, "start")
    history.add("head", 1, 0, model(1.0))  # and then a crash
    project.close()
    with Project.open(project.path) as again:
        found = again.history()
        assert [c.number for c in found.commits] == [0]
        found.add("head", 1, 0, model(2.0))
        assert found.checkpoint(1).hash == model(2.0).hash


def test_damaged_weights_are_refused(project: Project) -> None:
    history = project.history()
    commit(project, history, 0.0, "start")
    commit(project, history, 1.0)
    file = project.path / "commits" / "0001.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    again = project.history()
    with pytest.raises(ModelError, match="commit 1 differ from those that were saved"):
        again.checkpoint(1)
    file.write_bytes(b"?")
    with pytest.raises(ModelError, match="not a safetensors file"):
        again.checkpoint(1)
    assert again.checkpoint(0).hash == model().hash


def test_weights_wait_in_memory_until_their_commit_is_recorded(project: Project) -> None:
    history = project.history()
    history.add("start", 0, 0, model())
    assert (project.has_unsaved, list((project.path / "commits").iterdir())) == (True, [])
    assert history.checkpoint(0).hash == model().hash
    project.record_history(history.event())
    assert (project.has_unsaved, len(list((project.path / "commits").iterdir()))) == (False, 1)


def test_teaching_continues_on_a_full_disk(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    history = project.history()
    commit(project, history, 0.0, "start")
    with monkeypatch.context() as patch:
        patch.setattr("napari_fcn.storage.atomic.os.fsync", fail)
        commit(project, history, 1.0)
        assert project.has_unsaved
        assert project.history().checkpoint(1).hash == model(1.0).hash
        with pytest.raises(ProjectError, match="disk is full"):
            project.flush()
    project.flush()
    assert not project.has_unsaved
    with Project.open_read_only(project.path) as seen:
        assert seen.history().checkpoint(1).hash == model(1.0).hash


def test_a_read_only_project_keeps_new_weights_in_memory(project: Project) -> None:
    with Project.open_read_only(project.path) as seen:
        seen.history().add("start", 0, 0, model())
        assert not seen.has_unsaved
    assert not list((project.path / "commits").iterdir())


def test_unusual_tensors_are_restored(project: Project) -> None:
    weights = {
        "nan": torch.tensor([torch.nan, -0.0]),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(7),
        "strided": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "half": torch.arange(4.0)[::2],
    }
    added = Checkpoint(model().info, weights)
    project.history().add("start", 0, 0, added)
    project.history().add("start", 0, 0, added)
    history = project.history()
    history.add("start", 0, 0, added)
    history.add("head", 0, 0, added)
    project.record_history(history.event())
    assert project.history().checkpoint(1).hash == added.hash


# Classes, pins, settings


def test_the_latest_settings_are_restored(project: Project) -> None:
    project.record("settings", settings=TeachSettings(keep=0.1))
    project.record("settings", settings={"keep": 0.2, "option of tomorrow": 1})
    project.close()
    with Project.open(project.path) as again:
        assert again.settings() == TeachSettings(keep=0.2)


def test_corrections_are_mapped_to_changed_classes(project: Project) -> None:
    history = project.history()
    region = Region((0, 0, 0), (1, 1, 3))
    row = np.array([[[0, 1, 2]]], np.uint8)
    project.stroke(region, row)
    commit(project, history, 0.0, "start")
    project.record("classes", classes=THREE, kept=(1, None, 0))  # object, rim (new), background
    commit(project, history, 0.0, "classes")
    assert project.classes() == THREE
    assert restored(project)[0, 0, :3].tolist() == [0, 3, 1]
    project.stroke(region.shift((0, 1, 0)), np.array([[[2, 2, 2]]], np.uint8))
    project.record("classes", classes=THREE[:2], kept=(2, 1))  # object is gone
    commit(project, history, 1.0, "classes")
    project.close()
    with Project.open(project.path) as again:
        assert again.classes() == THREE[:2]
        assert restored(again)[0, :2, :3].tolist() == [[0, 1, 0], [2, 2, 2]]
        found = [of_commit(again, number)[0, :2, :3].tolist() for number in range(3)]
        assert found == [[[0, 1, 2], [0, 0, 0]], [[0, 3, 1], [0, 0, 0]], [[0, 1, 0], [2, 2, 2]]]
        again.record("present", number=1)
        assert again.classes() == THREE
        assert restored(again)[0, :2, :3].tolist() == [[0, 3, 1], [0, 0, 0]]
        again.record("present", number=0)
        assert again.classes() == CLASSES


def test_pins_are_restored_and_mapped_to_changed_classes(project: Project) -> None:
    history = project.history()
    region, block = Region((0, 0, 0), (1, 1, 3)), np.array([[[0, 1, 0]]], np.uint8)
    commit(project, history, 0.0, "start")
    project.record("pin", name="gone", region=region, classes=block)
    project.pin("a", region, block)
    project.record("unpin", name="gone")
    project.record("classes", classes=THREE, kept=(None, 1, None))
    commit(project, history, 0.0, "classes")
    project.record("pin", name="b", region=region, classes=block + np.uint8(1))
    project.close()
    with Project.open(project.path) as again:
        pins = {name: (region, block.ravel().tolist()) for name, region, block in again.pins()}
        assert pins == {"a": (region, [255, 1, 255]), "b": (region, [1, 2, 1])}
        again.record("present", number=0)
        assert {name: block.ravel().tolist() for name, _, block in again.pins()} == {"a": [0, 1, 0], "b": [1, 255, 1]}


def test_entries_of_any_other_kind_can_be_recorded(project: Project) -> None:
    project.record("turn", turn=1, strokes=np.int64(2), view=Region((0,), (4,)), samples_hash="af")
    project.record("save", path=Path("model.safetensors"))
    first, second = project.entries()
    assert (first["n"], first["kind"], first["strokes"]) == (0, "turn", 2)
    assert first["view"] == {"start": [0], "stop": [4]}
    assert second["path"] == "model.safetensors"
    with pytest.raises(ValueError, match=r"Project\.stroke"):
        project.record("stroke")
    with pytest.raises(TypeError, match="cannot store a ndarray"):
        project.record("turn", samples=np.zeros(3))


def test_invalid_entries_are_not_recorded(project: Project) -> None:
    for kind, facts in [("classes", {"classes": THREE}), ("classes", {"classes": [], "kept": (300,)}), ("commit", {})]:
        with pytest.raises((KeyError, ValueError)):
            project.record(kind, **facts)
    assert list(project.entries()) == []
    assert project.classes() == CLASSES


# The image


def test_a_moved_image_can_be_relocated(tmp_path: Path, project: Project) -> None:
    project.close()
    file, moved = tmp_path / "data" / "cells.npy", tmp_path / "elsewhere" / "cells.npy"
    for folder in (file.parent, moved.parent):
        folder.mkdir()
    np.save(file, IMAGE)
    with Project.create(tmp_path / "b.fcn", record_of(IMAGE, str(file)), None, TeachSettings(), ()) as found:
        assert found.image_path() == str(file)
        file.rename(moved)
        with pytest.raises(ImageMovedError, match=r"not at .*data.cells\.npy any more\. Choose the image again"):
            found.image_path()
        with pytest.raises(ImageMovedError, match=r"There is no image .*nothing\.npy"):
            found.relocate(tmp_path / "nothing.npy")
        found.relocate(moved)
        assert found.image_path() == str(moved)
    with Project.open(tmp_path / "b.fcn") as found:
        assert found.image_path() == str(moved)
        moved.rename(tmp_path / "cells.npy")  # beside the project
        assert found.image_path() == str(tmp_path / "cells.npy")


@pytest.mark.parametrize("path", ["", "https://example.org/cells.zarr"])
def test_an_image_without_a_file_has_no_path(tmp_path: Path, path: str) -> None:
    with Project.create(tmp_path / "b.fcn", record_of(IMAGE, path), None, TeachSettings(), ()) as project:
        assert project.image_path() == path


def test_another_image_is_refused_with_the_difference(project: Project) -> None:
    project.check_image(IMAGE)
    assert project.image_matches(IMAGE.copy())
    assert not project.image_matches(IMAGE + 1)
    for other, text in [
        (IMAGE[:2], r"its shape is \(2, 300, 200\), not \(3, 300, 200\)"),
        (IMAGE.astype(float), "its type is float64, not uint16"),
        (IMAGE[::-1], "its pixels have other values"),
    ]:
        with pytest.raises(ProjectError, match=f"not the image of the project a.fcn: {text}.*cells.*no file"):
            project.check_image(other)


def test_corrections_are_all_strokes_in_order(whole: Path) -> None:
    with Project.open_read_only(whole) as project:
        for number, (region, block) in enumerate(project.corrections(), start=1):
            assert region == stroke_of(number)[0]
            assert np.array_equal(block, stroke_of(number)[1])
