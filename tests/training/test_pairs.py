"""Images and labels of a training folder in any format that can be read, with any channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_fcn.errors import ImageError
from napari_fcn.geometry import Region
from napari_fcn.io import ResultMeta, open_result
from napari_fcn.models.binding import Network
from napari_fcn.models.normalise import Normaliser
from napari_fcn.training.dataset import LabelledImage, read_folder
from napari_fcn.training.pairs import find_pairs, training_files

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 24)).astype(np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, (20, 24)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, **how: Any) -> None:
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, pixels, **({"photometric": "minisblack"} | how))
    else:
        Image.fromarray(pixels).save(path)


def read(folder: Path, channels: int = 1, ndim: int = 2) -> list[LabelledImage]:
    return read_folder(folder, ("*", ""), "", Network(ndim, channels), Normaliser())


@pytest.mark.parametrize("image", ["a_image.tif", "a_image.ome.tif", "a_image.png", "a_image.npy", "a_IMAGE.PNG"])
@pytest.mark.parametrize("labels", ["a_label.tif", "a_label.ome.tif", "a_label.png", "a_label.npy"])
def test_images_and_labels_may_have_any_format(tmp_path: Path, image: str, labels: str) -> None:
    write(tmp_path / image, PIXELS)
    write(tmp_path / labels, LABELS)
    (found,) = read(tmp_path)
    assert found.name == "a"
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_array_equal(found.views[0], Normaliser().fit(PIXELS.reshape(1, -1)).apply(PIXELS[None]))


def test_ome_zarr_is_read(tmp_path: Path) -> None:
    meta = ResultMeta(("y", "x"), (1.0, 1.0), ("pixel", "pixel"))
    for kind, pixels in (("image", PIXELS), ("label", LABELS)):
        with open_result(tmp_path / f"a_{kind}.ome.zarr", "classes", pixels.shape, np.uint8, meta) as writer:
            writer.write(Region.whole(pixels.shape), pixels)
    (found,) = read(tmp_path)
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_array_equal(found.views[0], Normaliser().fit(PIXELS.reshape(1, -1)).apply(PIXELS[None]))


def test_labels_with_a_palette_are_read_as_numbers(tmp_path: Path) -> None:
    write(tmp_path / "a_image.png", PIXELS)
    picture = Image.fromarray(LABELS, "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.save(tmp_path / "a_label.png")
    np.testing.assert_array_equal(read(tmp_path)[0].labels, LABELS)


def test_colours_of_png_are_views(tmp_path: Path) -> None:
    write(tmp_path / "a_image.png", np.stack([PIXELS, PIXELS[::-1], PIXELS], -1))
    write(tmp_path / "a_label.png", LABELS)
    assert [view.shape for view in read(tmp_path)[0].views] == [(1, 20, 24)] * 4
    assert [view.shape for view in read(tmp_path, 3)[0].views] == [(3, 20, 24)]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a_image.tif", "a_image.png", "a_label.png"):
        write(tmp_path / name, PIXELS)
    with pytest.raises(ImageError, match=r"a_image\.png and a_image\.tif .* are both the image of a"):
        find_pairs(tmp_path)


def test_missing_labels_are_named_with_the_suffix_of_the_image(tmp_path: Path) -> None:
    write(tmp_path / "a_image.png", PIXELS)
    with pytest.raises(ImageError, match=r"a_label\.png is missing"):
        find_pairs(tmp_path)


def test_labels_in_jpeg_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a_image.png", PIXELS)
    write(tmp_path / "a_label.jpg", LABELS)
    with pytest.raises(ImageError, match=r"a_label\.jpg is a JPEG, which changes the label values"):
        read(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", "image.tif", "a_image.txt", "a_imagery.tif", "a_label.tif"):
        (tmp_path / name).write_text("")
    assert [(name, kind) for name, kind, _ in training_files(tmp_path)] == [("a", "label")]
    assert list(training_files(tmp_path / "missing")) == []


CHANNELS = np.random.default_rng(2).integers(0, 4000, (5, 20, 24)).astype(np.uint16)


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize(
    ("suffix", "metadata"), [(".tif", {"axes": "CYX"}), (".ome.tif", {"axes": "CYX"}), (".tif", None)]
)
def test_each_channel_is_scaled_as_for_prediction(tmp_path: Path, channels: int, suffix: str, metadata: Any) -> None:
    pixels = CHANNELS[:channels]
    write(tmp_path / f"a_image{suffix}", pixels, metadata=metadata)
    write(tmp_path / "a_label.png", LABELS)
    (found,) = read(tmp_path, channels)
    expected = Normaliser().fit(pixels.reshape(channels, -1)).apply(pixels)
    np.testing.assert_array_equal(found.views[0], expected)


@pytest.mark.parametrize("metadata", [{"axes": "YXC"}, None])
def test_channels_may_be_last(tmp_path: Path, metadata: Any) -> None:
    last = np.ascontiguousarray(np.moveaxis(CHANNELS, 0, -1))
    write(tmp_path / "a_image.tif", last, metadata=metadata, planarconfig="contig" if metadata is None else None)
    write(tmp_path / "a_label.png", LABELS)
    expected = Normaliser().fit(CHANNELS.reshape(5, -1)).apply(CHANNELS)
    np.testing.assert_array_equal(read(tmp_path, 5)[0].views[0], expected)


def test_channels_of_volumes_and_of_stacks(tmp_path: Path) -> None:
    volume = np.random.default_rng(3).integers(0, 99, (6, 3, 20, 24)).astype(np.uint8)
    write(tmp_path / "a_image.ome.tif", volume, metadata={"axes": "ZCYX"})
    write(tmp_path / "a_label.tif", np.broadcast_to(LABELS, (6, 20, 24)))
    assert [image.views[0].shape for image in read(tmp_path, 3, ndim=3)] == [(3, 6, 20, 24)]
    planes = read(tmp_path, 3)
    assert [image.views[0].shape for image in planes] == [(3, 20, 24)] * 6
    assert {image.picture for image in planes} == {"a"}
    scaled = read(tmp_path, 3, ndim=3)[0].views[0]
    np.testing.assert_array_equal(planes[2].views[0], scaled[:, 2])


@pytest.mark.parametrize("wanted", [2, 3])
def test_other_numbers_of_channels_are_refused_with_advice(tmp_path: Path, wanted: int) -> None:
    write(tmp_path / "a_image.tif", CHANNELS, metadata={"axes": "CYX"})
    write(tmp_path / "a_label.png", LABELS)
    with pytest.raises(ImageError, match=rf"a: the network reads {wanted} channels, the image has 5") as error:
        read(tmp_path, wanted)
    assert "add channels=5 to --spec" in str(error.value)


def test_a_stack_that_is_no_set_of_channels_is_refused_with_advice(tmp_path: Path) -> None:
    write(tmp_path / "a_image.tif", CHANNELS, metadata={"axes": "ZYX"})
    write(tmp_path / "a_label.png", LABELS)
    with pytest.raises(ImageError, match=r"\(5, 20, 24\) \(axes ZYX\)") as error:
        read(tmp_path, 5)
    assert "An axis of channels must be named c" in str(error.value)


def test_intensities_are_those_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a_image.tif", CHANNELS, metadata={"axes": "CYX"})
    write(tmp_path / "a_label.png", LABELS)
    np.testing.assert_allclose(read(tmp_path, 5)[0].intensities, CHANNELS.mean(0), rtol=1e-3, atol=1)
