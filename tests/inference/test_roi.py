"""A region of interest as text, and its prediction, which equals this part of the whole one."""

import json
from dataclasses import replace
from pathlib import Path

import net_contract
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from net_contract import EXACT, SPECS

import napari_fcn as fcn
from napari_fcn.errors import ImageError
from napari_fcn.events import PreviewDone, RunPlanned, TileDone
from napari_fcn.geometry import Region
from napari_fcn.inference.roi import format_roi, read_roi
from napari_fcn.models.normalise import Normaliser
from napari_fcn.nets import NetSpec
from napari_fcn.session import Session
from napari_fcn.settings import PredictSettings

NAMES, SHAPE = ("z", "y", "x"), (5, 100, 200)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("", Region((0, 0, 0), SHAPE)),
        ("1:3,10:20,30:200", Region((1, 10, 30), (3, 20, 200))),
        (" 1 : 3 , 10:20 , : ", Region((1, 10, 0), (3, 20, 200))),
        (":2,50:,3", Region((0, 50, 3), (2, 100, 4))),
        ("x=10:20", Region((0, 0, 10), (5, 100, 20))),
        ("Y = 5:, plane=3", Region((3, 5, 0), (4, 100, 200))),
    ],
)
def test_a_text_is_a_half_open_region(text: str, region: Region) -> None:
    assert read_roi(text, NAMES, SHAPE) == region
    assert read_roi(format_roi(region, NAMES), NAMES, SHAPE) == region


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0:10,0:10", "has 2 ranges; the image has the axes z y x"),
        ("0:1", "has 1 range;"),
        ("c=0:1,y=0:5", "There is no axis c"),
        ("y=0:5,0:5", "no name for the range 0:5"),
        ("y=0:5,rows=0:6", "names an axis twice"),
        ("0:1,a:b,0:1", "“a:b” in the region"),
        ("0:1,,0:1", "“” in the region"),
        ("y=-5:10", "“-5:10” in the region"),
        ("y=1:2:3", "is not a range"),
        ("y=20:10", "is empty: along y it stops before it starts"),
        ("y=20:20", "is empty"),
        ("x=150:201", "reaches beyond the image, which has 200 px along x"),
        ("x=200:", "reaches beyond"),
        ("z=5", "reaches beyond the image, which has 5 px along z"),
    ],
)
def test_a_region_that_does_not_fit_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_roi(text, NAMES, SHAPE)


@settings(max_examples=25)
@given(st.data())
def test_a_region_equals_this_part_of_the_whole_prediction(data: st.DataObject) -> None:
    spec = SPECS[data.draw(st.sampled_from(sorted(SPECS)))]
    long, short = net_contract.LONG[spec.ndim], net_contract.SHORT[spec.ndim]
    lengths = [short] * spec.ndim
    lengths[data.draw(st.integers(0, spec.ndim - 1))] = long
    ranges = [sorted((data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1)))) for n in lengths]
    region = Region(tuple(a for a, _ in ranges), tuple(b + 1 for _, b in ranges))
    image = np.random.default_rng(0).normal(100, 30, (spec.channels, *lengths))
    model, names = net_contract.checkpoint(spec), "zyx"[-spec.ndim :]
    tile = data.draw(st.sampled_from([(), (16,), (2**10,)]))
    part = fcn.predict(image, model, f"c{names}", device="cpu", tile=tile, roi=format_roi(region, names))
    whole = fcn.predict(image, model, f"c{names}", device="cpu", tile=(2**10,))
    assert part.shape == (spec.classes, *region.shape)
    assert np.abs(part - whole[(slice(None), *region.slices)]).max() <= EXACT


def test_a_region_of_a_movie_is_predicted_without_the_other_frames() -> None:
    image = np.random.default_rng(0).normal(size=(4, 40, 44))
    model = net_contract.checkpoint(SPECS["unet-2d"])
    session = Session(image, model, "tyx", PredictSettings(device="cpu", roi="t=2,y=3:30"))
    events = list(session.predict())
    assert {event.region.start[0] for event in events if isinstance(event, TileDone)} == {2}
    whole = fcn.predict(image, model, "tyx", device="cpu")
    part = fcn.predict(image, model, "tyx", device="cpu", roi="t=2,y=3:30")
    assert np.abs(part - whole[:, 2:3, 3:30]).max() <= EXACT


@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_a_region_of_a_resampled_image_equals_this_part_of_the_whole_prediction(kernel: str) -> None:
    model = net_contract.checkpoint(SPECS["unet-2d"], normaliser=Normaliser("standard"))
    model = replace(model, info=replace(model.info, voxel_size=(1.0, 1.0)))
    image = np.random.default_rng(0).normal(size=(90, 110))
    options = {"device": "cpu", "resample": kernel, "spacing": (0.5, 0.7)}
    whole = fcn.predict(image, model, "yx", **options)
    for tile in ((), (24,)):
        part = fcn.predict(image, model, "yx", tile=tile, roi="13:75,41:110", **options)
        assert np.abs(part - whole[:, 13:75, 41:110]).max() <= EXACT


def test_a_region_needs_few_tiles_and_reads_little_more_than_its_halo() -> None:
    spec = NetSpec(width=2, depth=1)
    session = Session(
        np.zeros((4000, 4000), np.uint8),
        net_contract.checkpoint(spec),
        settings=PredictSettings(device="cpu", roi="y=1003:1103,x=2001:2201"),
    )
    plan = session.plan()
    assert len(plan) == 1
    assert plan.read_pixels < 1.7 * 100 * 200


def test_previews_and_tiles_stay_in_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_fcn.inference import tile_planner

    monkeypatch.setitem(tile_planner.LIVE_PIXELS, "cpu", 400)
    spec = NetSpec(width=2, depth=1)
    image = np.random.default_rng(0).normal(size=(200, 220)).astype(np.float32)
    session = Session(image, net_contract.checkpoint(spec), settings=PredictSettings(device="cpu", roi="40:160,50:170"))
    events = list(session.predict(Region((0, 0), (120, 120))))
    near = session.area.grow(spec.multiple)  # previews start on the pooling grid
    assert any(isinstance(event, PreviewDone) for event in events)
    assert all(near.contains(event.region) for event in events if isinstance(event, PreviewDone))
    assert sum(event.region.size for event in events if isinstance(event, TileDone)) == session.area.size
    planned = next(event for event in events if isinstance(event, RunPlanned))
    assert planned.tiles == sum(isinstance(event, TileDone) for event in events)


def test_a_view_beside_the_region_does_not_stop_the_run() -> None:
    session = Session(
        np.zeros((100, 100), np.uint8),
        net_contract.checkpoint(NetSpec(width=2, depth=1)),
        settings=PredictSettings(device="cpu", roi="50:100,50:100", tile=(16,)),
    )
    events = list(session.predict(Region((0, 0), (20, 20))))
    assert sum(event.region.size for event in events if isinstance(event, TileDone)) == 2500


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    net_contract.checkpoint(NetSpec(classes=3, width=2, depth=1)).save(path)
    return path


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "movie.ome.tif"
    data = np.random.default_rng(0).integers(0, 4000, (3, 37, 41)).astype(np.uint16)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.3}
    tifffile.imwrite(path, data, metadata=metadata)
    return path


def run(*arguments: object) -> int:
    from napari_fcn.cli import main

    return main(["predict", *map(str, arguments), "--quiet"])


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr", ".npy"])
def test_the_file_of_a_region_has_its_size_and_its_origin(
    model_file: Path, movie: Path, tmp_path: Path, suffix: str
) -> None:
    from napari_fcn.io import read_image

    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    roi = "t=1:3,y=10:30,x=5:40"
    assert run(movie, "--model", model_file, "--out", whole, "--axes", "tyx") == 0
    assert run(movie, "--model", model_file, "--out", part, "--axes", "tyx", "--roi", roi) == 0
    pixels = [np.asarray(read_image(path).data[:]) for path in (whole, part)]
    np.testing.assert_array_equal(pixels[1], pixels[0][1:3, 10:30, 5:40])
    if suffix != ".npy":
        assert read_image(part).calibration.origin[1:] == pytest.approx((10 * 0.3, 5 * 0.2))


def test_objects_are_numbered_in_the_region(model_file: Path, movie: Path, tmp_path: Path) -> None:
    from napari_fcn.io import read_image

    out = tmp_path / "results"
    save = ("--save", "classes,objects", "--axes", "tyx", "--roi", "0:2,3:20,4:30")
    assert run(movie, "--model", model_file, "--out", out, *save) == 0
    classes, objects = (np.asarray(read_image(out / f"{kind}.ome.tif").data[:]) for kind in ("classes", "objects"))
    assert classes.shape == objects.shape == (2, 17, 26)


def test_another_region_is_another_run(
    model_file: Path, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ome.tif"
    arguments = (movie, "--model", model_file, "--out", out, "--axes", "tyx", "--resume", "--json", "--overwrite")
    reports = []
    for roi in ("0:1,:,:", "t=0", "t=1", "", "t=0:3"):
        assert run(*arguments, *(("--roi", roi) if roi else ())) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert ["tiles" in report for report in reports] == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("roi", "words"), [("0:3,30:20,:", "is empty"), ("0:3,0:50,:", "reaches beyond"), ("0:10", "has 1 range")]
)
def test_a_region_that_does_not_fit_ends_the_command_with_a_sentence(
    model_file: Path, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], roi: str, words: str
) -> None:
    arguments = ("--model", model_file, "--out", tmp_path / "out.ome.tif", "--axes", "tyx", "--roi", roi)
    assert run(movie, *arguments) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))
