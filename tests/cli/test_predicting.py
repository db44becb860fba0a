import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_fcn as fcn
from napari_fcn.cli import main
from napari_fcn.io import read_image, read_result_meta


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


def test_zarr_holds_the_same_as_tiff(image: Path, model: Path, tmp_path: Path) -> None:
    for name in ("a.ome.zarr", "a.ome.tif"):
        assert run(image, "--model", model, "--out", tmp_path / name) == 0
    stored = [np.asarray(read_image(tmp_path / name).data[:]) for name in ("a.ome.zarr", "a.ome.tif")]
    np.testing.assert_array_equal(*stored)


def test_the_answer_does_not_depend_on_the_tile(image: Path, model: Path, tmp_path: Path) -> None:
    for name, tile in (("whole.npy", "64"), ("tiled.npy", "16,8")):
        arguments = ("--out", tmp_path / name, "--save", "probabilities", "--tile", tile)
        assert run(image, "--model", model, *arguments) == 0
    whole, tiled = (np.load(tmp_path / name) for name in ("whole.npy", "tiled.npy"))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


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


def test_the_truth_beside_training_images_is_not_segmented(model: Path, tmp_path: Path) -> None:
    for name in ("a_image.tif", "a_label.tif", "b_label.tif"):
        _write(tmp_path / name, np.arange(240, dtype=np.uint8).reshape(12, 20))
    assert run(tmp_path, "--model", model, "--out", tmp_path / "out") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_image.ome.tif", "b_label.ome.tif"]


def test_a_folder_with_one_image_gives_a_folder_too(image: Path, model: Path, tmp_path: Path) -> None:
    assert run(image.parent, "--model", model, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "cells.ome.tif").exists()


def test_two_images_of_one_name_are_refused_before_the_run(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tif", "a.png"):
        _write(tmp_path / name, np.arange(240, dtype=np.uint8).reshape(12, 20))
    assert run(tmp_path, "--model", model, "--out", tmp_path / "out") == 1
    assert "would both be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_one_bad_image_does_not_stop_the_others(
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
        (["--save", "shapes"], "shapes cannot be saved"),
        (["--device", "cuda:99"], "cuda"),
        (["--device", "toaster"], "no device 'toaster'"),
        (["--precision", "float16", "--device", "cpu"], "float16"),
        (["--axes", "YX"], "name 2 axes"),
        (["--channel", "1"], "channels 0 to 0"),
        (["--tile", "8,8,8"], "3 lengths"),
        (["--voxel-size", "1,2,3"], "needed are positive numbers"),
        (["--model", "nothing"], "There is no model 'nothing'"),
    ],
)
def test_what_is_asked_for_wrongly_is_said_in_words(
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


def test_an_existing_result_is_kept_unless_overwriting_was_asked_for(
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


def test_constant_and_broken_pixels_are_mentioned(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = np.full((16, 16), 5.0, np.float32)
    data[0, :3] = np.nan, np.inf, -np.inf
    np.save(tmp_path / "image.npy", data)
    assert run(tmp_path / "image.npy", "--model", model, "--out", tmp_path / "o.npy") == 0
    said = capsys.readouterr().err
    assert "3 of 256 pixels" in said
    assert "constant" in said


def test_an_unknown_command_or_value_exits_with_two() -> None:
    for arguments in (["paint"], ["predict"], ["predict", "a", "--model", "m", "--out", "o", "--tile", "0"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2


def test_an_image_of_another_pixel_size_is_resampled_where_that_is_asked(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npy"
    asked = ("--voxel-size", "0.02,0.02", "--resample", "auto")
    assert run(image, "--model", "membranes", "--out", out, *asked) == 0
    assert "0.02 x 0.02 µm, those that the model learnt on 0.01 x 0.01 µm: the image was resampled" in (
        capsys.readouterr().err
    )
    assert np.load(out).shape == read_image(image).data.shape
