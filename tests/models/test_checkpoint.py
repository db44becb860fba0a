"""Model files: saving, loading, hashes, and rejection of invalid or unsafe files."""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import net_contract
import pytest
import safetensors.torch
import torch
from net_contract import SPECS

from napari_fcn.errors import ModelError, OutputError
from napari_fcn.models.card import KEY, ModelCard, parameter_count, read_info
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec

SPEC = NetSpec(width=2, depth=1)
CARD = ModelCard(
    name="tiny",
    summary="Sees nothing – yet.",
    data=({"name": "noise", "licence": "CC0-1.0"},),
    scores={"dice": 0.5},
    commits=({"strokes": 3},),
)


@pytest.fixture
def model() -> Checkpoint:
    found = net_contract.checkpoint(SPEC, normaliser=Normaliser("standard", limit=3.0))
    return replace(found, info=replace(found.info, card=CARD, voxel_size=(0.5, 0.25)))


@pytest.fixture
def file(model: Checkpoint, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    model.save(path)
    return path


def test_a_model_is_saved_and_loaded(model: Checkpoint, file: Path) -> None:
    loaded = Checkpoint.load(file)
    assert loaded.info == model.info
    assert loaded.weights.keys() == model.weights.keys()
    assert all(torch.equal(loaded.weights[name], model.weights[name]) for name in model.weights)


def test_the_description_is_read_without_the_weights(model: Checkpoint, file: Path) -> None:
    assert read_info(file) == model.info


def test_weights_are_counted_without_statistics(file: Path) -> None:
    assert parameter_count(file) == sum(p.numel() for p in SPEC.build().parameters())


def test_a_checkpoint_is_a_copy_of_the_net(model: Checkpoint) -> None:
    net = model.net()
    kept = Checkpoint.of(net, model.info)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert kept.hash == model.hash


def test_a_net_is_a_copy_of_the_checkpoint(model: Checkpoint) -> None:
    before = model.hash
    with torch.no_grad():
        for parameter in model.net().parameters():
            parameter.add_(1)
    assert model.hash == before


def test_a_network_is_in_evaluation_mode_and_the_random_state_is_unchanged(model: Checkpoint) -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    assert not model.net().training
    assert torch.equal(torch.rand(2), expected)


def test_the_hash_does_not_depend_on_the_card(model: Checkpoint) -> None:
    other = replace(model, info=replace(model.info, card=ModelCard(name="another")))
    assert other.hash == model.hash


def test_the_hash_does_not_depend_on_the_memory_format(model: Checkpoint) -> None:
    net = model.net().to(memory_format=torch.channels_last)
    assert Checkpoint.of(net, model.info).hash == model.hash
    strided = {name: w.to(memory_format=torch.channels_last) if w.ndim == 4 else w for name, w in model.weights.items()}
    assert Checkpoint(model.info, strided).hash == model.hash


@pytest.mark.gpu
def test_the_hash_does_not_depend_on_the_device(model: Checkpoint) -> None:
    assert Checkpoint.of(model.net().cuda(), model.info).hash == model.hash


def test_the_hash_depends_on_each_weight(model: Checkpoint) -> None:
    for name, weight in model.weights.items():
        changed = {**model.weights, name: (weight + 1).to(weight.dtype)}
        assert Checkpoint(model.info, changed).hash != model.hash, name


@pytest.mark.parametrize("change", [{"normaliser": Normaliser("none")}, {"voxel_size": ()}])
def test_the_hash_depends_on_all_that_changes_predictions(model: Checkpoint, change: dict[str, Any]) -> None:
    assert replace(model, info=replace(model.info, **change)).hash != model.hash


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 19280])
def test_a_valid_file_is_not_mistaken_for_a_pickle(tmp_path: Path, length: int) -> None:
    """The length of the header comes first, and may look like the first bytes of a pickle or an archive."""
    info = net_contract.info(SPEC)
    head = {"__metadata__": {KEY: info.to_json(), "note": ""}}
    missing = (length - len(json.dumps(head))) % 2**16
    text = json.dumps({"__metadata__": {KEY: info.to_json(), "note": "-" * missing}}).encode()
    file = tmp_path / "padded.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    assert file.read_bytes()[:2] == struct.pack("<H", length)
    assert read_info(file) == info


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_renamed_pickle_is_rejected_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    file, harm = tmp_path / "model.safetensors", tmp_path / "harm"
    torch.save({"weights": Harm(harm)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="is a pickle"):
        Checkpoint.load(file)
    assert not harm.exists()


def rewrite(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write the model file again with another description."""
    text = json.dumps(change(json.loads(_metadata(file)[KEY])))
    safetensors.torch.save_file(safetensors.torch.load_file(file), file, metadata={KEY: text})


def _metadata(file: Path) -> dict[str, str]:
    with safetensors.safe_open(file, framework="pt") as opened:
        return opened.metadata()  # type: ignore[no-any-return]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model file .*nothing\.safetensors"):
        Checkpoint.load(tmp_path / "nothing.safetensors")


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x10",
        b"I am a text that somebody renamed.",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(1000),
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 4) + b"[1]\n",
        struct.pack("<Q", 4) + b"\xff\xfe\xfd\xfc",
    ],
)
def test_files_of_other_formats_are_rejected(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="not a safetensors file, or is cut off"):
        Checkpoint.load(file)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_rejected(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="cut off"):
        Checkpoint.load(file)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_of_another_program_is_rejected(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    file = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(3)}, file, metadata=metadata)
    with pytest.raises(ModelError, match="another program"):
        Checkpoint.load(file)


def test_a_newer_format_asks_for_an_update(file: Path) -> None:
    rewrite(file, lambda data: {**data, "format": 2, "spec": {"family": "unheard of"}})
    with pytest.raises(ModelError, match=r"format 2; .* reads up to 1\. Update"):
        Checkpoint.load(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: {k: v for k, v in data.items() if k != "spec"},
        lambda data: {**data, "spec": {**data["spec"], "width": "wide"}},
        lambda data: {**data, "spec": {**data["spec"], "surprise": 1}},
        lambda data: {**data, "spec": None},
        lambda data: {**data, "classes": data["classes"][:1]},
        lambda data: {**data, "normaliser": {"method": "magic"}},
        lambda data: {**data, "card": {**data["card"], "unknown": 1}},
        lambda data: [data],
    ],
)
def test_a_damaged_description_is_rejected(file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    rewrite(file, change)
    with pytest.raises(ModelError, match="description cannot be read"):
        Checkpoint.load(file)


def test_a_description_that_is_not_json_is_rejected(file: Path) -> None:
    safetensors.torch.save_file({"w": torch.zeros(3)}, file, metadata={KEY: "{'single': 'quotes'}"})
    with pytest.raises(ModelError, match="description cannot be read"):
        Checkpoint.load(file)


@pytest.mark.parametrize("width", [4, 4096])
def test_weights_of_another_network_are_rejected(file: Path, width: int) -> None:
    """Also if the described network needs more memory than available."""
    rewrite(file, lambda data: {**data, "spec": {**data["spec"], "width": width, "depth": 8, "kernel": 3, "pool": 2}})
    with pytest.raises(ModelError, match=r"weights in .*tiny\.safetensors do not belong"):
        Checkpoint.load(file)


def test_a_missing_weight_is_rejected(model: Checkpoint) -> None:
    fewer = {name: w for name, w in model.weights.items() if name != "score.bias"}
    with pytest.raises(ModelError, match=r"do not belong .*score\.bias"):
        Checkpoint(model.info, fewer).net()


def test_saving_creates_the_folder(model: Checkpoint, tmp_path: Path) -> None:
    model.save(tmp_path / "a" / "b" / "m.safetensors")
    assert Checkpoint.load(tmp_path / "a" / "b" / "m.safetensors").hash == model.hash


def test_a_failed_save_keeps_the_old_file(model: Checkpoint, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr("napari_fcn.models.checkpoint.os.fsync", fail)
    with pytest.raises(OutputError, match=r"cannot be written to .*tiny\.safetensors.*No space left"):
        model.save(file)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_a_file_in_the_way_of_the_folder_is_named(model: Checkpoint, file: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        model.save(file / "m.safetensors")


def test_a_folder_in_the_way_of_the_file_is_named(model: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        model.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_the_number_of_class_names_must_match_the_network() -> None:
    with pytest.raises(ValueError, match="2 classes are named for a network with 5"):
        replace(net_contract.info(SPEC), spec=SPECS["channels-and-classes"])
