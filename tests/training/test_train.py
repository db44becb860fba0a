"""Training: convergence, resuming, reproducibility and errors."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import net_contract
import numpy as np
import pytest
import safetensors
import safetensors.torch
import tifffile
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from napari_fcn.errors import FcnError, ImageError, ModelError
from napari_fcn.events import AugmentationChosen, EpochDone, LabelsFound, PatchChosen, SplitChosen
from napari_fcn.learning.labels import IGNORE
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.nets import NetSpec
from napari_fcn.settings import TrainSettings
from napari_fcn.training.dataset import Crops, LabelledImage
from napari_fcn.training.metrics import dice
from napari_fcn.training.setup import Training
from napari_fcn.training.train import Trainer, train
from napari_fcn.training.validation import validate

if TYPE_CHECKING:
    from collections.abc import Generator

SPEC = NetSpec(width=4, depth=1, classes=3)
TINY = TrainSettings(epochs=3, crops=2, patch=16, batch=4, rate=1e-2, device="cpu", precision="float32")


def discs(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy image of bright discs, and their labels."""
    labels = np.zeros(shape, np.uint16)
    where = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    for number in range(1, 4):
        centre = np.array([rng.uniform(n / 4, 3 * n / 4) for n in shape]).reshape(-1, *(1,) * len(shape))
        labels[((where - centre) ** 2).sum(0) < 30] = number
    return (labels > 0) * 100 + rng.normal(50, 10, shape).astype(np.float32), labels


def fill(folder: Path, shape: tuple[int, ...], names: list[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        image, labels = discs(rng, shape)
        tifffile.imwrite(folder / f"{name}_image.tif", image.astype(np.float32))
        tifffile.imwrite(folder / f"{name}_label.tif", labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(tmp_path, (32, 32), [f"train_{i}" for i in range(6)] + ["val_0", "val_1"])
    return tmp_path


def training(folder: Path, name: str = "out", spec: NetSpec = SPEC, **settings: Any) -> Training:
    return Training(net_contract.info(spec), folder, replace(TINY, **settings), folder / name / "m.safetensors")


def run(training: Training, epochs: int | None = None, resume: bool = False) -> list[EpochDone]:
    """Return the events of some epochs, then close the training as when it is cancelled."""
    events = cast("Generator[Any]", train(training, resume))
    found = list(islice((event for event in events if isinstance(event, EpochDone)), epochs))
    events.close()
    return found


def test_a_tiny_network_learns_to_segment_discs(folder: Path) -> None:
    job = training(folder, epochs=8, crops=4)
    events = run(job)
    assert [event.epoch for event in events] == list(range(1, 9))
    assert events[-1].loss < 0.9 * events[0].loss
    assert max(event.scores["dice"] for event in events) > max(0.8, events[0].scores["dice"])


def test_the_best_weights_are_saved_with_their_scores(folder: Path) -> None:
    job = training(folder)
    events = run(job)
    best = [event for event in events if event.best][-1]
    assert best.scores["dice"] == max(event.scores["dice"] for event in events)
    kept = Checkpoint.load(job.out)
    assert kept.info.card.scores == best.scores
    assert validate(kept.net(), job.read()[1], "objects") == best.scores


def test_a_finished_run_leaves_the_model_and_its_curve(folder: Path) -> None:
    job = training(folder, epochs=1)
    run(job)
    assert sorted(path.name for path in job.out.parent.iterdir()) == ["m.safetensors", "m.safetensors.png"]


def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path) -> None:
    straight, broken = training(folder, "straight", epochs=5), training(folder, "broken", epochs=5)
    expected = run(straight, 4)
    found = run(broken, 2) + run(broken, 2, resume=True)
    assert [(e.epoch, e.loss, e.scores, e.best) for e in found] == [
        (e.epoch, e.loss, e.scores, e.best) for e in expected
    ]
    states = [load_file(job.state_path) for job in (straight, broken)]
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    assert Checkpoint.load(straight.out).hash == Checkpoint.load(broken.out).hash


def test_a_resumed_run_keeps_its_curve_and_its_crops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = training(folder, epochs=3, patch=())
    run(job, 2)
    drawn = []
    monkeypatch.setattr("napari_fcn.training.train.save_curve", lambda _, history, *__: drawn.append(len(history)))
    monkeypatch.setattr("napari_fcn.training.train.choose_patch", lambda *_: PatchChosen((8, 8), (21, 21)))
    patches = []
    run_epoch = Trainer.run_epoch
    monkeypatch.setattr(Trainer, "run_epoch", lambda self, n: patches.append(self.crops.patch) or run_epoch(self, n))
    run(job, resume=True)
    assert drawn == [3]
    assert patches == [(32, 32)]


def test_the_card_states_how_validation_images_were_chosen(folder: Path) -> None:
    named, drawn = training(folder, "a", epochs=1), training(folder, "b", epochs=1, train="*", validate="0.25")
    run(named)
    run(drawn)
    assert Checkpoint.load(named.out).info.card.validation.startswith("2 images with names val_*")
    assert Checkpoint.load(drawn.out).info.card.validation.startswith("2 of 8 images, from 2 pictures drawn at random")


def test_the_same_seed_gives_the_same_weights_and_another_does_not(folder: Path) -> None:
    hashes = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        job = training(folder, name, epochs=1, seed=seed)
        run(job)
        hashes.append(Checkpoint.load(job.out).hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("change", [{"rate": 1e-3}, {"epochs": 9}, {"seed": 5}, {"patch": 24}])
def test_a_run_with_other_settings_is_not_resumed(folder: Path, change: dict[str, Any]) -> None:
    run(training(folder), 1)
    with pytest.raises(ModelError, match="other settings"):
        run(training(folder, **change), resume=True)


def test_a_run_of_another_network_is_not_resumed(folder: Path) -> None:
    run(training(folder), 1)
    with pytest.raises(ModelError, match="other settings"):
        run(training(folder, spec=replace(SPEC, width=2)), resume=True)


def test_without_a_state_resuming_is_rejected(folder: Path) -> None:
    with pytest.raises(ModelError, match="no run to resume"):
        run(training(folder), resume=True)


def test_a_truncated_state_is_rejected(folder: Path) -> None:
    job = training(folder)
    run(job, 1)
    job.state_path.write_bytes(job.state_path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="no run to resume"):
        run(job, resume=True)


@pytest.mark.parametrize("change", ["net.score.bias", "optimiser.0.exp_avg", "epoch", "extra"])
def test_a_damaged_state_is_rejected_with_a_message(folder: Path, change: str) -> None:
    job = training(folder)
    run(job, 1)
    with safetensors.safe_open(job.state_path, "pt") as file:
        metadata = dict(file.metadata())
    tensors = safetensors.torch.load_file(job.state_path)
    if change == "epoch":
        metadata["epoch"] = "many"
    elif change == "extra":
        tensors["optimiser.999.exp_avg"] = torch.zeros(3)
    else:
        tensors[change] = torch.zeros(77)
    safetensors.torch.save_file(tensors, job.state_path, metadata=metadata)
    with pytest.raises(ModelError, match="is damaged"):
        run(job, resume=True)


def test_a_model_file_is_not_a_state(folder: Path) -> None:
    job = training(folder)
    run(job, 1)
    job.state_path.write_bytes(job.out.read_bytes())
    with pytest.raises(ModelError, match="other settings"):
        run(job, resume=True)


@pytest.mark.parametrize(
    ("ndim", "shape", "target", "classes"),
    [
        (1, (4, 40), "objects", 3),
        (3, (16, 18, 17), "objects", 3),
        (2, (20, 20), "membranes", 2),
        (2, (20, 20), "classes", 4),
    ],
)
def test_every_dimension_and_target_can_be_trained(
    tmp_path: Path, ndim: int, shape: tuple[int, ...], target: str, classes: int
) -> None:
    fill(tmp_path, shape, ["train_0", "val_0"])
    spec = NetSpec(ndim=ndim, width=2, depth=1, classes=classes)
    (event,) = run(training(tmp_path, spec=spec, epochs=1, target=target))
    assert np.isfinite(event.loss)
    by_class = {"class_dice", *(f"class_dice_{k}" for k in range(1, classes))} if target == "classes" else set()
    assert set(event.scores) == {"dice", "boundary_f1", *by_class}


@pytest.fixture
def five_channels(tmp_path: Path) -> Path:
    """Images of five channels; only the fourth shows the discs, the others show discs elsewhere."""
    rng = np.random.default_rng(0)
    for name in (*(f"train_{i}" for i in range(6)), "val_0", "val_1"):
        pixels, labels = zip(*(discs(rng, (32, 32)) for _ in range(5)), strict=True)
        stack = np.stack(pixels).astype(np.float32)
        tifffile.imwrite(tmp_path / f"{name}_image.ome.tif", stack, metadata={"axes": "CYX"})
        tifffile.imwrite(tmp_path / f"{name}_label.tif", labels[3])
    return tmp_path


def test_a_network_learns_which_of_five_channels_is_informative(five_channels: Path) -> None:
    job = training(five_channels, spec=replace(SPEC, channels=5, width=8), epochs=10, crops=6)
    run(job)
    net, held_out = Checkpoint.load(job.out).net(), job.read()[1]
    scores = {}
    for channel in (None, 0, 3):
        scrambled = []
        for image in held_out:
            view = image.views[0].copy()
            if channel is not None:
                view[channel] = np.random.default_rng(1).permutation(view[channel].ravel()).reshape(view[channel].shape)
            scrambled.append(replace(image, views=(view,)))
        scores[channel] = validate(net, scrambled, "objects")["dice"]
    assert scores[None] > 0.8
    assert scores[0] > scores[None] - 0.1
    assert scores[3] < scores[None] - 0.4


def test_training_in_mixed_precision_works(folder: Path) -> None:
    (event,) = run(training(folder, epochs=1, precision="bfloat16"))
    assert np.isfinite(event.loss)


def test_kinds_are_scored_separately(folder: Path) -> None:
    (event,) = run(training(folder, epochs=1, kinds="_([01])$"))
    assert event.scores["dice"] == pytest.approx((event.scores["dice_0"] + event.scores["dice_1"]) / 2, abs=1e-3)


def test_an_image_that_fits_both_patterns_is_for_validation_only(folder: Path) -> None:
    examples, held_out = training(folder, train="*").read()
    assert {image.name for image in held_out} == {"val_0", "val_1"}
    assert {image.name for image in examples}.isdisjoint({"val_0", "val_1"})


@pytest.mark.parametrize("settings", [{"train": "nothing_*"}, {"validate": "nothing_*"}])
def test_a_folder_without_images_is_named(folder: Path, settings: dict[str, str]) -> None:
    with pytest.raises(ImageError, match=r"no labelled image whose name fits 'nothing_\*'"):
        run(training(folder, **settings))


def test_labels_with_more_classes_than_the_network_are_rejected(folder: Path) -> None:
    with pytest.raises(FcnError, match="3 classes"):
        run(training(folder, spec=replace(SPEC, classes=2)))


def test_a_network_with_more_channels_than_the_images_is_rejected(folder: Path) -> None:
    with pytest.raises(FcnError, match=r"train_0: the network reads 2 channels, the image has 1"):
        run(training(folder, spec=replace(SPEC, channels=2)))


def test_unlabelled_pixels_are_not_scored(rng: np.random.Generator) -> None:
    net = net_contract.trained(NetSpec(width=2, depth=1))
    image = rng.normal(size=(1, 20, 20)).astype(np.float32)
    labels = rng.integers(0, 2, (20, 20)).astype(np.uint8)
    labels[:, 10:] = IGNORE
    with torch.inference_mode():
        answer = net(torch.from_numpy(image)[None])[0].argmax(0).numpy() > 0
    found = validate(net, [LabelledImage("", "", (image,), labels)], "classes")
    assert found["dice"] == round(dice(answer[:, :10], labels[:, :10] > 0), 4)


def test_several_classes_are_scored_one_by_one(rng: np.random.Generator) -> None:
    """Exchanged classes have a perfect union, and no class is right."""
    labels = np.zeros((20, 20), np.uint8)
    labels[4:10, 4:16], labels[12:18, 4:16] = 1, 2

    class Exchanged(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            exchanged = torch.from_numpy(np.array([0, 2, 1])[labels])
            return torch.nn.functional.one_hot(exchanged, 3).movedim(-1, 0)[None].float()

    image = LabelledImage("", "", (rng.normal(size=(1, 20, 20)).astype(np.float32),), labels)
    found = validate(Exchanged(1, 1), [image], "classes")
    assert found["dice"] == 1
    assert found["class_dice"] == found["class_dice_1"] == found["class_dice_2"] == 0


def test_an_image_without_labelled_pixels_has_no_score(rng: np.random.Generator) -> None:
    net = net_contract.trained(NetSpec(width=2, depth=1))
    image = rng.normal(size=(1, 20, 20)).astype(np.float32)
    some = LabelledImage("", "some", (image,), rng.integers(0, 2, (20, 20)).astype(np.uint8))
    none = LabelledImage("", "none", (image,), np.full((20, 20), IGNORE, np.uint8))
    alone, both = (validate(net, images, "classes") for images in ([some], [some, none]))
    assert both == alone
    assert not any("none" in name for name in both)
    with pytest.raises(ImageError, match="no labelled pixel"):
        validate(net, [none], "classes")


def test_pixel_counts_of_the_labels_are_yielded_before_training(folder: Path) -> None:
    job = training(folder, epochs=1)
    split, first, second, augmentation, patch, *rest = train(job)
    assert isinstance(split, SplitChosen)
    assert isinstance(augmentation, AugmentationChosen)
    assert isinstance(patch, PatchChosen)
    assert isinstance(first, LabelsFound)
    assert isinstance(second, LabelsFound)
    assert (first.split, first.images, second.split, second.images) == ("training", 6, "validation", 2)
    labels = [image.labels for image in job.read()[0]]
    assert sum(first.pixels) == 6 * 32 * 32
    assert sum(first.pixels[1:]) == sum(int((one > 0).sum()) for one in labels)
    assert all(isinstance(event, EpochDone) for event in rest)


def test_a_rare_class_in_one_image_is_counted(tmp_path: Path, rng: np.random.Generator) -> None:
    for number in range(120):  # a class of a single image of very many
        labels = np.tile([0, 1], (8, 4)).astype(np.uint8)
        labels[0, 0] = 2 if number == 1 else 0
        name = f"{'val' if number == 119 else 'train'}_{number:03}"
        tifffile.imwrite(tmp_path / f"{name}_image.tif", rng.normal(size=(8, 8)).astype(np.float32))
        tifffile.imwrite(tmp_path / f"{name}_label.tif", labels)
    job = training(tmp_path, target="classes")
    examples, held_out = job.read()
    learner = Trainer(job, Crops(examples, job.settings), job.survey((examples, held_out))[0].pixels)
    assert (learner.weights > 0).all()


def test_a_state_without_label_values_can_be_resumed(folder: Path) -> None:
    job = training(folder)
    run(job, 1)
    with safe_open(job.state_path, framework="pt") as file:
        assert "label_values" not in file.metadata()["run"]


def test_training_in_float16_is_rejected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.training.train.pick_precision", lambda *_: torch.float16)  # as on a GPU
    with pytest.raises(FcnError, match="bfloat16 or float32"):
        run(training(folder))


def test_a_full_disk_is_reported_and_the_previous_state_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = training(folder)
    run(job, epochs=1)
    before = job.state_path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_fcn.training.train.save_file", full)
    with pytest.raises(FcnError, match="continue with --resume"):
        run(job, resume=True)
    assert job.state_path.read_bytes() == before


def test_a_3d_network_can_start_from_a_2d_one(tmp_path: Path) -> None:
    fill(tmp_path, (6, 32, 32), ["train_0", "train_1", "val_0"])
    flat = training(tmp_path, "flat", epochs=8, crops=4)
    run(flat)
    start = Checkpoint.load(flat.out)
    deep = replace(SPEC, ndim=3, pool=((1, 2, 2),), kernel=((1, 3, 3), (3, 3, 3)))
    gentle = {"epochs": 1, "crops": 1, "rate": 1e-6, "patch": (6, 32, 32)}
    begun, cold = (
        replace(training(tmp_path, name, deep, **gentle), start=begin)
        for name, begin in (("deep", start), ("cold", None))
    )
    _, held_out = flat.read()
    flat_score = validate(start.net(), held_out, "objects")["dice"]
    assert flat_score > 0.8
    scores = [run(job)[-1].scores["dice"] for job in (begun, cold)]
    assert scores[0] > 0.75
    assert scores[1] < 0.6


def test_norms_of_the_initial_model_keep_their_statistics(folder: Path) -> None:
    first = training(folder, "first", epochs=1)
    run(first)
    start = Checkpoint.load(first.out)
    second = replace(training(folder, "second", epochs=1), start=start)
    run(second)
    learnt = Checkpoint.load(second.out).weights
    for name, value in start.weights.items():
        assert torch.equal(learnt[name], value) == ("running" in name or "num_batches" in name), name


def test_an_initial_model_must_fit(folder: Path) -> None:
    first = training(folder, "first", epochs=1)
    run(first)
    wide = replace(training(folder, "wide", replace(SPEC, width=8)), start=Checkpoint.load(first.out))
    with pytest.raises(ModelError, match="its width is 8 and that of the initial model 4"):
        run(wide)


def test_a_run_with_another_initial_model_is_not_resumed(folder: Path) -> None:
    run(training(folder, epochs=3), epochs=1)
    other = training(folder, "first", epochs=1)
    run(other)
    begun = replace(training(folder, epochs=3), start=Checkpoint.load(other.out))
    with pytest.raises(ModelError, match="other settings"):
        run(begun, resume=True)
