"""The commands ``napari-fcn field`` and ``napari-fcn certify``."""

import builtins
import json
from pathlib import Path
from typing import Any

import net_contract
import numpy as np
import pytest
from net_contract import one_thread  # noqa: F401
from PIL import Image
from random_networks import random_net

from napari_fcn.cli import main
from napari_fcn.errors import ModelError
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.receptive_fields.theoretical import FieldAnalysis


def run(*arguments: str | Path) -> int:
    return main([*map(str, arguments), "--device", "cpu", "--quiet"])


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """A model whose answers vary."""
    spec = NetSpec(classes=3, width=4, depth=1)
    path = tmp_path / "seeing.safetensors"
    Checkpoint.of(random_net(spec), net_contract.info(spec)).save(path)
    return path


def test_the_receptive_field_is_printed_without_an_image(seeing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("field", "--model", seeing, "--json") == 0
    found = said(capsys)
    assert (found["size"], found["before"], found["after"]) == ([21, 21], [10, 10], [10, 10])
    assert found["multiple"] == [2, 2]
    assert len(found["phases"][0]) == 2
    assert found["effective"] is None
    assert found["layers"][0] == {
        "name": "encoder.0.0", "kind": "Conv2d", "size": [3, 3], "jump": [1.0, 1.0], "start": [0.0, 0.0]
    }  # fmt: skip
    assert found["layers"][-1]["name"] == "output"


def test_the_effective_receptive_field_of_a_pixel_is_printed(
    seeing: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("field", "--model", seeing, "--image", image, "--at", "1,20,19", "--class", "2", "--json") == 0
    found = said(capsys)["effective"]
    assert found["at"] == [1, 20, 19]
    assert found["class"] == "class 2"
    assert 0 < found["r50"] <= found["r90"] <= found["r99"] <= 10 * 2**0.5
    assert found["region"]["start"][0] == 1


def test_the_mean_over_the_image_is_printed_without_a_pixel(
    seeing: Path, image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("field", "--model", seeing, "--image", image) == 0
    told = capsys.readouterr().out
    assert "receptive field 21 x 21 px, up to 10 px to each side; pooling grid 2 x 2 px" in told
    assert "half of the influence lies within" in told
    assert "decoder.0.3" in told


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.full((60, 60), 0.5, np.float32), "hold 0.5; needed are whole numbers"),
        (np.full((60, 60), np.nan, np.float32), "pixels are NaN"),
        (np.full((60, 60), -1, np.int8), "go from -1 to -1"),
        (np.full((2, 3, 4, 5), 1), "1 to 3 axes in space"),
    ],
)
def test_unusable_labels_are_refused_with_a_message(
    seeing: Path, tmp_path: Path, labels: np.ndarray, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "labels.npy", labels)
    assert run("field", "--model", seeing, "--labels", tmp_path / "labels.npy") == 1
    assert words in capsys.readouterr().err


def test_advice_uses_the_given_or_measured_object_size(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("field", "--model", seeing, "--object-size", "310", "--json") == 0
    assert "Objects are 310 px, the receptive field is 21 px" in said(capsys)["advice"]
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 10:50] = 1
    np.save(tmp_path / "labels.npy", labels)
    assert run("field", "--model", seeing, "--labels", tmp_path / "labels.npy", "--json") == 0
    assert "Objects are 45 px" in said(capsys)["advice"]


@pytest.mark.parametrize("more", [[], ["--image", "cells"], ["--image", "cells", "--at", "20,19"]])
def test_a_picture_is_written(seeing: Path, image: Path, tmp_path: Path, more: list[str]) -> None:
    out = tmp_path / "field.png"
    given = [str(image) if word == "cells" else word for word in more]
    assert run("field", "--model", seeing, *given, "--out", out) == 0
    with Image.open(out) as picture:
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_an_existing_picture_is_kept_without_overwrite(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "field.png"
    out.write_text("precious")
    assert run("field", "--model", seeing, "--out", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run("field", "--model", seeing, "--out", out, "--overwrite") == 0


def test_a_picture_without_matplotlib_names_the_extra(
    seeing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run("field", "--model", seeing, "--out", tmp_path / "field.png") == 1
    assert "pip install 'napari-fcn[figures]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "3,3"], "no image was given"),
        (["--image", "cells", "--at", "500,3"], "is outside the image, which is 3 x 37 x 41 px"),
        (["--image", "cells", "--at", "3"], "has 1 numbers"),
        (["--image", "cells", "--at", "a,b"], "whole numbers such as 120,80"),
        (["--image", "cells", "--at", "3,3", "--class", "nucleus"], "no class 'nucleus'. Choose one of class 0"),
        (["--image", "nowhere.tif"], "nowhere.tif"),
        (["--model", "nothing"], "There is no model 'nothing'"),
        (["--out", "field.docx"], "cannot be written to field.docx"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    arguments: list[str],
    words: str,
    seeing: Path,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(image) if word == "cells" else word for word in arguments]
    assert run("field", "--model", seeing, *given) == 1
    assert words in capsys.readouterr().err


def test_a_3d_model_on_a_plane_is_refused_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = NetSpec(ndim=3, width=2, depth=1)
    net_contract.checkpoint(spec).save(tmp_path / "volume.safetensors")
    np.save(tmp_path / "plane.npy", np.zeros((30, 30)))
    for command in (["certify", tmp_path / "plane.npy"], ["field", "--image", tmp_path / "plane.npy"]):
        assert run(*command, "--model", tmp_path / "volume.safetensors") == 1
        assert "A 3-D model needs 3 axes in space; the image has 2" in capsys.readouterr().err


def test_an_unbounded_receptive_field_is_refused_with_a_message(
    seeing: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(self: FieldAnalysis) -> None:
        raise ModelError("The network has no finite receptive field: pool depends on the whole input.")

    monkeypatch.setattr(FieldAnalysis, "field", property(endless))
    assert run("field", "--model", seeing) == 1
    assert "no finite receptive field: pool" in capsys.readouterr().err


def test_a_certificate_is_printed(seeing: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("certify", "--model", seeing, image, "--json") == 0
    found = said(capsys)
    assert found["exact"] is True
    assert found["max_error"] <= 1e-5
    assert found["mean_error"] <= found["max_error"]
    assert (found["label_flips"], found["tiles"]) == (0, 9)
    assert found["halo"] == found["halo_needed"] == [[10, 10], [10, 10]]
    assert found["reason"].endswith("Compared: t 1.")


def test_synthetic_cells_are_used_without_an_image(seeing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("certify", "--model", seeing) == 0
    told = capsys.readouterr().out
    assert told.startswith("EXACT. ")
    assert "of 262144 pixels" in told


def test_tiles_that_are_not_exact_fail(
    seeing: Path, image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_fcn.inspection.checks.ROUNDING_ERROR", {})
    monkeypatch.setattr("napari_fcn.inspection.checks.HALF_PRECISION_ERROR", -1.0)
    assert run("certify", "--model", seeing, image) == 1
    told = capsys.readouterr()
    assert told.out.startswith("NOT EXACT. ")
    assert "not exact" in told.err
