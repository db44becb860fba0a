"""``finetune`` and ``replay`` on real files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from net_contract import one_thread  # noqa: F401
from teaching_examples import CLASSES, FAST, halves, painted, run, tiny, whole

from napari_fcn.cli import main
from napari_fcn.geometry import Axes
from napari_fcn.learning import evaluation
from napari_fcn.learning.annotations import Samples
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.project import ImageRecord, Project, fingerprint
from napari_fcn.project.replay import Replayed, replay
from napari_fcn.teaching import SavedSession, Teaching

SHAPE = (48, 64)
LABELS = painted(SHAPE, 8)
SMALL = ["--judge-every", "2", "--patch", "16", "--device", "cpu"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "cells.tif", (halves(SHAPE) * 100 + 100).astype(np.uint16))
    tifffile.imwrite(tmp_path / "strokes.tif", LABELS)
    tiny().save(tmp_path / "tiny.safetensors")
    return tmp_path


def finetune(files: Path, *more: str, **named: Any) -> int:
    given = {
        "image": files / "cells.tif",
        "labels": files / "strokes.tif",
        "model": files / "tiny.safetensors",
        **named,
    }
    out = named.get("out", files / "mine.safetensors")
    return main(
        [
            "finetune",
            str(given["image"]),
            str(given["labels"]),
            "--model",
            str(given["model"]),
            "--out",
            str(out),
            *more,
        ]
    )


@pytest.mark.parametrize("steps", [0, 4])
def test_a_model_is_taught_and_reported_as_json(files: Path, capsys: pytest.CaptureFixture[str], steps: int) -> None:
    assert finetune(files, *SMALL, "--steps", str(steps), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) >= {"steps", "seconds", "loss", "model_hash", "out"}
    assert told["steps"] == steps
    assert (told["loss"] is None) == (steps == 0)
    assert told["seconds"] > 0
    made = Checkpoint.load(files / "mine.safetensors")
    assert told["model_hash"] == made.hash
    assert Path(told["out"]) == files / "mine.safetensors"
    assert made.info.card.parent == tiny().hash


def test_the_taught_model_can_predict(files: Path) -> None:
    assert finetune(files, *SMALL, "--steps", "0", "--quiet") == 0
    out = files / "answer.npy"
    given = [
        "predict",
        str(files / "cells.tif"),
        "--model",
        str(files / "mine.safetensors"),
        "--out",
        str(out),
        "--quiet",
    ]
    assert main(given) == 0
    assert (np.load(out)[LABELS > 0] == LABELS[LABELS > 0] - 1).mean() > 0.95
    assert main([*given, "--head", "original", "--overwrite"]) == 0
    before = np.load(out)
    given[3] = str(files / "tiny.safetensors")
    assert main([*given, "--overwrite"]) == 0
    assert np.array_equal(np.load(out), before)


def test_progress_and_reasons_are_printed_unless_quiet(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune(files, *SMALL, "--steps", "2") == 0
    told = capsys.readouterr()
    assert "step 2 of 2, loss" in told.err
    assert "on the new strokes" in told.err
    assert told.out == ""
    assert finetune(files, *SMALL, "--steps", "2", "--quiet", "--overwrite") == 0
    assert "step 2 of 2" not in capsys.readouterr().err


def test_the_labels_are_reported_first(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(files / "mask.tif", np.array([128, 0, 255], np.uint8)[LABELS])
    given = ["--steps", "0", "--label-values", "0,255"]
    assert finetune(files, *SMALL, *given, labels=files / "mask.tif") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert f"background {(LABELS == 1).sum()} px" in first
    assert f"{(LABELS == 0).sum()} px not labelled" in first


def test_a_new_network_is_made_for_the_image(files: Path) -> None:
    assert finetune(files, *SMALL, "--steps", "2", "--quiet", model="new:unet width=2") == 0
    spec = Checkpoint.load(files / "mine.safetensors").info.spec
    assert (spec.width, spec.ndim, spec.depth, spec.original) == (2, 2, 3, 0)


def test_the_seed_determines_a_new_network(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes = []
    for seed in ("0", "0", "1"):
        given = ["--steps", "0", "--json", "--quiet", "--overwrite", "--seed", seed]
        assert finetune(files, *SMALL, *given, model="new:unet width=2 depth=1") == 0
        hashes.append(json.loads(capsys.readouterr().out)["model_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("names", "shape", "model"), [("ZYX", (6, 24, 32), "new:unet width=2"), ("YXS", (48, 64, 3), "new:unet width=2")]
)
def test_volumes_and_colours_are_taught(files: Path, names: str, shape: tuple[int, ...], model: str) -> None:
    space = shape[:3] if "Z" in names else shape[:2]
    image = halves(space) * 40 + 60
    image = image if "Z" in names else np.stack([image] * 3, -1)
    metadata = {"axes": names, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(
        files / "big.ome.tif",
        image.clip(0, 255).astype(np.uint8),
        metadata=metadata,
        photometric="rgb" if "S" in names else "minisblack",
    )
    tifffile.imwrite(files / "big.tif", painted(space, 4))
    given = ["--steps", "2", "--quiet"]
    assert finetune(files, *SMALL, *given, image=files / "big.ome.tif", labels=files / "big.tif", model=model) == 0
    spec = Checkpoint.load(files / "mine.safetensors").info.spec
    assert (spec.ndim, spec.channels) == (len(space), 3 if "S" in names else 1)
    if "Z" in names:
        assert spec.filters[-1] == (2.0, 8.0, 8.0)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((48, 60), np.uint8), "The labels are 48 x 60 px; the image is 48 x 64 px"),
        (np.zeros(SHAPE, np.uint8), "labels are empty"),
        (LABELS.astype(np.float32) / 2, "needed are whole numbers"),
        (LABELS.T, "look transposed"),
        ((LABELS == 2).astype(np.uint8) * 255, "add --label-values 0,255"),
        (LABELS.astype(np.uint16) * 200, "1 to 255 the classes"),
    ],
)
def test_incompatible_labels_are_an_error_with_a_message(
    files: Path, labels: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(files / "other.tif", labels)
    assert finetune(files, *SMALL, "--steps", "0", labels=files / "other.tif") == 1
    assert words in capsys.readouterr().err
    assert not (files / "mine.safetensors").exists()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"model": "nothing"}, "There is no model 'nothing'"),
        ({"model": "new:vgg"}, "family is 'vgg'"),
        ({"image": "nowhere.tif"}, "nowhere.tif"),
        ({"labels": "nowhere.tif"}, "nowhere.tif"),
    ],
)
def test_missing_files_are_an_error_with_a_message(
    files: Path, named: dict[str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(files, *SMALL, "--steps", "0", **named) == 1
    assert words in capsys.readouterr().err


def test_a_model_of_another_dimension_is_an_error_with_a_message(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny(3).save(files / "three.safetensors")
    assert finetune(files, *SMALL, "--steps", "0", model=files / "three.safetensors") == 1
    assert "3-D model needs 3 axes" in capsys.readouterr().err


def test_an_existing_file_is_kept_without_overwrite(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "mine.safetensors"
    out.write_bytes(b"mine")
    assert finetune(files, *SMALL, "--steps", "0") == 1
    assert "exists. Choose another name or add --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert finetune(files, *SMALL, "--steps", "0", "--overwrite", "--quiet") == 0
    Checkpoint.load(out)


# Replay


@pytest.fixture
def project(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three turns with a network that was taken."""
    monkeypatch.setattr(evaluation, "decide", lambda marks, pins: (True, "yes"))
    path = files / "cells.tif"
    image = tifffile.imread(path)
    axes = Axes(("y", "x"), ("y", "x"))
    record = ImageRecord("cells", str(path), image.shape, image.dtype.name, axes, hash=fingerprint(image))
    with Project.create(files / "cells.fcn", record, tiny(), FAST, CLASSES) as made:
        saved = SavedSession(made.history())
        teaching = Teaching(image, made.checkpoint(), axes, FAST, record=made.record, saved=saved)
        made.record_history(teaching.history.event())
        for turn in (1, 2, 3):
            labels = painted(SHAPE, turn)
            made.stroke(whole(SHAPE), labels)
            run(teaching.run_round(Samples.from_labels(labels), whole(SHAPE), made.strokes))
        assert teaching.history.present.kind == "network"
    return files / "cells.fcn"


def test_a_session_is_replayed_bit_for_bit(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(project), "--json"]) == 0
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["commit"] for line in lines] == list(range(len(lines)))
    assert len(lines) > 4
    assert all(line["is_same"] and len(line["hash"]) == 64 for line in lines)
    assert "commit 1 head: the same" in told.err
    assert "All commits are the same, bit for bit." in told.err


def test_a_commit_of_another_hash_fails(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tampered(*given: Any) -> Iterator[Replayed]:
        for made in replay(*given):
            yield Replayed(made.commit, "0" * 64) if made.commit.number == 2 else made

    monkeypatch.setattr("napari_fcn.project.replay.replay", tampered)
    assert main(["replay", str(project)]) == 1
    told = capsys.readouterr().err
    assert "commit 1 head: the same" in told
    assert "commit 2 head: DIFFERENT" in told
    assert "1 commit differs" in told


def test_different_weights_fail(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_fcn.learning.sample_weights.RIDGE", 0.03)
    assert main(["replay", str(project), "--quiet"]) == 1
    assert "from the recorded weights" in capsys.readouterr().err


def test_the_image_may_have_moved(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = project.parent / "cells.tif"
    elsewhere = project.parent / "moved" / "other.tif"
    elsewhere.parent.mkdir()
    image.rename(elsewhere)
    assert main(["replay", str(project), "--quiet"]) == 1
    assert "Choose the image again" in capsys.readouterr().err
    assert main(["replay", str(project), "--quiet", "--image", str(elsewhere)]) == 0


def test_another_image_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = project.parent / "other.tif"
    tifffile.imwrite(other, np.zeros(SHAPE, np.uint16))
    assert main(["replay", str(project), "--image", str(other)]) == 1
    assert "its pixels have other values" in capsys.readouterr().err


def test_a_project_without_commits_is_an_error(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tifffile.imread(files / "cells.tif")
    axes = Axes(("y", "x"), ("y", "x"))
    record = ImageRecord(
        "cells", str(files / "cells.tif"), image.shape, image.dtype.name, axes, hash=fingerprint(image)
    )
    Project.create(files / "empty.fcn", record, None, FAST, CLASSES).close()
    assert main(["replay", str(files / "empty.fcn")]) == 1
    assert "nothing was taught" in capsys.readouterr().err
    assert main(["replay", str(files)]) == 1
    assert "not a napari-fcn project" in capsys.readouterr().err


def test_a_movie_is_taught_along_time(files: Path) -> None:
    tifffile.imwrite(
        files / "movie.ome.tif", (halves((6, 24, 32)) * 40 + 60).astype(np.uint8), metadata={"axes": "TYX"}
    )
    tifffile.imwrite(files / "movie.tif", painted((6, 24, 32), 4))
    given = {"image": files / "movie.ome.tif", "labels": files / "movie.tif", "model": "new:video width=2 depth=1"}
    assert finetune(files, *SMALL, "--steps", "2", "--quiet", **given) == 0
    spec = Checkpoint.load(files / "mine.safetensors").info.spec
    assert (spec.family, spec.ndim, spec.time) == ("video", 3, 0)
