import errno
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import zarr

import napari_fcn as fcn
from napari_fcn.cli import main
from napari_fcn.errors import MemoryShortage
from napari_fcn.io import read_image, read_result_meta
from napari_fcn.io.zarr_writer import ZarrSink
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

KINDS = ("classes", "objects")


def run(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--quiet"])


def test_classes_are_written_with_axes_spacing_and_origin(image: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    assert run(image, "--model", model, "--out", out) == 0
    result = read_image(out)
    assert result.axes == ("t", "y", "x")
    assert result.scale[1:] == pytest.approx((0.3, 0.2))
    expected = fcn.classes(tifffile.imread(image), model, axes="tyx")
    np.testing.assert_array_equal(np.asarray(result.data[:]), expected)
    origin = read_result_meta(out)["provenance"]
    assert origin["model_hash"] == fcn.load(model).hash
    assert origin["source"].endswith("cells.ome.tif")


def test_several_results_of_one_image_go_to_a_folder(image: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    assert run(image, "--model", model, "--out", out, "--save", "classes,probabilities,probabilities8") == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["classes.ome.tif", "probabilities.ome.tif", "probabilities8.ome.tif"]
    whole = fcn.predict(tifffile.imread(image), model, axes="tyx")
    file = read_image(out / "probabilities.ome.tif")
    stored = np.moveaxis(np.asarray(file.data[:]), file.axes.index("c"), 0)
    np.testing.assert_allclose(stored, whole, atol=1e-6)


def test_zarr_and_tiff_results_are_equal(image: Path, model: Path, tmp_path: Path) -> None:
    for name in ("a.ome.zarr", "a.ome.tif"):
        assert run(image, "--model", model, "--out", tmp_path / name) == 0
    stored = [np.asarray(read_image(tmp_path / name).data[:]) for name in ("a.ome.zarr", "a.ome.tif")]
    np.testing.assert_array_equal(*stored)


def test_the_result_does_not_depend_on_the_tile(image: Path, model: Path, tmp_path: Path) -> None:
    for name, tile in (("whole.npy", "64"), ("tiled.npy", "16,8")):
        arguments = ("--out", tmp_path / name, "--save", "probabilities", "--tile", tile)
        assert run(image, "--model", model, *arguments) == 0
    whole, tiled = (np.load(tmp_path / name) for name in ("whole.npy", "tiled.npy"))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_doubtful_contrast_is_noted_on_the_terminal_and_in_json(
    model: Path, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "noise.npy", rng.poisson(3, (100, 100)).astype(np.uint16))
    assert run(tmp_path / "noise.npy", "--model", model, "--out", tmp_path / "out.npy", "--json") == 0
    told = capsys.readouterr()
    assert any("looks like noise" in note for note in json.loads(told.out)["notes"])
    assert "looks like noise" in told.err


def test_a_folder_of_images_gives_a_folder_of_results(model: Path, tmp_path: Path) -> None:
    for name in ("a.tif", "b.png", "c.npy"):
        data = np.arange(24 * 20, dtype=np.uint8).reshape(24, 20)
        np.save(tmp_path / name, data) if name.endswith("npy") else _write(tmp_path / name, data)
    out = tmp_path / "out"
    assert run(tmp_path, "--model", model, "--out", out) == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.ome.tif", "b.ome.tif", "c.ome.tif"]


def _write(path: Path, data: np.ndarray) -> None:
    from skimage.io import imsave

    imsave(path, data, check_contrast=False)


def test_labels_of_training_images_are_not_segmented(model: Path, tmp_path: Path) -> None:
    for name in ("a_image.tif", "a_label.tif", "b_label.tif"):
        _write(tmp_path / name, np.arange(240, dtype=np.uint8).reshape(12, 20))
    assert run(tmp_path, "--model", model, "--out", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_image.ome.tif", "b_label.ome.tif"]


def test_a_folder_with_one_image_gives_a_folder_too(image: Path, model: Path, tmp_path: Path) -> None:
    assert run(image.parent, "--model", model, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "cells.ome.tif").exists()


def test_two_images_of_the_same_name_have_separate_results_and_a_note(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tif", "a.png", "b.png"):
        _write(tmp_path / name, np.arange(240, dtype=np.uint8).reshape(12, 20))
    assert run(tmp_path, "--model", model, "--out", tmp_path / "out") == 0
    assert "a.png: Another image of this run is also named a;" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png.ome.tif", "a.tif.ome.tif", "b.ome.tif"]


def test_a_failed_image_does_not_stop_the_others(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 this is no picture")
    assert run(bad, image, "--model", model, "--out", tmp_path / "out") == 1
    assert (tmp_path / "out" / "cells.ome.tif").exists()
    assert "1 of 2 images failed" in capsys.readouterr().err


def test_json_has_the_keys_that_others_rely_on(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(image, "--model", model, "--out", tmp_path / "o.tif", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    keys = {"image", "out", "seconds", "device", "precision", "tiles", "halo", "peak_bytes", "model_hash"}
    assert keys <= report.keys()
    assert report["device"] == "cpu" or torch.cuda.is_available()


def test_the_voxel_size_given_replaces_that_of_the_file(image: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.ome.tif"
    assert run(image, "--model", model, "--out", out, "--voxel-size", "0.5,0.25") == 0
    assert read_image(out).scale[1:] == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cuda:99"], "cuda"),
        (["--precision", "float16", "--device", "cpu"], "float16"),
        (["--axes", "YX"], "name 2 axes"),
        (["--channel", "1"], "channels 0 to 0"),
        (["--tile", "8,8,8"], "3 lengths"),
        (["--voxel-size", "1,2,3"], "needed are positive numbers"),
        (["--model", "nothing"], "There is no model 'nothing'"),
    ],
)
def test_invalid_arguments_are_refused_with_a_message(
    arguments: list[str],
    words: str,
    image: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--model", str(model), "--out", str(tmp_path / "o.tif"), *arguments]
    assert run(image, *given) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "o.tif").exists()


def test_an_unknown_device_is_a_usage_error(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(image, "--model", model, "--out", tmp_path / "o.tif", "--device", "toaster")
    assert end.value.code == 2
    assert "“toaster” is not one of auto, cpu, cuda, mps or cuda:N." in capsys.readouterr().err


@pytest.mark.parametrize("kinds", ["shapes", "classes,shapes"])
def test_an_unknown_kind_of_result_is_a_usage_error(
    kinds: str, image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run(image, "--model", model, "--out", tmp_path / "o.tif", "--save", kinds)
    assert end.value.code == 2
    assert "“shapes” is not one of classes, probabilities, probabilities8, objects." in capsys.readouterr().err


def test_a_run_that_saves_nothing_is_a_usage_error(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(image, "--model", model, "--out", tmp_path / "o.tif", "--save", "") == 2
    assert "No result is saved; choose among classes, probabilities" in capsys.readouterr().err


def test_an_existing_result_is_kept_without_overwrite(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.tif"
    out.write_text("precious")
    assert run(image, "--model", model, "--out", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run(image, "--model", model, "--out", out, "--overwrite") == 0
    assert read_image(out).data.shape == (3, 37, 41)


def test_a_complex_or_empty_image_is_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "complex.npy", np.zeros((8, 8), np.complex64))
    assert run(tmp_path / "complex.npy", "--model", model, "--out", tmp_path / "o.tif") == 1
    assert "complex" in capsys.readouterr().err
    np.save(tmp_path / "empty.npy", np.zeros((0, 8), np.uint8))
    assert run(tmp_path / "empty.npy", "--model", model, "--out", tmp_path / "o.tif") == 1
    assert "empty" in capsys.readouterr().err.lower()


@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "uint32", "float16", "float64"])
def test_every_kind_of_real_number_can_be_segmented(
    dtype: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    np.save(tmp_path / "image.npy", (rng.random((17, 1)) * 100).astype(dtype))
    assert run(tmp_path / "image.npy", "--model", model, "--out", tmp_path / "o.npy") == 0
    assert np.load(tmp_path / "o.npy").shape == (17, 1)


def test_constant_and_non_finite_images_are_noted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = np.full((16, 16), 5.0, np.float32)
    data[0, :3] = np.nan, np.inf, -np.inf
    np.save(tmp_path / "image.npy", data)
    assert run(tmp_path / "image.npy", "--model", model, "--out", tmp_path / "o.npy") == 0
    said = capsys.readouterr().err
    assert "3 of 256 sampled pixels" in said
    assert "constant" in said


def series(folder: Path, rng: np.random.Generator) -> np.ndarray:
    """Write a stack plane by plane, and return it."""
    stack = rng.integers(0, 4000, (11, 25, 31)).astype(np.uint16)
    folder.mkdir()
    for number, plane in enumerate(stack):
        tifffile.imwrite(folder / f"t{number}.tif", plane)
    return stack


@pytest.mark.parametrize("given", ["planes", "planes/t*.tif"])
def test_files_are_read_as_one_stack_on_request(
    given: str, model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    stack = series(tmp_path / "planes", rng)
    out = tmp_path / "out.ome.zarr"
    assert run(tmp_path / given, "--stack", "T", "--model", model, "--out", out) == 0
    result = read_image(out)
    assert result.axes == ("t", "y", "x")
    np.testing.assert_array_equal(result.data[...], fcn.classes(stack, model, axes="tyx"))


def test_each_folder_of_planes_is_a_stack_with_its_own_result(
    model: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    for name in ("a", "b"):
        series(tmp_path / name, rng)
    folders = (tmp_path / "a", tmp_path / "b" / "t1*.tif")
    assert run(*folders, "--stack", "z", "--model", model, "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.ome.zarr", "t1.ome.zarr"]
    assert read_image(tmp_path / "out" / "t1.ome.zarr").data.shape == (2, 25, 31)


def test_files_of_different_shapes_are_separate_images(
    model: Path, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    series(tmp_path / "planes", rng)
    tifffile.imwrite(tmp_path / "planes" / "t3.tif", np.zeros((2, 25, 31), np.uint16))
    assert run(tmp_path / "planes", "--stack", "t", "--model", model, "--out", tmp_path / "a.zarr") == 1
    assert "t3.tif is 2 x 25 x 31" in capsys.readouterr().err
    assert run(tmp_path / "planes", "--model", model, "--out", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").iterdir())) == 11


def test_given_axes_fail_only_for_incompatible_images(
    model: Path, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    series(tmp_path / "planes", rng)
    tifffile.imwrite(tmp_path / "planes" / "t3.tif", np.zeros((2, 25, 31), np.uint16))
    assert run(tmp_path / "planes", "--axes", "YX", "--model", model, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "t3.tif: The axes y x name 2 axes; the image has 3" in said
    assert "1 of 11 images failed; the others are done." in said
    assert len(list((tmp_path / "out").iterdir())) == 10


def test_objects_are_numbered_per_frame_of_a_movie(image: Path, model: Path, tmp_path: Path) -> None:
    assert run(image, "--model", model, "--out", tmp_path / "out", "--save", "classes,objects", "--smallest", "1") == 0
    classes, objects = (np.asarray(read_image(tmp_path / "out" / f"{kind}.ome.tif").data) for kind in KINDS)
    assert objects.dtype == np.uint32
    assert (objects > 0)[classes > 0].all()
    frames = [set(np.unique(frame)) - {0} for frame in objects]
    assert set.union(*frames) == set(range(1, objects.max() + 1))
    assert sum(map(len, frames)) == objects.max()


def zarr_image(folder: Path, rng: np.random.Generator) -> Path:
    image = zarr.create_array(folder / "image.zarr", shape=(64, 64), chunks=(16, 16), dtype="u2")
    image[:] = rng.integers(1, 999, image.shape)
    return folder / "image.zarr"


def test_missing_chunks_are_noted(
    model: Path, tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    image = zarr_image(tmp_path, rng)
    (image / "c" / "1" / "2").unlink()
    assert run(image, "--model", model, "--out", tmp_path / "out.npy") == 0
    assert "1 of 16 chunks are missing in" in capsys.readouterr().err


def test_a_run_can_be_resumed_after_a_damaged_chunk_is_repaired(
    model: Path,
    tmp_path: Path,
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_PIXELS", 256)  # the statistics do not look at that chunk
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_BLOCK", 16)
    image = zarr_image(tmp_path, rng)
    chunk = image / "c" / "3" / "3"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-4])
    command = (image, "--model", model, "--out", tmp_path / "out.npy", "--tile", "16")
    assert run(*command) == 1
    said = capsys.readouterr().err
    assert "damaged or incomplete" in said
    assert "out.npy.unfinished: add --resume" in said
    chunk.write_bytes(whole)
    assert run(*command, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed"] > 3
    assert run(image, "--model", model, "--out", tmp_path / "again.npy", "--tile", "16") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.load(tmp_path / "again.npy"))


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")])
def test_finished_tiles_are_kept_after_a_write_error(
    number: int, words: str, image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (image, "--model", model, "--out", tmp_path / "out.ome.zarr", "--tile", "16")
    put, left = ZarrSink.put, [4]

    def refuse(self: ZarrSink, where: tuple, block: np.ndarray) -> None:
        if not left[0]:
            raise OSError(number, os.strerror(number))
        left[0] -= 1
        put(self, where, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ZarrSink, "put", refuse)
        assert run(*command) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "--resume" in said
    assert run(*command, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 4


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.ome.tif"])
def test_several_results_to_one_file_are_refused(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(image, "--model", model, "--out", tmp_path / name, "--save", "classes,probabilities") == 1
    assert f"several results need a folder, such as --out {tmp_path / 'out'}." in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_a_folder_that_may_not_be_written_is_named(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr("napari_fcn.runs.resume.Lock", refuse)
    assert run(image, "--model", model, "--out", tmp_path / "out.zarr") == 1
    assert f"no permission in {tmp_path}" in capsys.readouterr().err


def test_the_progress_bar_shows_position_and_time_left(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_fcn.cli.progress.LOG_INTERVAL", 0)
    command = ["predict", str(image), "--model", str(model), "--tile", "16", "--out", str(tmp_path / "out")]
    assert main([*command, "--save", "objects,classes"]) == 0
    said = capsys.readouterr().err
    assert re.search(r"cells.ome.tif:\s+\d+%\|.*\| \d+/27 \[\d\d:\d\d, [\d.e-]+ s left\]", said)
    assert "cells.ome.tif: objects:" in said


def test_an_unknown_command_or_value_exits_with_code_2() -> None:
    for arguments in (["paint"], ["predict"], ["predict", "a", "--model", "m", "--out", "o", "--tile", "0"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


@pytest.mark.parametrize("more", [(), ("--voxel-size", "0.02,0.02")])
def test_resampling_without_a_known_pixel_size_is_refused(
    model: Path, tmp_path: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.arange(24 * 20.0).reshape(24, 20))
    assert run(tmp_path / "a.npy", "--model", model, "--out", tmp_path / "o.npy", "--resample", "auto", *more) == 1
    missing = "the training images" if more else "the image"
    assert f"the pixel size of {missing} is unknown" in capsys.readouterr().err
    assert not (tmp_path / "o.npy").exists()


@pytest.mark.parametrize("kind", ["probabilities", "classes"])
def test_a_trace_gives_results_without_an_axis_that_it_does_not_have(tmp_path: Path, kind: str) -> None:
    spec = NetSpec(ndim=1, classes=3, width=2, depth=1)
    file = tmp_path / "trace.safetensors"
    Checkpoint.of(spec.build(torch.Generator().manual_seed(3)), plain_recipe("trace", spec, "")).save(file)
    np.save(tmp_path / "a.npy", np.arange(40.0))
    assert run(tmp_path / "a.npy", "--model", file, "--out", tmp_path / "o.npy", "--save", kind) == 0
    assert np.load(tmp_path / "o.npy").shape == ((3, 40) if kind == "probabilities" else (40,))


def test_an_image_of_another_pixel_size_is_resampled_on_request(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npy"
    asked = ("--voxel-size", "0.02,0.02", "--resample", "auto")
    assert run(image, "--model", "membranes", "--out", out, *asked) == 0
    assert "0.02 x 0.02 µm, that of the training images 0.01 x 0.01 µm: the image is resampled" in (
        capsys.readouterr().err
    )
    assert np.load(out).shape == read_image(image).data.shape


@pytest.mark.parametrize("letter", ["a", "é", "核"])
def test_a_name_near_the_limit_has_a_result_that_can_be_resumed(model: Path, tmp_path: Path, letter: str) -> None:
    name = letter * (247 // len(letter.encode()))  # its result has up to 255 bytes, and no room for more
    plate, results = tmp_path / "plate", tmp_path / "results"
    plate.mkdir()
    for stem in (name, "b"):
        _write(plate / f"{stem}.tif", np.arange(30 * 30, dtype=np.uint16).reshape(30, 30))
    assert run(plate, "--model", model, "--out", results, "--save", "objects") == 0
    assert run(plate, "--model", model, "--out", results, "--save", "objects", "--resume") == 0
    assert sorted(path.name for path in results.iterdir()) == sorted([f"{name}.ome.tif", "b.ome.tif"])


def test_a_name_that_is_too_long_fails_for_that_image_only(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate, results = tmp_path / "plate", tmp_path / "results"
    plate.mkdir()
    for stem in ("a" * 251, "b"):
        _write(plate / f"{stem}.tif", np.arange(30 * 30, dtype=np.uint16).reshape(30, 30))
    assert run(plate, "--model", model, "--out", results) == 1
    said = capsys.readouterr().err
    assert "is too long: it has 259" in said
    assert "1 of 2 images failed" in said
    assert [path.name for path in results.iterdir()] == ["b.ome.tif"]


@pytest.mark.parametrize("axes", ["", "TYX", "time,y,x"])
def test_guessed_axes_are_noted_and_in_the_report(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], axes: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 16, 16), np.uint8), metadata=None, photometric="minisblack")
    assert run(tmp_path / "a.tif", "--model", model, "--out", tmp_path / "a.npy", "--axes", axes, "--json") == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["axes"], report["axes_guessed"]) == ("TYX" if axes else "ZYX", not axes)
    assert ("use --axes: TYX for a movie" in said.err) == (not axes)


def test_a_voxel_size_is_given_in_the_order_of_the_axes(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 16), np.uint8))
    how = ("--axes", "TYX", "--voxel-size", "0.5,0.25")
    assert run(tmp_path / "a.npy", "--model", model, "--out", tmp_path / "a.ome.tif", *how) == 0
    assert read_image(tmp_path / "a.ome.tif").units == ("pixel", "micrometer", "micrometer")


@pytest.mark.parametrize("bad", ["empty", "gone*.tif", "gone.tif"])
def test_an_argument_without_an_image_does_not_stop_the_others(
    bad: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    _write(tmp_path / "a.tif", np.arange(30 * 30, dtype=np.uint16).reshape(30, 30))
    given = (tmp_path / bad, tmp_path / "a.tif")
    assert run(*given, "--model", model, "--out", tmp_path / "results") == 1
    said = capsys.readouterr().err
    assert str(tmp_path / bad) in said
    assert "1 of 2 images failed" in said
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["a.ome.tif"]


@pytest.mark.parametrize("axes", ["t,y,x", "t y x", "TYX", "T, Y, X", "time,y,x"])
def test_axes_are_parsed_as_in_a_dock(axes: str, image: Path, model: Path, tmp_path: Path) -> None:
    assert run(image, "--model", model, "--out", tmp_path / "o.ome.tif", "--axes", axes) == 0
    assert read_image(tmp_path / "o.ome.tif").axes == ("t", "y", "x")


def test_a_pixel_size_with_decimal_commas_is_parsed_or_noted_as_ambiguous(
    image: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (image, "--model", model, "--overwrite", "--out", tmp_path / "o.ome.tif", "--voxel-size")
    assert run(*command, "0,5;0,25") == 0
    assert [axis.size for axis in read_image(tmp_path / "o.ome.tif").calibration.axes[-2:]] == [0.5, 0.25]
    assert "was read as" not in capsys.readouterr().err
    assert run(*command, "2,5") == 0
    assert "--voxel-size 2,5 was read as 2 and 5 µm; decimal commas need 0,5;0,2." in capsys.readouterr().err
    assert run(*command, "0,5") == 1
    assert "these are 2 numbers: 0 and 5" in capsys.readouterr().err


@pytest.mark.parametrize("used", [0.15, 0.95])
def test_a_memory_limit_that_the_program_itself_takes_is_refused(
    image: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    used: float,
) -> None:
    resident = SimpleNamespace(rss=used * 2**30)
    monkeypatch.setattr("psutil.Process.memory_info", lambda self: resident)
    arguments = (image, "--model", model, "--out", tmp_path / "out.ome.tif", "--axes", "tyx", "--device", "cpu")
    assert run(*arguments, "--memory", used + 0.05) == 1
    assert f"the program itself takes {used:.2f} GiB" in capsys.readouterr().err
    assert run(*arguments, "--memory", used + 0.5) == 0


def test_a_memory_limit_below_the_smallest_tile_is_refused() -> None:
    spec = NetSpec(width=64, depth=4)
    checkpoint = Checkpoint.of(spec.build(), plain_recipe("wide", spec, ""))
    session = Session(np.zeros((4000, 4000), np.uint8), checkpoint, settings=PredictSettings(device="cpu", memory=0.1))
    with pytest.raises(MemoryShortage, match=r"smallest tiles need about .* GiB, and 0.10 GiB may be used"):
        session.plan()
