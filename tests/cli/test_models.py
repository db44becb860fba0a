import json
from pathlib import Path

import pytest

from napari_fcn.cli import main
from napari_fcn.models import zoo


def test_the_list_names_every_shipped_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(zoo.names())
    assert {"nuclei", "membranes"} <= set(zoo.names())


def test_a_card_has_everything_that_a_user_needs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(model)]) == 0
    text = capsys.readouterr().out
    assert "class 1 (#56b4e9)" in text
    assert "napari-fcn train nowhere" in text


@pytest.mark.parametrize(("name", "multiple"), [("nuclei", 16), ("membranes", 8)])
def test_json_has_the_keys_that_others_rely_on(name: str, multiple: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", name, "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert entry["name"] == name
    assert entry["classes"][0] == "background"
    assert len(entry["colours"]) == len(entry["classes"])
    assert entry["field"]["before"] == entry["field"]["after"]
    assert entry["multiple"] == [multiple, multiple]
    assert entry["bytes"] <= 8_000_000
    assert entry["licence"]
    assert entry["recipe"].startswith("napari-fcn train")
    assert entry["scores"]["dice"] > 0.5
    assert entry["parameters"] > 100_000


def test_a_damaged_model_does_not_hide_the_others(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "good.safetensors").write_bytes(model.read_bytes())
    (folder / "bad.safetensors").write_bytes(model.read_bytes()[:-1])
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    assert main(["models"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("good ")
    assert "bad.safetensors is damaged or cut off" in said.err
