import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fcn.cli import PREPARED, main
from napari_fcn.models.card import read_info
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.sample_data import cells
from napari_fcn.training.shipped_datasets import RECIPES
from napari_fcn.training.train import Trainer

SPEC = ["--spec", "unet classes=3 width=2 depth=1"]
SMALL = ["--epochs", "2", "--crops", "1", "--patch", "32", "--batch", "2", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, split in enumerate(("train", "train", "val")):
        image, labels = cells((48, 48), seed=number)
        tifffile.imwrite(tmp_path / f"{split}_{number}_image.tif", image)
        tifffile.imwrite(tmp_path / f"{split}_{number}_label.tif", labels)
    return tmp_path


def test_a_trained_model_has_the_command_in_its_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "mine.safetensors"
    assert main(["train", str(folder), *SPEC, "--out", str(out), *SMALL, "--json"]) == 0
    epochs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    info = read_info(out)
    assert info.card.recipe.startswith("napari-fcn train")
    assert 0 <= info.card.scores["dice"] <= 1
    assert main(["predict", str(folder / "val_2_image.tif"), "--model", str(out), "--out", str(folder / "o.npy")]) == 0
    assert np.load(folder / "o.npy").shape == (48, 48)


def test_a_recipe_gives_the_model_its_names_and_colours(folder: Path) -> None:
    recipe = folder / "recipe.json"
    classes = [["background", "#000000"], ["nucleus", "#56b4e9"], ["rim", "#d55e00"]]
    recipe.write_text(json.dumps({"classes": classes, "card": {"name": "mine", "licence": "CC0-1.0"}}))
    out = folder / "mine.safetensors"
    assert main(["train", str(folder), *SPEC, "--recipe", str(recipe), "--out", str(out), *SMALL]) == 0
    assert [label.name for label in read_info(out).classes] == ["background", "nucleus", "rim"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--spec", "unet width=two"], "cannot be built"),
        (["--spec", "vgg"], "family is 'vgg'"),
        (["--spec", "unet width 4"], "'width' is not name=value"),
        (["--spec", "unet classes=2"], "teach 3 classes"),
        (["--train", "nothing*"], "no labelled image"),
        (["--recipe", "missing.json"], "cannot be read"),
        (["--resume"], "no run to resume"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    arguments: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", str(folder), *SPEC, "--out", str(folder / "m.safetensors"), *SMALL, *arguments]
    assert main(given) == 1
    assert words in capsys.readouterr().err


def test_the_network_fits_channels_axes_and_voxel_size_of_the_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 1.0}
    units = {f"{name}Unit": "µm" for name in sizes}
    for name in ("train_a", "val_b"):
        image, labels = cells((8, 32, 32), seed=len(name))
        pixels = np.stack([image, rng.normal(size=image.shape)], 1).astype(np.float32)
        tifffile.imwrite(tmp_path / f"{name}_image.ome.tif", pixels, metadata={"axes": "ZCYX"} | sizes | units)
        tifffile.imwrite(tmp_path / f"{name}_label.tif", labels)
    out = tmp_path / "m.safetensors"
    small = ["--epochs", "1", "--crops", "1", "--patch", "8", "--device", "cpu"]
    assert main(["train", str(tmp_path), "--spec", "unet width=2 depth=2", "--out", str(out), *small]) == 0
    info = read_info(out)
    assert (info.spec.ndim, info.spec.channels, info.spec.classes) == (3, 2, 3)
    assert info.spec.pool == ((1, 2, 2), (1, 2, 2))
    assert info.voxel_size == (1.0, 0.2, 0.2)
    assert "Network: unet, 3-D, 2 channels, 3 classes, width 2, depth 2, pools 1x2x2, 1x2x2." in capsys.readouterr().err


def test_augmentation_is_chosen_by_flags(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["train", str(folder), *SPEC, *SMALL, "--epochs", "1", "--out"]
    off = ["--flips", "off", "--right-angles", "off", "--zoom", "1", "--no-elastic", "--no-intensity", "--invert"]
    assert main([*given, str(folder / "off.safetensors"), *off]) == 0
    said = capsys.readouterr().err
    assert "Crops are mirrored along no axis, as set." in said
    assert "Crops are turned in no plane, as set." in said
    assert main([*given, str(folder / "auto.safetensors")]) == 0
    assert "the target objects has no classes that a mirror exchanges" in capsys.readouterr().err
    assert Checkpoint.load(folder / "off.safetensors").hash != Checkpoint.load(folder / "auto.safetensors").hash
    with pytest.raises(SystemExit):
        main([*given, str(folder / "x.safetensors"), "--flips", "sometimes"])
    assert "is not one of auto, on, off" in capsys.readouterr().err


def test_a_recipe_states_classes_and_axes_of_the_network(tmp_path: Path) -> None:
    """Planes of a volume that names its axes, for a recipe with two pixel sizes."""
    for name in ("train_a", "val_b"):
        image, labels = cells((6, 32, 32), seed=len(name))
        tifffile.imwrite(tmp_path / f"{name}_image.ome.tif", image, metadata={"axes": "ZYX"})
        tifffile.imwrite(tmp_path / f"{name}_label.tif", labels)
    recipe, out = tmp_path / "recipe.json", tmp_path / "m.safetensors"
    classes = [["background", "#000000"], ["nucleus", "#56b4e9"], ["rim", "#d55e00"]]
    recipe.write_text(json.dumps({"classes": classes, "voxel_size": [0.3, 0.3], "card": {"name": "mine"}}))
    assert main(["train", str(tmp_path), "--recipe", str(recipe), "--out", str(out), *SMALL, "--epochs", "1"]) == 0
    info = read_info(out)
    assert (info.spec.ndim, info.spec.classes, info.voxel_size) == (2, 3, (0.3, 0.3))


def test_png_images_and_labels_are_trained_and_the_curve_is_drawn(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.glob("*.tif"):
        pixels = tifffile.imread(path)
        scaled = pixels / pixels.max() * 255 if "image" in path.name else pixels
        Image.fromarray(scaled.astype(np.uint8)).save(path.with_suffix(".png"))
        path.unlink()
    out = folder / "mine.safetensors"
    assert main(["train", str(folder), *SPEC, "--out", str(out), *SMALL]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith("Validation: 1 image with names val_*")
    assert [line.split()[:2] for line in lines if line.startswith("epoch")] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert not any(char in line for line in lines for char in "▁▂▃▄▅▆▇█")
    with Image.open(folder / "mine.safetensors.png") as picture:
        assert picture.size == (960, 420)


def test_validation_images_of_training_pictures_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("image", "label"):
        shutil.copy(folder / f"train_0_{kind}.tif", folder / f"val_copy_{kind}.tif")
    out = folder / "m.safetensors"
    given = ["train", str(folder), *SPEC, "--out", str(out), *SMALL, "--epochs", "1"]
    assert main(given) == 0
    assert "Of one picture: val_copy and train_0." in capsys.readouterr().err
    assert "1 of 2 validation images are of pictures that are also used" in read_info(out).card.validation
    assert main([*given, "--overwrite", "--train", "*", "--validate", "0.3"]) == 0
    assert "Of one picture" not in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["fcn depth=2", "resunet depth=1", "dilated depth=2", "deeplab depth=2 rates=[1,2]"])
def test_every_family_can_be_trained(folder: Path, spec: str) -> None:
    out = folder / "mine.safetensors"
    assert main(["train", str(folder), "--spec", f"{spec} classes=3 width=2", "--out", str(out), *SMALL]) == 0
    assert read_info(out).spec.family == spec.split()[0]
    assert main(["predict", str(folder / "val_2_image.tif"), "--model", str(out), "--out", str(folder / "o.npy")]) == 0
    assert np.load(folder / "o.npy").shape == (48, 48)


def test_a_video_network_is_trained_and_run_on_a_movie(tmp_path: Path) -> None:
    for name in ("train_0", "val_1"):
        frames = [cells((32, 32), seed=k) for k in range(8)]
        tifffile.imwrite(tmp_path / f"{name}_image.tif", np.stack([image for image, _ in frames]))
        tifffile.imwrite(tmp_path / f"{name}_label.tif", np.stack([labels for _, labels in frames]))
    out, movie = tmp_path / "mine.safetensors", tmp_path / "movie.ome.tif"
    spec = "video ndim=3 classes=3 width=2 depth=1 pool=[1,2,2]"
    assert main(["train", str(tmp_path), "--spec", spec, "--out", str(out), *SMALL, "--patch", "16"]) == 0
    tifffile.imwrite(movie, np.stack([cells((32, 32), seed=k)[0] for k in range(5)]), metadata={"axes": "TYX"})
    assert main(["predict", str(movie), "--model", str(out), "--out", str(tmp_path / "o.npy")]) == 0
    assert np.load(tmp_path / "o.npy").shape == (5, 32, 32)


def test_training_can_start_from_a_model_which_is_in_the_card(folder: Path) -> None:
    first, second = folder / "first.safetensors", folder / "second.safetensors"
    assert main(["train", str(folder), *SPEC, "--out", str(first), *SMALL]) == 0
    assert main(["train", str(folder), *SPEC, "--start", str(first), "--out", str(second), *SMALL]) == 0
    assert read_info(second).card.parent == Checkpoint.load(first).hash


def test_recipe_writes_a_training_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "nuclei-3d", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "train_8cell_image.tif is missing" in capsys.readouterr().err


def test_recipe_offers_every_model_with_several_data_sets() -> None:
    assert set(PREPARED) == set(RECIPES)


def put_labels(folder: Path, labels: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write other labels in the place of those of the folder."""
    for path in folder.glob("*_label.tif"):
        tifffile.imwrite(path, labels(tifffile.imread(path)))


@pytest.mark.parametrize(
    ("labels", "target", "words"),
    [
        (lambda found: np.uint8(255) * (found > 0), "classes", "add --label-values 0,255"),
        (lambda found: np.uint16(65535) * (found > 0), "classes", "add --label-values 0,65535"),
        (lambda found: np.where(found > 0, 255, 1).astype(np.uint8), "classes", "add --label-values 1,255"),
        (lambda found: np.full(found.shape, 255, np.uint8), "classes", "no labelled pixel in the training labels"),
        (lambda found: np.full(found.shape, np.nan, np.float32), "classes", "no labelled pixel in the training labels"),
        (lambda found: np.zeros_like(found), "objects", "All labelled pixels of the training images are class 0"),
        (lambda found: (found > 0) / np.float32(2), "classes", "hold 0.5; needed are whole numbers"),
        (lambda found: (found > 0) / np.float32(2), "objects", "hold 0.5; needed are whole numbers"),
        (lambda found: np.where(found > 0, 1, np.nan), "objects", "pixels are NaN; needed are whole numbers"),
        (lambda found: np.where(found > 0, 1, -1).astype(np.int8), "classes", "Write 255 where nothing is known"),
        (lambda found: found > 0, "classes", "No pixel of the training images is class 2"),
        (lambda found: found, "classes", "if they are numbered objects, choose --target objects"),
        (
            lambda found: np.tile(np.kron([[1, 0], [0, 2]], np.ones((4, 4), np.uint8)), (6, 6)),
            "objects",
            "like classes",
        ),
        (lambda found: np.uint8(255) * (found > 0), "membranes", "they look like a mask"),
    ],
)
def test_labels_that_do_not_fit_the_target_are_refused_with_advice(
    folder: Path, labels: Any, target: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_labels(folder, labels)
    spec = ["--spec", f"unet classes={2 if target == 'membranes' else 3} width=2 depth=1"]
    given = ["train", str(folder), *spec, "--out", str(folder / "m.safetensors"), *SMALL, "--target", target]
    assert main(given) == 1
    assert words in capsys.readouterr().err
    assert not (folder / "m.safetensors").exists()


def test_a_mask_is_trained_with_label_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_labels(folder, lambda found: np.uint8(255) * (found > 0))
    spec = ["--spec", "unet classes=2 width=2 depth=1", "--target", "classes", "--label-values", "0,255"]
    assert main(["train", str(folder), *spec, "--out", str(folder / "m.safetensors"), *SMALL]) == 0
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("Labels of"))
    assert "2 training images: background" in first
    assert "1 validation image: background" in second
    assert "0 px not labelled" in first


def test_nan_is_unlabelled_and_reported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_labels(folder, lambda found: np.where(np.arange(48) < 40, found > 0, np.nan).astype(np.float32))
    spec = ["--spec", "unet classes=2 width=2 depth=1", "--target", "classes"]
    assert main(["train", str(folder), *spec, "--out", str(folder / "m.safetensors"), *SMALL]) == 0
    told = capsys.readouterr().err
    assert f"{2 * 48 * 8} px not labelled" in told
    assert f"train_0: {48 * 8} pixels of the labels are NaN: they count as unknown." in told


def test_a_model_and_an_unfinished_training_are_kept_without_overwrite(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "m.safetensors"
    command = ["train", str(folder), *SPEC, "--out", str(out), *SMALL]
    assert main(command) == 0
    made = out.read_bytes()
    assert main(command) == 1
    assert "exists. Pass --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == made
    assert main([*command, "--overwrite"]) == 0
    patch, save_state = pytest.MonkeyPatch(), Trainer.save_state

    def stop(trainer: Trainer) -> None:
        save_state(trainer)
        raise KeyboardInterrupt

    patch.setattr(Trainer, "save_state", stop)
    assert main([*command, "--overwrite"]) == 130
    patch.undo()
    capsys.readouterr()
    assert main(command) == 1
    assert "contains an unfinished training. Add --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
