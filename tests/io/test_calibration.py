"""Pixel size, unit and origin: reading from all formats, and round trips through all formats."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import strategies as st

from napari_fcn.geometry import Region
from napari_fcn.geometry.calibration import PIXEL, UNKNOWN, AxisCalibration, Calibration
from napari_fcn.io import ResultMeta, open_result, read_image, zarr_writer
from napari_fcn.models.checkpoint import Checkpoint
from napari_fcn.models.recipe import plain_recipe
from napari_fcn.nets import NetSpec
from napari_fcn.runs.writer import RunWriter, describe
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

MICRON = "micrometer"
LENGTHS = ("nanometer", "angstrom", MICRON, "millimeter", "centimeter", "inch")
SHAPE = {"t": 2, "z": 3, "y": 16, "x": 24}
WRITABLE = {".ome.zarr": "tzyx", ".ome.tif": "tzyx", ".png": "yx"}
PLACES = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))


def axis(units: tuple[str, ...]) -> st.SearchStrategy[AxisCalibration]:
    sizes = st.floats(0.01, 100).map(lambda value: round(value, 4))
    known = st.builds(AxisCalibration, sizes, st.sampled_from([*units, PIXEL]), PLACES)
    return st.one_of(st.just(UNKNOWN), st.builds(AxisCalibration, origin=PLACES), known)


@st.composite
def calibrations(draw: st.DrawFn, names: str) -> Calibration:
    return Calibration(tuple(draw(axis(("second", "minute") if name == "t" else LENGTHS)) for name in names))


def stored(path: Path, names: str, lying: Calibration, kind: str = "objects") -> Path:
    shape = tuple(SHAPE[name] for name in names)
    dtype = np.uint8 if kind == "classes" else np.uint16
    with open_result(path, kind, shape, dtype, ResultMeta.from_calibration(tuple(names), lying)) as writer:
        writer.write(Region.whole(shape), np.arange(np.prod(shape)).reshape(shape).astype(dtype))
    return path


@pytest.mark.parametrize("suffix", WRITABLE)
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=15)
def test_known_and_unknown_calibrations_survive_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    names = WRITABLE[suffix]
    lying = data.draw(calibrations(names))
    path = stored(tmp_path_factory.mktemp("a") / f"a{suffix}", names, lying, "classes")
    back = read_image(path)
    assert back.axes == tuple(names)
    assert back.calibration == lying


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    spec = NetSpec(width=2, depth=1)
    return Checkpoint.of(spec.build(), plain_recipe("tiny", spec, ""))


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
@hypothesis.given(lying=calibrations("zyx"))
@hypothesis.settings(max_examples=5)
def test_a_result_has_the_position_and_size_of_its_image(
    tmp_path_factory: pytest.TempPathFactory, model: Checkpoint, suffix: str, lying: Calibration
) -> None:
    folder = tmp_path_factory.mktemp("a")
    image = read_image(stored(folder / f"image{suffix}", "zyx", lying))
    settings = PredictSettings(resample="off")
    session = Session(image.data, model, image.bind(model.info.spec), settings)
    paths = {"classes": folder / f"classes{suffix}", "probabilities": folder / f"probabilities{suffix}"}
    list(RunWriter(paths).run(session, describe(session, str(image.path), settings)))
    for path in paths.values():
        found = read_image(path)
        kept = [found.axes.index(name) for name in "zyx"]
        assert found.calibration.take(kept) == lying


@pytest.mark.parametrize("kind", ["objects", "probabilities"])
def test_every_level_of_a_pyramid_has_the_position_of_the_finest(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_writer, "COARSEST_SIDE", 8)
    lying = Calibration.of((0.5, 0.5), (MICRON, MICRON), (100, 200))
    shape = ((2,) if kind == "probabilities" else ()) + (32, 32)
    meta = ResultMeta.from_calibration(("y", "x"), lying)
    with open_result(tmp_path / "a.zarr", kind, shape, np.float32 if len(shape) > 2 else np.uint32, meta) as writer:
        writer.write(Region.whole((32, 32)), np.zeros(shape, np.float32 if len(shape) > 2 else np.uint32))
    for level in (0, 1, 2):
        found = read_image(tmp_path / "a.zarr", level).calibration.take((-2, -1))
        shift = (2**level - 1) / 2 * 0.5 if kind == "probabilities" else 0
        assert found.origin == (100 + shift, 200 + shift)
        assert found.scale == (0.5 * 2**level,) * 2


def ome_zarr(path: Path, steps: Any, of_image: Any = None, unit: str = MICRON, names: str = "yx") -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", shape=(4,) * len(names), dtype="u1", chunks=(4,) * len(names))
    entry: dict[str, Any] = {"axes": [{"name": name, "type": "space", "unit": unit} for name in names]}
    dataset = {"path": "0", **({} if steps is None else {"coordinateTransformations": steps})}
    entry |= {"version": "0.4", "datasets": [dataset]}
    if of_image is not None:
        entry["coordinateTransformations"] = of_image
    group.attrs["multiscales"] = [entry]
    return path


def scale(*sizes: Any) -> dict[str, Any]:
    return {"type": "scale", "scale": list(sizes)}


def translation(*places: Any) -> dict[str, Any]:
    return {"type": "translation", "translation": list(places)}


def test_transformations_of_the_image_are_applied_after_those_of_the_level(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a.zarr", [scale(2, 2), translation(1, 3)], [scale(0.5, 0.25), translation(10, 20)])
    assert read_image(path).calibration == Calibration.of((1, 0.5), (MICRON,) * 2, (10.5, 20.75))


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        (None, (UNKNOWN, UNKNOWN)),
        ([], (UNKNOWN, UNKNOWN)),
        ([scale(float("nan"), 0.5)], (UNKNOWN, AxisCalibration(0.5, MICRON))),
        ([scale(0, 0.5), translation(5, 6)], (UNKNOWN, AxisCalibration(0.5, MICRON, 6))),
        ([scale(-0.5, 0.5)], (UNKNOWN, AxisCalibration(0.5, MICRON))),
        ([scale("a", 0.5)], (UNKNOWN, AxisCalibration(0.5, MICRON))),
        ([scale(1e-200, 0.5), scale(1e-200, 1)], (UNKNOWN, AxisCalibration(0.5, MICRON))),
        ([scale(1, 0.5, 0.5)], (UNKNOWN, UNKNOWN)),
        ([scale(0.5)], (UNKNOWN, UNKNOWN)),
        ([translation(3, 4)], (UNKNOWN, UNKNOWN)),
        ([{"type": "scale", "path": "scales"}], (UNKNOWN, UNKNOWN)),
        ([{"type": "affine", "affine": [[1, 0, 0], [0, 1, 0]]}, scale(0.5, 0.5)], (UNKNOWN, UNKNOWN)),
        ([scale(1, 1)], (AxisCalibration(1, MICRON), AxisCalibration(1, MICRON))),
        ([{"type": "identity"}, scale(1, 2)], (AxisCalibration(1, MICRON), AxisCalibration(2, MICRON))),
    ],
)
def test_a_pixel_size_that_a_zarr_does_not_state_is_unknown(tmp_path: Path, steps: Any, known: tuple) -> None:
    image = read_image(ome_zarr(tmp_path / "a.zarr", steps))
    assert image.calibration.axes == known


@pytest.mark.parametrize("steps", [[scale(-1, 1)], [scale(1)], [{"type": "affine", "affine": []}], [translation(1, 2)]])
def test_unsupported_transformations_are_noted(tmp_path: Path, steps: Any) -> None:
    assert "unknown" in " ".join(read_image(ome_zarr(tmp_path / "a.zarr", steps)).notes)


@pytest.mark.parametrize("unit", ["parsec", "", "second", None])
def test_a_size_without_a_unit_of_length_is_a_ratio(tmp_path: Path, unit: str) -> None:
    path = ome_zarr(tmp_path / "a.zarr", [scale(3, 1), translation(7, 0)], unit=unit)
    assert read_image(path).calibration == Calibration.of((3, 1), (PIXEL, PIXEL), (7, 0))


def imagej(path: Path, more: str, names: str = "zyx", unit: str = "micron") -> Calibration:
    counts = {"z": "slices", "t": "frames"}
    planes = np.zeros(tuple({"z": 3, "t": 2}.get(name, 8) for name in names), np.uint16)
    pages = planes.reshape(-1, 8, 8)
    sizes = "".join(f"{counts[name]}={n}\n" for name, n in zip(names[:-2], planes.shape, strict=False))
    text = f"ImageJ=1.54f\nimages={len(pages)}\n{sizes}unit={unit}\n{more}loop=false\n"
    with tifffile.TiffWriter(path) as file:
        for number, page in enumerate(pages):
            told = None if number else text
            file.write(page, description=told, metadata=None, resolution=(4, 2), resolutionunit=1, contiguous=False)
    return read_image(path).calibration


def test_imagej_units_of_y_and_z_are_read(tmp_path: Path) -> None:
    found = imagej(tmp_path / "a.tif", "spacing=500.0\nyunit=mm\nzunit=nm\n")
    assert found.scale == (500, 0.5, 0.25)
    assert found.units == ("nanometer", "millimeter", MICRON)


def test_a_missing_imagej_spacing_is_one(tmp_path: Path) -> None:
    assert imagej(tmp_path / "a.tif", "").axes[0] == AxisCalibration(1.0, MICRON)
    assert imagej(tmp_path / "b.tif", "zunit=mm\n").axes[0] == AxisCalibration(1.0, "millimeter")
    assert imagej(tmp_path / "c.tif", "", unit="pixel").axes[0] == UNKNOWN
    assert imagej(tmp_path / "d.tif", "spacing=0\n").axes[0] == UNKNOWN


def test_the_imagej_frame_interval_is_read_with_its_unit(tmp_path: Path) -> None:
    assert imagej(tmp_path / "a.tif", "finterval=2.5\ntunit=min\n", "tyx").axes[0] == AxisCalibration(2.5, "minute")
    assert imagej(tmp_path / "b.tif", "finterval=2.5\n", "tyx").axes[0] == AxisCalibration(2.5, "second")
    assert imagej(tmp_path / "c.tif", "", "tyx").axes[0] == UNKNOWN


def test_the_imagej_origin_is_a_pixel(tmp_path: Path) -> None:
    assert imagej(tmp_path / "a.tif", "xorigin=10\nyorigin=-4\nzorigin=2\n").origin == (-2, 2, -2.5)


@pytest.mark.parametrize(("unit", "per_unit"), [("inch", 300), ("cm", 118), ("inch", 72)])
def test_a_print_resolution_in_imagej_is_not_a_pixel_size(tmp_path: Path, unit: str, per_unit: int) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((8, 8), np.uint8),
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"unit": unit, "axes": "YX"},
    )
    assert read_image(tmp_path / "a.tif").calibration == Calibration.unknown(2)


def test_the_stage_position_of_an_ome_tiff_is_its_origin(tmp_path: Path) -> None:
    told = {"axes": "ZYX", "PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2}
    plane = {"PositionX": [0.3] * 3, "PositionXUnit": ["mm"] * 3, "PositionY": [-7] * 3, "PositionYUnit": ["µm"] * 3}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((3, 8, 8), np.uint8), metadata={**told, "Plane": plane})
    assert read_image(tmp_path / "a.ome.tif").calibration.origin == pytest.approx((0, -7, 300_000))


def test_a_stage_position_without_a_unit_is_ignored(tmp_path: Path) -> None:
    told = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Plane": {"PositionX": [3], "PositionY": [4]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((8, 8), np.uint8), metadata=told)
    assert read_image(tmp_path / "a.ome.tif").calibration.origin == (0, 0)


def test_an_unknown_size_is_omitted_from_ome_xml(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ome.tif", "zyx", Calibration((UNKNOWN, UNKNOWN, AxisCalibration(0.5, MICRON))))
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata or ""
    assert "PhysicalSizeX=" in xml
    assert "PhysicalSizeY=" not in xml
    assert "PhysicalSizeZ=" not in xml


def test_an_unknown_size_has_no_unit_in_ome_zarr(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ome.zarr", "yx", Calibration((UNKNOWN, AxisCalibration(0.5, MICRON, 3))))
    told = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    assert [one.get("unit") for one in told["axes"]] == [None, MICRON]
    assert told["datasets"][0]["coordinateTransformations"] == [scale(1, 0.5), translation(0, 3)]


def test_a_size_changed_by_another_program_overrides_the_record(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.ome.tif", "yx", Calibration.of((0.5, 0.5), (MICRON, MICRON), (3, 4)))
    with tifffile.TiffFile(path) as tiff:
        xml = (tiff.ome_metadata or "").replace('PhysicalSizeX="0.5"', 'PhysicalSizeX="0.7"')
    tifffile.tiffcomment(path, xml.encode())
    assert read_image(path).calibration.axes[1] == AxisCalibration(0.7, MICRON, 4)


def test_pyramid_levels_compare_pixel_sizes_in_one_unit(tmp_path: Path) -> None:
    shape = (300, 300, 300)
    lying = Calibration.of((500, 0.5, 0.5), ("nanometer", MICRON, MICRON))
    meta = ResultMeta.from_calibration(("z", "y", "x"), lying)
    with open_result(tmp_path / "a.zarr", "objects", shape, np.uint8, meta) as writer:
        writer.write(Region((0, 0, 0), (1, 1, 1)), np.ones((1, 1, 1), np.uint8))
    assert read_image(tmp_path / "a.zarr", 1).data.shape == (150, 150, 150)
