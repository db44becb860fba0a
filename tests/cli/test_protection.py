"""Commands never replace their inputs, and remove only files of napari-fcn."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_fcn.cli import main
from napari_fcn.io import read_image
from napari_fcn.runs.ledger import RunLedger
from napari_fcn.storage.owned_folder import MARK_NAME as MARKED

NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links need rights there")


def run(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--quiet"])


def pixels(path: Path, seed: int = 0) -> Path:
    """Write an image whose name a result would have."""
    data = np.random.default_rng(seed).integers(0, 4000, (24, 20)).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zarr":
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        group.create_array("0", shape=data.shape, dtype=data.dtype)[...] = data
        group.attrs["multiscales"] = [{"version": "0.4", "axes": ["y", "x"], "datasets": [{"path": "0"}]}]
    elif path.suffix == ".npy":
        np.save(path, data)
    else:
        tifffile.imwrite(path, data)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        pixels(tmp_path / "plate" / f"{name}.ome.tif", number)
    return tmp_path / "plate"


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",), ("--resume", "--overwrite")])
@pytest.mark.parametrize("given", ["plate", "plate/*.tif", "plate/a.ome.tif plate/b.ome.tif"])
def test_a_folder_segmented_into_itself_keeps_its_images(
    plate: Path, model: Path, given: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(plate)
    images = [plate.parent / part for part in given.split()]
    assert run(*images, "--model", model, "--out", plate, *more) == 1
    assert contents(plate) == before
    said = capsys.readouterr().err
    assert "a.ome.tif is an image of this run, which it would replace. Choose another place with --out" in said
    assert "2 of 2 images failed" in said


@pytest.mark.parametrize("suffix", [".ome.zarr", ".zarr", ".ome.tif", ".npy"])
def test_an_image_as_its_own_result_is_refused(tmp_path: Path, model: Path, suffix: str) -> None:
    image = pixels(tmp_path / f"a{suffix}")
    before = contents(tmp_path)
    assert run(image, "--model", model, "--out", image, "--overwrite") == 1
    if image.is_dir():
        assert run(image / "0", "--model", model, "--out", image, "--overwrite") == 1
        assert run(image, "--model", model, "--out", image / "0" / "result.tif") == 1
        assert run(image, "--model", model, "--out", image, "--save", "classes,probabilities") == 1
    assert contents(tmp_path) == before


@NO_LINKS
@pytest.mark.parametrize("how", ["link", "hard link", "linked folder"])
def test_an_image_is_protected_under_all_its_names(plate: Path, model: Path, how: str) -> None:
    raw, other = plate / "a.ome.tif", plate.parent / "other.tif"
    if how == "link":
        os.symlink(raw, other)
    elif how == "hard link":
        os.link(raw, other)
    else:
        os.symlink(plate, plate.parent / "same")
        other = plate.parent / "same" / raw.name
    before = contents(plate.parent)
    assert run(raw, "--model", model, "--out", other, "--overwrite") == 1
    assert run(other, "--model", model, "--out", raw, "--overwrite") == 1
    assert contents(plate.parent) == before


def test_one_image_that_would_replace_another_fails_alone(
    plate: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pixels(tmp_path / "other" / "c.tif", 5)
    before = contents(plate)
    assert run(other, plate / "b.ome.tif", "--model", model, "--out", plate, "--overwrite") == 1
    assert "1 of 2 images failed" in capsys.readouterr().err
    after = contents(plate)
    assert after.pop("c.ome.tif")
    assert after == before


def test_several_kinds_do_not_replace_an_image_named_like_one_of_them(tmp_path: Path, model: Path) -> None:
    image = pixels(tmp_path / "results" / "classes.ome.tif")
    before = contents(tmp_path)
    kinds = ("--save", "classes,probabilities")
    assert run(image, "--model", model, "--out", tmp_path / "results", *kinds, "--overwrite") == 1
    assert contents(tmp_path) == before


def test_the_planes_of_a_stack_and_its_folder_are_protected(tmp_path: Path, model: Path) -> None:
    for number in range(3):
        pixels(tmp_path / "planes" / f"t{number}.ome.tif", number)
    before = contents(tmp_path)
    stack = ("--stack", "t", "--model", model, "--overwrite")
    assert run(tmp_path / "planes", *stack, "--out", tmp_path / "planes" / "t1.ome.tif") == 1
    assert run(tmp_path / "planes" / "t*.tif", *stack, "--out", tmp_path / "planes" / "t1.ome.tif") == 1
    assert run(tmp_path / "planes", *stack, "--out", tmp_path / "planes" / "result.ome.tif") == 1
    assert contents(tmp_path) == before


def test_an_image_or_model_in_the_folder_of_an_unfinished_run_is_kept(tmp_path: Path, model: Path) -> None:
    image = pixels(tmp_path / "o.tif.unfinished" / "classes.npy")
    (tmp_path / "p.tif.unfinished").mkdir()
    shutil.copy(model, tmp_path / "p.tif.unfinished" / "m.safetensors")
    before = contents(tmp_path)
    assert run(image, "--model", model, "--out", tmp_path / "o.tif", "--overwrite") == 1
    inside = tmp_path / "p.tif.unfinished" / "m.safetensors"
    assert run(pixels(tmp_path / "i.tif"), "--model", inside, "--out", tmp_path / "p.tif", "--overwrite") == 1
    (tmp_path / "i.tif").unlink()
    assert contents(tmp_path) == before


def test_a_model_with_the_suffix_of_a_picture_is_kept(tmp_path: Path, model: Path) -> None:
    shutil.copy(model, tmp_path / "model.tif")
    before = contents(tmp_path)
    image = pixels(tmp_path / "in" / "a.tif")
    assert run(image, "--model", tmp_path / "model.tif", "--out", tmp_path / "model.tif", "--overwrite") == 1
    shutil.rmtree(tmp_path / "in")
    assert contents(tmp_path) == before


def test_results_of_a_folder_replace_only_results(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        pixels(tmp_path / "day2" / f"{name}.tif")
    precious = pixels(tmp_path / "day1" / "a.ome.tif", 7)
    before = precious.read_bytes()
    assert run(tmp_path / "day2", "--model", model, "--out", tmp_path / "day1", "--overwrite") == 1
    assert "a.ome.tif is not a result of napari-fcn" in capsys.readouterr().err
    assert precious.read_bytes() == before
    precious.unlink()
    for _ in range(2):
        assert run(tmp_path / "day2", "--model", model, "--out", tmp_path / "day1", "--overwrite") == 0
    assert len(contents(tmp_path / "day1")) == 2


def test_a_folder_that_contains_its_results_can_be_segmented_again(tmp_path: Path, model: Path) -> None:
    for name in ("a.tif", "a.npy", "b.tif"):
        pixels(tmp_path / name)
    for _ in range(3):
        assert run(tmp_path, "--model", model, "--out", tmp_path, "--overwrite") == 0
    made = {path.name for path in tmp_path.iterdir()} - {"a.tif", "a.npy", "b.tif"}
    assert made == {"a.tif.ome.tif", "a.npy.ome.tif", "b.ome.tif"}


# Names


@pytest.mark.parametrize("name", ["a_[1]", "b?*", " c ", "d.e.", "%s {0}", "ü", "-f", "'g\""])
@pytest.mark.skipif(os.name == "nt", reason="not all of them are names there")
def test_results_are_named_after_their_images(tmp_path: Path, model: Path, name: str) -> None:
    pixels(tmp_path / "in" / f"{name}.TIF")
    pixels(tmp_path / "in" / "z.tif")
    assert run(tmp_path / "in", "--model", model, "--out", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}.ome.tif", "z.ome.tif"}
    assert run(tmp_path / "in", "--model", model, "--out", tmp_path / "more", "--save", "classes,objects") == 0
    assert {path.name for path in (tmp_path / "more").iterdir()} == {name, "z"}


def test_results_never_leave_their_folder(tmp_path: Path, model: Path) -> None:
    given = [pixels(tmp_path / "in" / "deep" / name) for name in ("...tif", "a.tif")]
    assert run(*given, "--model", model, "--out", tmp_path / "in" / "out", "--save", "classes,objects") == 0
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"deep", "out"}
    assert {path.name for path in (tmp_path / "in" / "out").iterdir()} == {"...tif", "a"}


def test_a_pattern_works_in_a_folder_with_wildcards_in_its_name(tmp_path: Path, model: Path) -> None:
    pixels(tmp_path / "plate[1]" / "a.tif")
    assert run(tmp_path / "plate[1]" / "*.tif", "--model", model, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "a.ome.tif").exists()


def test_images_of_two_folders_have_two_results_and_an_image_given_twice_one(tmp_path: Path, model: Path) -> None:
    given = [pixels(tmp_path / day / "a.tif", seed) for seed, day in enumerate(("day1", "day2"))]
    assert run(*given, given[0], tmp_path / "day2", "--model", model, "--out", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"day1_a.ome.tif", "day2_a.ome.tif"}


# Unfinished work


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return pixels(tmp_path / "image.tif")


def interrupt(image: Path, model: Path, out: Path, *more: object) -> Path:
    """Begin a run that ends after one block, and return the folder of its work."""
    add = RunLedger.add

    def stop(self: RunLedger, block: object) -> None:
        add(self, block)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLedger, "add", stop)
        assert run(image, "--model", model, "--out", out, "--tile", "16", *more) == 130
    return out.with_name(f"{out.name}.unfinished")


MORE = [(), ("--overwrite",), ("--resume",)]


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("name", ["thesis.txt", "classes.npy", "ledger.jsonl", "lock", MARKED, "classes/thesis.txt"])
def test_a_foreign_folder_is_kept_whatever_its_name(
    image: Path, model: Path, tmp_path: Path, name: str, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "o.tif.unfinished" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("years of work")
    assert run(image, "--model", model, "--out", tmp_path / "o.tif", *more) == 1
    assert foreign.read_text() == "years of work"
    assert len(contents(tmp_path / "o.tif.unfinished")) == 1
    assert ".unfinished" in capsys.readouterr().err


@pytest.mark.parametrize("more", MORE[1:])
@pytest.mark.parametrize("name", ["thesis.txt", "classes.npy.bak", "notes/a.txt"])
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
def test_foreign_files_in_an_unfinished_run_are_kept_and_named(
    image: Path, model: Path, tmp_path: Path, name: str, more: tuple[str, ...], suffix: str
) -> None:
    folder = interrupt(image, model, tmp_path / f"o{suffix}")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("years of work")
    before = contents(folder)
    assert run(image, "--model", model, "--out", tmp_path / f"o{suffix}", "--tile", "16", *more) == 1
    assert contents(folder) == before


@NO_LINKS
@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize(
    ("suffix", "level"),
    [
        (".ome.zarr", ""),
        (".ome.zarr", "ledger.jsonl"),
        (".ome.zarr", "lock"),
        (".ome.zarr", MARKED),
        (".ome.zarr", "classes"),
        (".ome.zarr", "classes/0"),
        (".ome.zarr", "classes/zarr.json"),
        (".ome.zarr", "classes/0/c/0/0"),
        (".npy", "classes"),
        (".ome.tif", "classes.npy"),
        (".ome.tif", ""),
    ],
)
def test_links_in_an_unfinished_run_are_not_followed(
    image: Path, model: Path, tmp_path: Path, suffix: str, level: str, more: tuple[str, ...]
) -> None:
    out = tmp_path / f"o{suffix}"
    folder = interrupt(image, model, out)
    (tmp_path / "elsewhere").mkdir()
    place, real = folder / level, tmp_path / "elsewhere" / "x"
    if place.exists():
        place.rename(real)
    else:
        real.write_text("years of work")
    os.symlink(real, place)
    before = contents(tmp_path / "elsewhere")
    assert run(image, "--model", model, "--out", out, "--tile", "16", *more) == 1
    assert contents(tmp_path / "elsewhere") == before
    assert place.is_symlink()


@pytest.mark.parametrize("name", ["classes", "ledger.jsonl"])
def test_hard_links_of_an_unfinished_run_are_not_written_to(
    image: Path, model: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.npy"
    folder = interrupt(image, model, out)
    os.link(folder / name, tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    assert run(image, "--model", model, "--out", out, "--tile", "16", "--resume") == 1
    assert "hard link" in capsys.readouterr().err
    assert run(image, "--model", model, "--out", out, "--tile", "16", "--overwrite") == 0
    assert (tmp_path / "backup").read_bytes() == before


@pytest.mark.parametrize("more", MORE[1:])
def test_an_unfinished_run_of_version_0_1_0_is_resumed_or_replaced(
    image: Path, model: Path, tmp_path: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.ome.zarr"
    folder = interrupt(image, model, out)
    (folder / MARKED).unlink()
    assert run(image, "--model", model, "--out", out, "--tile", "16", "--json", *more) == 0
    assert f'"resumed": {int("--resume" in more)}' in capsys.readouterr().out
    assert not folder.exists()
    assert read_image(out).data.shape == (24, 20)


@pytest.mark.parametrize("name", ["thesis.txt", "classes.npy", "lock"])
def test_a_foreign_folder_is_kept_if_the_result_exists(image: Path, model: Path, tmp_path: Path, name: str) -> None:
    command = (image, "--model", model, "--out", tmp_path / "o.ome.tif", "--tile", "16")
    assert run(*command) == 0
    (tmp_path / "o.ome.tif.unfinished").mkdir()
    (tmp_path / "o.ome.tif.unfinished" / name).write_text("years of work")
    assert run(*command, "--resume") == 0
    assert (tmp_path / "o.ome.tif.unfinished" / name).read_text() == "years of work"


def test_an_unfinished_run_is_removed_once_its_result_exists(image: Path, model: Path, tmp_path: Path) -> None:
    folder = interrupt(image, model, tmp_path / "o.ome.tif")
    folder.rename(tmp_path / "aside")
    assert run(image, "--model", model, "--out", tmp_path / "o.ome.tif", "--tile", "16") == 0
    (tmp_path / "aside").rename(folder)
    assert run(image, "--model", model, "--out", tmp_path / "o.ome.tif", "--tile", "16", "--resume") == 0
    assert not folder.exists()


def test_an_unfinished_run_with_an_unreadable_ledger_is_kept(image: Path, model: Path, tmp_path: Path) -> None:
    folder = interrupt(image, model, tmp_path / "o.npy")
    before = contents(folder)

    def refuse(path: Path) -> RunLedger:
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLedger, "open", refuse)
        assert run(image, "--model", model, "--out", tmp_path / "o.npy", "--tile", "16", "--resume") == 1
    assert contents(folder) == before


def test_an_empty_folder_is_used_for_an_unfinished_run(image: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "o.tif.unfinished").mkdir()
    assert run(image, "--model", model, "--out", tmp_path / "o.tif") == 0
    assert not (tmp_path / "o.tif.unfinished").exists()


def test_files_added_to_the_folder_during_a_run_are_kept(image: Path, model: Path, tmp_path: Path) -> None:
    add = RunLedger.add
    folder = tmp_path / "o.tif.unfinished"

    def late(self: RunLedger, block: object) -> None:
        add(self, block)
        (folder / "thesis.txt").write_text("years of work")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunLedger, "add", late)
        assert run(image, "--model", model, "--out", tmp_path / "o.tif") == 0
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in folder.iterdir()) == [MARKED, "thesis.txt"]


# Other commands


def alias(path: Path, how: str) -> Path:
    """Return a name of a file, the same one or another."""
    if how == "same":
        return path
    other = path.with_name(f"other-{path.name}")
    os.link(path, other)
    return other


@pytest.mark.parametrize("how", ["same", "hard link"])
@pytest.mark.parametrize("read", ["image.tif", "labels.tif", "tiny.safetensors"])
def test_finetune_does_not_replace_its_inputs(tmp_path: Path, model: Path, read: str, how: str) -> None:
    pixels(tmp_path / "image.tif")
    tifffile.imwrite(tmp_path / "labels.tif", np.eye(24, 20, dtype=np.uint8))
    shutil.copy(model, tmp_path / "tiny.safetensors")
    out = alias(tmp_path / read, how)
    before = contents(tmp_path)
    given = [str(tmp_path / name) for name in ("image.tif", "labels.tif")]
    start = ("--model", str(tmp_path / "tiny.safetensors"))
    assert main(["finetune", *given, *start, "--steps", "0", "--overwrite", "--out", str(out)]) == 1
    assert contents(tmp_path) == before


def test_finetune_does_not_write_into_an_ome_zarr(tmp_path: Path, model: Path) -> None:
    image = pixels(tmp_path / "image.zarr")
    np.save(tmp_path / "labels.npy", np.eye(24, 20, dtype=np.uint8))
    before = contents(tmp_path)
    given = ["finetune", str(image), str(tmp_path / "labels.npy"), "--model", str(model), "--steps", "0"]
    assert main([*given, "--out", str(image / "0" / "m.safetensors")]) == 1
    assert contents(tmp_path) == before


SPEC = ["--spec", "unet classes=3 width=2 depth=1", "--epochs", "1", "--crops", "1", "--patch", "16", "--device", "cpu"]


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    """A training folder."""
    for name in ("train_a", "val_b"):
        pixels(tmp_path / "lessons" / f"{name}_image.tif")
        labels = np.zeros((24, 20), np.int32)
        labels[4:12, 4:12], labels[14:20, 6:14] = 1, 2
        tifffile.imwrite(tmp_path / "lessons" / f"{name}_label.tif", labels)
    return tmp_path / "lessons"


@pytest.mark.parametrize("name", ["train_a_image.tif", "val_b_label.tif", "start.safetensors", "recipe.json"])
@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_train_does_not_replace_its_inputs(lessons: Path, model: Path, name: str, more: tuple[str, ...]) -> None:
    shutil.copy(model, lessons / "start.safetensors")
    (lessons / "recipe.json").write_text("{}")
    before = contents(lessons)
    reads = ("--start", str(lessons / "start.safetensors"), "--recipe", str(lessons / "recipe.json"))
    assert main(["train", str(lessons), *SPEC, *reads, "--out", str(lessons / name), *more]) == 1
    assert contents(lessons) == before


@pytest.mark.parametrize("name", ["m.safetensors", "m.safetensors.state", "m.safetensors.png"])
def test_train_replaces_only_its_own_files(lessons: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("years of work")
    command = ["train", str(lessons), *SPEC, "--out", str(tmp_path / "m.safetensors")]
    assert main(command) == 1
    assert (tmp_path / name).read_text() == "years of work"
    (tmp_path / name).unlink()
    assert main(command) == 0
    assert main([*command, "--overwrite"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"lessons", "m.safetensors", "m.safetensors.png"}


def test_train_does_not_replace_a_hard_link_of_an_image(lessons: Path) -> None:
    image = lessons / "train_a_image.tif"
    os.link(image, lessons / "m.safetensors.state")
    before = contents(lessons)
    assert main(["train", str(lessons), *SPEC, "--out", str(lessons / "m.safetensors")]) == 1
    assert contents(lessons) == before


@pytest.mark.parametrize("read", ["image.tif", "labels.tif", "tiny.safetensors"])
def test_field_does_not_replace_its_inputs(tmp_path: Path, model: Path, read: str) -> None:
    pixels(tmp_path / "image.tif")
    tifffile.imwrite(tmp_path / "labels.tif", np.ones((24, 20), np.uint8))
    shutil.copy(model, tmp_path / "tiny.safetensors")
    os.link(tmp_path / read, tmp_path / "field.png")
    before = contents(tmp_path)
    given = ["--model", tmp_path / "tiny.safetensors", "--image", tmp_path / "image.tif", "--labels"]
    command = ["field", *map(str, given), str(tmp_path / "labels.tif"), "--overwrite", "--out"]
    for out in (tmp_path / "field.png", tmp_path / read):
        assert main([*command, str(out)]) == 1
    assert contents(tmp_path) == before


def test_a_picture_without_a_suffix_is_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "field.png").write_text("years of work")
    assert main(["field", "--model", str(model), "--out", str(tmp_path / "field")]) == 1
    assert contents(tmp_path) == {"field.png": b"years of work"}


@pytest.mark.parametrize("below", ["", "cellos_organoid3d", "qcanet_embryo/deep"])
def test_recipe_does_not_write_into_the_data_sets(tmp_path: Path, below: str) -> None:
    pixels(tmp_path / "qcanet_embryo" / "train_8cell_image.tif")
    before = contents(tmp_path)
    assert main(["recipe", "nuclei-3d", str(tmp_path), str(tmp_path / below)]) == 1
    assert contents(tmp_path) == before


def test_the_demo_does_not_replace_foreign_files(tmp_path: Path) -> None:
    precious = tmp_path / "immunohistochemistry-classes.ome.tif"
    pixels(precious)
    before = contents(tmp_path)
    assert main(["demo", "--no-window", "--out", str(tmp_path)]) == 1
    assert contents(tmp_path) == before
