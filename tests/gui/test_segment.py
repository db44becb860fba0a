"""The Segment dock in a real viewer, used with a real mouse and keyboard."""

import errno
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from gui.docks import Dock, MakeModel
from qtpy.QtCore import Qt
from zarr.storage import _local

from napari_fcn.cli import main
from napari_fcn.gui._controllers.segment import controller
from napari_fcn.gui._layers import overlay
from napari_fcn.gui._layers.overlay import supports_colour_volumes
from napari_fcn.gui._widgets import pickers
from napari_fcn.gui.segment import CANCEL_KEY, RUN_KEY, SegmentWidget
from napari_fcn.inference import tile_planner
from napari_fcn.io import read_image
from napari_fcn.nets.spec import NetSpec
from napari_fcn.settings import OutputSettings, PredictSettings


def expected_classes(model: Path, image: Any, axes: Sequence[str] = "", **settings: Any) -> np.ndarray:
    from napari_fcn.api import classes

    return classes(image, model, axes, **settings)


def assert_right(dock: Dock, expected: np.ndarray) -> None:
    """Compare with the engine; near ties may differ between tilings."""
    found = np.squeeze(dock.layer("classes").data)
    assert found.shape == np.squeeze(expected).shape
    assert np.mean(found == np.squeeze(expected)) > 0.999
    assert dock.layer("probabilities").data[..., 3].any()


def test_a_click_on_run_segments_the_image(dock: Dock, model: MakeModel, image: np.ndarray) -> None:
    layer = dock.viewer.add_image(image, name="cells", scale=(0.5, 0.5), translate=(3, 4), rotate=30, units="um")
    result = dock.run()
    assert_right(dock, expected_classes(model(), image))
    assert [known.name for known in dock.viewer.layers] == ["cells", "cells probabilities", "cells classes"]
    for kind in ("probabilities", "classes"):
        found = dock.layer(kind)
        np.testing.assert_allclose(found.data_to_world((9, 7)), layer.data_to_world((9, 7)))
        assert found.units == layer.units
    text = dock.widget.result_panel.line.text()
    assert all(word in text for word in ("tiny2d1c3k", "cells", "cpu", "float32", "Mpx/s")), text
    assert sum(entry.share for entry in result.classes) == pytest.approx(1)
    assert "class 1" in dock.widget.result_panel.legend.text()
    assert not dock.widget.error.isVisible()


def test_napari_opens_the_dock_from_its_menu(
    make_napari_viewer: Callable[..., Any], qtbot: Any, model: MakeModel, image: np.ndarray
) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-fcn", "Segment (FCN)")
    dock = Dock(viewer, widget, qtbot)
    viewer.add_image(image)
    widget.source.model.open_file(model())
    dock.run()
    assert len(viewer.layers) == 3
    dock.wait_for_rest()


def test_the_drawn_overlay_equals_the_prediction(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(np.zeros_like(image), name="dark")
    dock.run()
    shot = dock.viewer.screenshot(flash=False)[..., :3]
    assert shot.std() > 0  # the overlay, as the image is black


def test_the_keyboard_runs_and_cancels(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    canvas = dock.viewer.window._qt_viewer.canvas.native
    dock.qtbot.keyClick(canvas, Qt.Key_Return, Qt.ControlModifier)
    dock.wait(lambda: dock.widget.controller.state.result)
    dock.start_long_run()
    dock.qtbot.keyClick(canvas, Qt.Key_Period, Qt.ControlModifier)
    assert "Cancelled" in dock.widget.message.text()
    assert RUN_KEY in dock.widget.keys.text()
    assert CANCEL_KEY in dock.widget.keys.text()


def test_the_keyboard_works_from_inside_the_dock(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.qtbot.keyClick(dock.widget.source.model.combo, Qt.Key_Return, Qt.ControlModifier)
    dock.wait(lambda: dock.widget.controller.state.result)


CASES: dict[str, tuple[Callable[[np.random.Generator], Any], dict[str, Any], str]] = {
    "rgb": (lambda rng: rng.integers(0, 255, (40, 48, 3), np.uint8), {"rgb": True}, "yxc"),
    "channels first": (lambda rng: rng.random((2, 40, 48)), {"axis_labels": ("c", "y", "x")}, "cyx"),
    "channels last": (
        lambda rng: rng.random((40, 48, 2)),
        {"axis_labels": ("y", "x", "c"), "rgb": False},
        "yxc",
    ),
    "channels between": (lambda rng: rng.random((3, 2, 40, 48)), {"axis_labels": tuple("tcyx")}, "tcyx"),
    "movie": (lambda rng: rng.random((4, 40, 48)), {"axis_labels": ("t", "y", "x")}, "tyx"),
    "stack": (lambda rng: rng.integers(0, 9, (4, 40, 48)).astype(np.int16), {}, "zyx"),
    "dask": (
        lambda rng: da.from_array(rng.random((40, 48)), chunks=16),
        {"contrast_limits": (0, 1)},
        "yx",
    ),
    "bool": (lambda rng: rng.random((40, 48)) > 0.5, {}, "yx"),
    "not a number": (
        lambda rng: np.where(rng.random((40, 48)) > 0.9, np.nan, rng.random((40, 48))),
        {"contrast_limits": (0, 1)},
        "yx",
    ),
    "constant": (lambda rng: np.full((40, 48), 7.0), {}, "yx"),
    "one pixel": (lambda rng: np.ones((1, 1)), {}, "yx"),
}


def test_images_of_every_type_are_segmented(
    dock: Dock, model: MakeModel, rng: np.random.Generator, subtests: pytest.Subtests
) -> None:
    for case, (make, how, axes) in CASES.items():
        with subtests.test(case):
            data = make(rng)
            dock.viewer.add_image(data, name=case, **how)
            result = dock.run()
            assert result.image == case
            assert_right(dock, expected_classes(model(), data, axes, rgb=case == "rgb"))
            notes = " ".join(result.notes)
            assert ("constant" in notes) == (case in ("constant", "one pixel"))
            assert ("NaN" in notes) == (case == "not a number")
            dock.viewer.layers.clear()


def test_a_pyramid_is_segmented_at_full_resolution(dock: Dock, model: MakeModel, rng: np.random.Generator) -> None:
    data = rng.random((64, 64))
    dock.viewer.add_image([data, data[::2, ::2]], multiscale=True, contrast_limits=(0, 1))
    dock.run()
    assert_right(dock, expected_classes(model(), data))


def test_a_volume_is_segmented_by_a_3d_model(dock: Dock, model: MakeModel, rng: np.random.Generator) -> None:
    data = rng.random((8, 16, 16))
    dock.viewer.add_image(data)
    dock.widget.source.model.open_file(model(3))
    dock.run()
    assert_right(dock, expected_classes(model(3), data))


def is_as_if_drawn_anew(dock: Dock) -> bool:
    """Whether uploaded tiles look like the layers after a complete redraw."""
    shot = dock.viewer.screenshot(flash=False)
    for layer in dock.viewer.layers:
        layer.refresh()
    return np.array_equal(shot, dock.viewer.screenshot(flash=False))


def test_the_3d_view_shows_probabilities_in_their_colours(dock: Dock, model: MakeModel) -> None:
    dock.viewer.add_image(np.zeros((6, 12, 10), np.uint8))
    dock.viewer.dims.ndisplay = 3
    dock.widget.source.model.open_file(model(3))
    dock.widget.settings.set_value(PredictSettings(tile=(4,)))
    dock.run()
    assert dock.layer("probabilities").visible == supports_colour_volumes()
    assert dock.layer("classes").visible != supports_colour_volumes()
    shot = dock.viewer.screenshot(flash=False)[..., :3].astype(int)
    assert np.ptp(shot, axis=-1).max() > 20  # colours, as the image is black
    assert is_as_if_drawn_anew(dock)


@pytest.mark.parametrize("pixels", [np.eye(12, 10, dtype=np.uint8), np.zeros((12, 10, 3), np.uint8)])
def test_a_plane_is_segmented_in_the_3d_view(dock: Dock, model: MakeModel, pixels: np.ndarray) -> None:
    dock.viewer.add_image(pixels, rgb=pixels.ndim == 3)
    dock.widget.source.model.open_file(model(2, 3 if pixels.ndim == 3 else 1))
    dock.viewer.dims.ndisplay = 3
    dock.run()
    shot = dock.viewer.screenshot(flash=False)[..., :3].astype(int)
    assert np.ptp(shot, axis=-1).max() > 20  # colours
    dock.viewer.dims.ndisplay = 2
    dock.layer("classes").visible = True
    assert is_as_if_drawn_anew(dock)


def test_classes_are_shown_in_3d_if_colour_volumes_are_unsupported(
    dock: Dock, model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "supports_colour_volumes", lambda: False)
    dock.viewer.add_image(np.zeros((4, 8, 8), np.uint8))
    dock.viewer.dims.ndisplay = 3
    dock.run()
    assert [dock.layer(kind).visible for kind in ("probabilities", "classes")] == [False, True]


def test_planes_are_segmented_for_any_displayed_axes(
    dock: Dock, model: MakeModel, rng: np.random.Generator, subtests: pytest.Subtests
) -> None:
    data = rng.random((9, 14, 18))
    dock.viewer.add_image(data, scale=(2, 1, 1))
    dock.widget.source.model.open_file(model(3))
    dock.widget.settings.set_value(PredictSettings(tile=(8,)))
    for order in ((2, 0, 1), (1, 2, 0), (0, 2, 1), (2, 1, 0)):
        with subtests.test(order=order):
            dock.viewer.dims.order = order
            dock.run()
            assert_right(dock, expected_classes(model(3), data))
            assert is_as_if_drawn_anew(dock)


def test_the_memory_of_a_run_is_shown(dock: Dock) -> None:
    dock.start_long_run()
    assert re.search(r"up to \d+\.\d of \d+\.\d GiB of memory", dock.widget.message.text())
    dock.click(dock.widget.cancel_button)


def test_axes_can_be_named_in_the_dock(dock: Dock, model: MakeModel, rng: np.random.Generator) -> None:
    data = rng.random((2, 40, 48))
    dock.viewer.add_image(data)
    assert dock.widget.source.axes.placeholderText() == "zyx"
    dock.click(dock.widget.advanced.heading)
    dock.qtbot.keyClicks(dock.widget.source.axes, "cyx")
    dock.widget.settings.set_value(PredictSettings(channel=1))
    dock.run()
    assert_right(dock, expected_classes(model(), data, "cyx", channel=1))


def test_the_channel_is_chosen_by_name(dock: Dock, model: MakeModel, rng: np.random.Generator) -> None:
    data = rng.integers(0, 255, (40, 48, 3), np.uint8)
    dock.viewer.add_image(data, rgb=True)
    dock.click(dock.widget.advanced.heading)
    dock.qtbot.keyClicks(dock.widget.settings.fields["channel"].editor, "green")
    dock.run()
    assert_right(dock, expected_classes(model(), data, "yxc", rgb=True, channel=1))


def test_channels_have_the_names_in_the_layer_metadata(dock: Dock, model: MakeModel, rng: np.random.Generator) -> None:
    data, names = rng.random((2, 40, 48)), {"channel_names": ["actin", "DAPI"]}
    dock.viewer.add_image(data, axis_labels=("c", "y", "x"), metadata=names)
    assert "uses actin, one of 2 channels" in dock.widget.source.image.line.text()
    dock.click(dock.widget.advanced.heading)
    dock.qtbot.keyClicks(dock.widget.settings.fields["channel"].editor, "DAPI")
    assert "uses DAPI, one of 2 channels" in dock.widget.source.image.line.text()
    dock.run()
    assert_right(dock, expected_classes(model(), data, "cyx", channel=1))


def test_an_axis_with_the_channel_count_of_the_model_is_the_channel_axis(
    dock: Dock, model: MakeModel, rng: np.random.Generator
) -> None:
    data = rng.random((2, 40, 48))
    dock.viewer.add_image(data)
    assert "axes zyx, guessed" in dock.widget.source.image.line.text()
    dock.widget.source.model.open_file(model(2, 2))
    assert "axes cyx, guessed" in dock.widget.source.image.line.text()
    dock.run()
    assert_right(dock, expected_classes(model(2, 2), data, "cyx"))


def test_the_frames_in_use_follow_the_slider(dock: Dock, make_checkpoint: Callable[..., Path]) -> None:
    path = make_checkpoint(NetSpec(family="video", ndim=3, width=4, depth=1))
    dock.viewer.add_image(np.zeros((24, 16, 16), np.uint8), axis_labels=("t", "y", "x"))
    widget = dock.widget
    assert not widget.slider_extent_label.isVisible()  # a 2-D model sees one frame
    widget.source.model.open_file(path)
    dock.wait(widget.slider_extent_label.isVisible)
    for at in (0, 11, 23):
        dock.viewer.dims.set_current_step(0, at)
        assert widget.slider_extent_label.text().startswith(f"At frame {at}, the model uses frames ")
    dock.viewer.dims.ndisplay = 3
    assert not widget.slider_extent_label.isVisible()  # nothing has a slider
    dock.viewer.dims.ndisplay = 2
    assert widget.slider_extent_label.isVisible()
    widget.source.model.choose(widget.source.model.models[0])
    assert not widget.slider_extent_label.isVisible()


def test_another_pixel_size_is_reported_and_resampled_with_one_click(
    dock: Dock, make_checkpoint: Callable[..., Path], rng: np.random.Generator
) -> None:
    widget, data = dock.widget, rng.random((40, 48))
    layer = dock.viewer.add_image(data, scale=(0.25, 0.25), units="um")
    widget.source.model.open_file(make_checkpoint(NetSpec(width=4, depth=1, classes=3), (0.5, 0.5)))
    assert "image is 0.25 µm, that of the training images 0.5 µm" in widget.pixel_size_label.text()
    assert widget.pixel_size_label.isVisible()
    dock.click(widget.resample)
    assert widget.settings.value().resample == "auto"
    assert "is resampled" in widget.pixel_size_label.text()
    assert "the image is resampled" in " ".join(dock.run().notes)
    dock.click(widget.resample)
    assert widget.settings.value().resample == "off"
    layer.scale = (0.45, 0.45)
    assert not widget.resample.isVisible()


def test_the_displayed_plane_is_segmented_first(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_planner, "PLANES_PIXELS", 0)  # as for larger planes, each is a tile
    dock.viewer.add_image(np.zeros((9, 32, 32), np.uint8), axis_labels=("t", "y", "x"))
    dock.viewer.dims.set_point(0, 5)
    planes: list[int] = []
    dock.widget.controller._runner.yielded.connect(
        lambda events: planes.extend(event.region.start[0] for event in events if hasattr(event, "region"))
    )
    dock.run()
    assert planes[0] == 5
    assert sorted(planes) == list(range(9))
    assert [abs(plane - 5) for plane in planes] == sorted(abs(plane - 5) for plane in planes)


def test_what_is_on_screen_is_shown_before_its_tile_and_counted_once(
    dock: Dock, model: MakeModel, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tile_planner.LIVE_PIXELS, "cpu", 2000)
    monkeypatch.setattr(tile_planner, "MAX_EXTRA_WORK", 1.0)  # small images are mostly halo
    pixels = rng.integers(0, 255, (10, 90, 96), np.uint8)
    dock.viewer.add_image(pixels)
    dock.widget.source.model.open_file(model(3))
    dock.widget.settings.set_value(PredictSettings(tile=(128,)))
    dock.viewer.dims.set_current_step(0, 4)
    shown = []
    write = overlay.Overlay.write
    monkeypatch.setattr(
        overlay.Overlay, "write", lambda self, painted: (shown.append(painted), write(self, painted))[1]
    )
    result = dock.run()
    *previews, tile = shown
    assert all(preview.region.start[0] <= 4 < preview.region.stop[0] for preview in previews)
    assert 0 < previews[0].region.size < tile.region.size == pixels.size
    assert (previews[0].done, tile.done, tile.total) == (0, 1, 1)
    assert sum(entry.share for entry in result.classes) == pytest.approx(1)
    assert_right(dock, expected_classes(model(3), pixels, "zyx"))


def test_running_again_replaces_the_results(dock: Dock, model: MakeModel, image: np.ndarray) -> None:
    dock.viewer.add_image(image, name="cells")
    dock.run()
    first = dock.layer("classes")
    dock.widget.source.model.open_file(model(2, 1, 2))
    dock.run()
    assert len(dock.viewer.layers) == 3
    assert dock.layer("classes") is first
    assert_right(dock, expected_classes(model(2, 1, 2), image))


def test_cancel_keeps_finished_tiles(dock: Dock) -> None:
    dock.start_long_run()
    assert dock.widget.progress.isVisible()
    assert " tiles · " in dock.widget.progress.format()
    dock.click(dock.widget.cancel_button)
    assert "Cancelled after" in dock.widget.message.text()
    assert not dock.widget.progress.isVisible()
    dock.wait_for_rest()
    assert np.count_nonzero(dock.layer("probabilities").data[..., 3]) > 0


def test_removing_the_image_mid_run_ends_it(dock: Dock) -> None:
    dock.start_long_run()
    layer = dock.widget.source.image.layer
    dock.viewer.layers.remove(layer)
    assert "was removed" in dock.widget.controller.state.message
    dock.wait_for_rest()
    assert not dock.widget.error.isVisible()


def test_closing_the_dock_mid_run_ends_it(dock: Dock) -> None:
    dock.start_long_run()
    dock.widget.parent().destroyOnClose()  # what the cross in its corner calls
    assert not dock.widget.controller.state.is_running
    dock.wait_for_rest()
    dock.widget.deleteLater()


def test_closing_the_viewer_mid_run_ends_it(
    make_napari_viewer: Callable[..., Any], qtbot: Any, model: MakeModel
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.source.model.open_file(model())
    Dock(viewer, widget, qtbot).start_long_run()
    viewer.close()
    qtbot.waitUntil(
        lambda: not any(thread.name == "napari-fcn-job" for thread in threading.enumerate()), timeout=30_000
    )


def test_a_reopened_dock_works(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.viewer.window.remove_dock_widget(dock.widget)
    dock.viewer.window.add_dock_widget(dock.widget)
    dock.run()


def test_without_an_image_run_is_disabled_with_a_reason(dock: Dock) -> None:
    assert not dock.widget.run_button.isEnabled()
    assert dock.widget.message.text() == "Open or select an image to segment."


def test_an_unsuitable_model_shows_the_reason(dock: Dock, model: MakeModel, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.widget.source.model.open_file(model(3))
    assert not dock.widget.run_button.isEnabled()
    assert "A 3-D model needs 3 axes" in dock.widget.message.text()
    dock.widget.source.model.open_file(model())
    assert dock.widget.run_button.isEnabled()


def test_an_invalid_option_shows_an_error(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.click(dock.widget.advanced.heading)
    field = dock.widget.settings.fields["tile"]
    dock.qtbot.keyClicks(field.editor, "big")
    assert field.error_label.isVisible()
    assert not dock.widget.run_button.isEnabled()
    assert "Tile" in dock.widget.message.text()


@pytest.mark.parametrize("content", [b"", b"\x80\x02 a pickle", b"\x10\0\0\0\0\0\0\0not json at all!"])
def test_an_invalid_model_file_shows_an_error(dock: Dock, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    before = dock.widget.source.model.model
    dock.widget.source.model.open_file(path)
    assert "broken.safetensors" in dock.widget.error.text()
    assert dock.widget.error.isVisible()
    assert dock.widget.source.model.model is before


def test_an_invalid_card_does_not_affect_other_models(dock: Dock, model: MakeModel, tmp_path: Path) -> None:
    good, bad = model(), tmp_path / "bad.safetensors"
    bad.write_bytes(good.read_bytes().replace(b'\\"scores\\": {}', b'\\"scores\\": [1'.ljust(16, b" ")[:15] + b"]"))
    assert bad.read_bytes() != good.read_bytes()
    dock.widget.source.model.open_file(bad)
    assert "bad.safetensors is damaged" in dock.widget.error.text()
    dock.widget.source.model.open_file(good)
    assert dock.widget.source.model.model is not None
    assert dock.widget.source.model.model.path == good


def test_a_model_file_deleted_before_the_run_is_an_error(
    dock: Dock, model: MakeModel, image: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "soon_gone.safetensors"
    path.write_bytes(model().read_bytes())
    dock.viewer.add_image(image)
    dock.widget.source.model.open_file(path)
    path.unlink()
    dock.click(dock.widget.run_button)
    assert "soon_gone.safetensors" in dock.widget.error.text()


def test_a_missing_gpu_is_an_error(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.widget.settings.set_value(PredictSettings(device="cuda:99"))
    dock.click(dock.widget.run_button)
    dock.wait_for_end()
    assert "cuda" in dock.widget.error.text()
    assert len(dock.viewer.layers) == 1


def test_a_model_is_opened_from_the_list(dock: Dock, model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(2, 1, 4)
    monkeypatch.setattr(pickers.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    combo = dock.widget.source.model.combo
    combo.setCurrentIndex(combo.count() - 1)
    combo.activated.emit(combo.count() - 1)
    assert dock.widget.source.model.model is not None
    assert dock.widget.source.model.model.path == path
    assert "class 3" in dock.widget.source.model.line.text()
    assert "made for a test" not in dock.widget.source.model.line.text()


def test_the_image_follows_the_selection_until_one_is_chosen(dock: Dock, image: np.ndarray) -> None:
    one, two, three = (dock.viewer.add_image(image, name=name) for name in ("one", "two", "three"))
    dock.viewer.layers.selection.active = one
    assert dock.widget.source.image.layer is one
    combo = dock.widget.source.image.combo
    dock.qtbot.keyClicks(combo, "two")
    combo.activated.emit(combo.currentIndex())
    dock.viewer.layers.selection.active = three
    assert dock.widget.source.image.layer is two
    two.name = "renamed"
    assert combo.currentText() == "renamed"


def test_probabilities_or_classes_are_shown_by_a_click(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.run()
    buttons = dock.widget.result_panel.buttons
    assert buttons["probabilities"].isChecked()
    dock.click(buttons["classes"])
    assert dock.layer("classes").visible
    assert not dock.layer("probabilities").visible


def test_results_are_saved(dock: Dock, image: np.ndarray, tmp_path: Path) -> None:
    dock.viewer.add_image(image, name="cells")
    dock.click(dock.widget.advanced.heading)
    dock.qtbot.keyClicks(dock.widget.save.fields["save"].editor, "c")
    dock.qtbot.keyClicks(dock.widget.save.fields["folder"].editor, str(tmp_path))
    result = dock.run()
    assert result.files == (str(tmp_path / "cells_classes.ome.tif"),)
    assert Path(result.files[0]).exists()
    assert "cells_classes.ome.tif" in dock.widget.result_panel.line.text()


def test_saved_objects_equal_those_of_the_command_line(dock: Dock, image: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cells.tif", image, metadata={"axes": "YX"})
    dock.viewer.add_image(image, name="cells")
    dock.widget.save.set_value(OutputSettings(("classes", "objects"), str(tmp_path / "dock")))
    result = dock.run()
    assert [Path(file).name for file in result.files] == ["cells_classes.ome.tif", "cells_objects.ome.tif"]
    model = str(dock.widget.source.value.path)
    given = ["predict", str(tmp_path / "cells.tif"), "--model", model, "--out", str(tmp_path / "cli"), "--tile", "32"]
    assert main([*given, "--save", "classes,objects", "--quiet"]) == 0
    for file, kind in zip(result.files, ("classes", "objects"), strict=True):
        mine, theirs = read_image(Path(file)), read_image(tmp_path / "cli" / f"{kind}.ome.tif")
        assert np.array_equal(mine.data[...], theirs.data[...])
        assert mine.data.dtype == theirs.data.dtype


def test_a_truncated_image_is_reported_and_finished_tiles_stay(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_PIXELS", 16)  # the statistics do not look at that frame
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_BLOCK", 4)
    monkeypatch.setattr(tile_planner, "PLANES_PIXELS", 0)  # as for larger planes, each is a tile

    def frame(number: int) -> np.ndarray:
        if number == 5:
            raise FileNotFoundError(2, "No such file", "t5.tif")
        return np.full((16, 16), number, np.uint8)

    frames = [da.from_delayed(dask.delayed(frame)(i), (16, 16), np.uint8) for i in range(6)]
    movie = dock.viewer.add_image(da.stack(frames), contrast_limits=(0, 9), axis_labels=("t", "y", "x"))
    dock.viewer.dims.set_point(0, 0)
    dock.click(dock.widget.run_button)
    dock.wait_for_end()
    error = dock.widget.error.text()
    assert "The part [5:6, 0:16, 0:16] of the image cannot be read" in error
    assert "t5.tif" in error
    assert "Unexpected error" not in error
    assert dock.layer("probabilities").data[:4, ..., 3].any()
    assert dock.widget.run_button.isEnabled()
    dock.viewer.dims.set_point(0, 0)
    assert movie in dock.viewer.layers


def test_an_error_in_the_code_of_a_lazy_image_is_not_reported_as_a_damaged_file(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_PIXELS", 16)  # the statistics do not read that frame
    monkeypatch.setattr("napari_fcn.inference.source.SAMPLE_BLOCK", 4)

    def frame(number: int) -> np.ndarray:
        if number == 5:
            raise AttributeError("my bug")
        return np.full((16, 16), number, np.uint8)

    frames = [da.from_delayed(dask.delayed(frame)(i), (16, 16), np.uint8) for i in range(6)]
    dock.viewer.add_image(da.stack(frames), contrast_limits=(0, 9), axis_labels=("t", "y", "x"))
    dock.viewer.dims.set_point(0, 0)
    dock.click(dock.widget.run_button)
    dock.wait_for_end()
    assert "AttributeError: my bug" in dock.widget.error.text()
    assert "damage" not in dock.widget.error.text()


def test_missing_chunks_are_reported(dock: Dock, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(32, 32), chunks=(16, 16), dtype="u1")
    array[:] = 9
    (tmp_path / "a.zarr" / "c" / "0" / "1").unlink()
    dock.viewer.add_image(zarr.open_array(tmp_path / "a.zarr", mode="r"), contrast_limits=(0, 9))
    assert "1 of 4 chunks are missing in" in " ".join(dock.run().notes)


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")])
def test_a_full_disk_is_reported_and_finished_tiles_stay(
    dock: Dock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    monkeypatch.setattr(controller, "fits_in_memory", lambda *_: False)
    put, left = _local._put, [25]

    def refuse(*given: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return put(*given, **more)

    monkeypatch.setattr(_local, "_put", refuse)
    dock.viewer.add_image(np.zeros((256, 256), np.uint8), name="large")
    dock.widget.settings.set_value(PredictSettings(tile=(32,)))
    dock.widget.save.set_value(OutputSettings(folder=str(tmp_path)))
    dock.click(dock.widget.run_button)
    dock.wait_for_end()
    assert words in dock.widget.error.text()
    assert str(tmp_path) in dock.widget.error.text()
    assert (tmp_path / "large_classes.ome.zarr").is_dir()
    assert dock.layer("classes") is not None


def test_the_dock_fits_320_pixels(dock: Dock, image: np.ndarray, tmp_path: Path) -> None:
    dock.viewer.add_image(image, name="an_image_with_quite_a_long_name_as_files_have_them" * 2)
    dock.click(dock.widget.advanced.heading)
    dock.qtbot.keyClicks(dock.widget.save.fields["save"].editor, "c")
    dock.qtbot.keyClicks(dock.widget.save.fields["folder"].editor, str(tmp_path))
    assert dock.run().files
    inside = dock.widget.run_button.parentWidget()
    assert inside.minimumSizeHint().width() <= 320


def test_every_control_has_an_accessible_name(dock: Dock) -> None:
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit

    kinds = (QAbstractButton, QComboBox, QLineEdit)
    controls = [control for kind in kinds for control in dock.widget.findChildren(kind)]
    named = [control for control in controls if control.accessibleName() or getattr(control, "text", str)()]
    inner = [control for control in controls if isinstance(control.parent(), QComboBox)]  # parts of an open choice
    assert set(controls) == {*named, *inner}


def test_the_tab_key_goes_from_top_to_bottom(dock: Dock, image: np.ndarray) -> None:
    dock.viewer.add_image(image)
    dock.run()
    dock.click(dock.widget.advanced.heading)
    widget = dock.widget
    expected = [
        widget.source.image.combo,
        widget.source.model.combo,
        widget.run_button,
        *widget.result_panel.buttons.values(),
    ]
    expected += [widget.advanced.heading, widget.source.axes, widget.settings.fields["device"].editor, widget.browse]
    visited, here = [], widget.source.image.combo
    for _ in range(200):
        visited += [here] if here in expected else []
        here = here.nextInFocusChain()
    assert visited[: len(expected)] == expected


def test_a_region_of_shapes_is_segmented_and_lies_at_its_place(dock: Dock, model: MakeModel, image: np.ndarray) -> None:
    layer = dock.viewer.add_image(image, name="cells", scale=(0.5, 0.5), translate=(3, 4), rotate=30)
    corners = [layer.data_to_world(corner) for corner in ((9.6, 7.6), (9.6, 30.4), (25.4, 30.4), (25.4, 7.6))]
    shapes = dock.viewer.add_shapes([corners], shape_type="polygon", name="region")
    picker = dock.widget.region.combo
    picker.setCurrentText("Shapes: region")
    dock.run()
    whole = expected_classes(model(), image)
    found = dock.layer("classes")
    assert np.mean(found.data == whole[10:26, 8:31]) > 0.999
    np.testing.assert_allclose(found.data_to_world((0, 0)), layer.data_to_world((10, 8)))
    dock.viewer.layers.remove(shapes)
    assert picker.currentText() == "Whole image"
    dock.run()
    assert dock.layer("classes").data.shape == image.shape
