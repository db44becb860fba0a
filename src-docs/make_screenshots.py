"""Take the pictures of the site in the real viewer, with real clicks, into src-docs/images.

python src-docs/make_screenshots.py [SCENE]

Each scene runs in a process of its own, so that nothing of one is left in the other.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import napari
import numpy as np
import tifffile
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox
from scipy.ndimage import binary_erosion
from skimage.measure import find_contours

from napari_fcn.gui._layers.screen import camera_of
from napari_fcn.sample_data import Look, cells

IMAGES = Path(__file__).parent / "images"
WINDOW, DOCK_WIDTH = (1360, 840), 340
EDGE = 12  # pixels at the border of an image on which nothing is painted
PATIENCE = 300  # seconds until something that does not happen is given up
OCTREE = Image.Quantize.FASTOCTREE  # keeps colours that are rare, such as those of a small heat map
LARGEST = 400_000  # bytes of a picture


def tissue():
    """Segment stained tissue: the dock with the Advanced fold open, then the window with the result."""
    with window() as (viewer, dock):
        viewer.open_sample("napari-fcn", "immunohistochemistry")
        viewer.reset_view()
        choose(dock, "Model", "nuclei")
        click(dock, "Advanced")
        viewer.window.resize(WINDOW[0], 1060)  # high enough for the whole dock
        settle(viewer)
        save("dock", dock.grab().toImage())
        click(dock, "Advanced")
        viewer.window.resize(*WINDOW)
        settle(viewer)
        viewer.reset_view()
        click(dock, "Run")
        until(lambda: not dock.controller.state.is_running)
        if dock.controller.state.result is None:
            raise SystemExit(f"The run failed: {dock.controller.state.error or dock.controller.state.message}")
        settle(viewer)
        save("segment", viewer.screenshot(canvas_only=False, flash=False))


def running():
    """Segment a large image and look while it runs."""
    image, _ = cells((2304, 2304), seed=3)
    with window() as (viewer, dock):
        viewer.add_image(image, name="Many cells", scale=(0.5, 0.5), units=("um", "um"), contrast_limits=(100, 2500))
        viewer.reset_view()
        settle(viewer)
        choose(dock, "Model", "nuclei")
        click(dock, "Run")
        until(lambda: dock.controller.state.done >= dock.controller.state.total * 0.4 > 0)
        save("running", viewer.screenshot(canvas_only=False, flash=False))
        click(dock, "Cancel")
        until(lambda: not dock.controller.state.is_running)


def teach():
    """Teach the nuclei model on faint cells: while painting, when a network was judged, two states compared."""
    image, truth = cells((256, 256), seed=5, look=Look(diameter=44, photons=8))
    with tempfile.TemporaryDirectory() as folder, window("Teach (FCN)") as (viewer, dock):
        tifffile.imwrite(Path(folder) / "faint cells.tif", image)  # the project lies beside it
        viewer.open(Path(folder) / "faint cells.tif")
        viewer.window.resize(WINDOW[0], 900)
        settle(viewer)
        viewer.reset_view()
        choose(dock, "Model", "nuclei")
        choose(dock, "Whole network", "ask")
        click(dock, "Start")
        until(lambda: state(dock).is_open or state(dock).error)
        if not state(dock).is_open:
            raise SystemExit(f"Teaching has not begun: {state(dock).error}")
        until(lambda: not state(dock).is_working)
        for _ in range(4):
            paint_what_is_wrong(viewer, dock, truth)
            until(lambda: state(dock).can_decide or not state(dock).is_working)
            if state(dock).can_decide:
                break
        settle(viewer)
        save("teach", viewer.screenshot(canvas_only=False, flash=False))
        if state(dock).can_decide:
            click(dock, "Changes")
        settle(viewer)
        save("teach-update", dock.candidate_card.grab().toImage())
        if state(dock).can_decide:
            click(dock, "Changes")
            click(dock, "Accept")
            until(lambda: state(dock).update.status == "accepted")
        until(lambda: not state(dock).is_working)
        dock.history.select(0, state(dock).present)
        click(dock, "Compare")
        until(lambda: state(dock).comparison is not None)
        click(dock, "Split")
        settle(viewer)
        save("teach-compare", viewer.screenshot(canvas_only=False, flash=False))
        click(dock, "Stop")
        until(lambda: not dock.controller.is_busy)


def field():
    """Point at a pixel: the field and what of it counts; then the checks."""
    image, truth = cells((384, 512), seed=1)
    with window("Receptive field (FCN)") as (viewer, dock):
        layer = viewer.add_image(image, name="cells", scale=(0.25, 0.25), units=("um", "um"))
        viewer.add_labels(truth.astype(np.int32), name="truth", scale=(0.25, 0.25), units=("um", "um"), visible=False)
        viewer.window.resize(WINDOW[0], 900)
        settle(viewer)
        viewer.reset_view()
        choose(dock, "Model", "nuclei")
        controller = dock.controller
        until(lambda: controller.state.growth is not None and not controller.is_busy)
        camera_of(viewer).zoom *= 2
        camera_of(viewer).center = tuple(layer.data_to_world((200, 210)))
        click(dock, "Point at a pixel")
        settle(viewer)
        draw(viewer, layer, [(207, 230)] * 2)
        until(lambda: controller.state.field is not None and controller.state.field.label and not controller.is_busy)
        click(dock, "Measure")
        until(lambda: controller.state.advice and not controller.is_busy)
        settle(viewer)
        save("field-dock", viewer.screenshot(canvas_only=False, flash=False))
        for name in ("Certificate", "Shifts", "Padding"):
            click(dock, name)
            until(lambda: not controller.state.is_checking and not controller.is_busy)
        settle(viewer)
        save("field-checks", dock.checks.grab().toImage())


def batch():
    """Run a model on a folder with one damaged file, and look at a result while the rest is on its way."""
    with tempfile.TemporaryDirectory() as folder, window("Batch (FCN)") as (viewer, dock):
        for number, well in enumerate(("A1", "A2", "A3", "B1", "B2", "B3", "C1"), start=11):
            length = 900 if well in ("A1", "A2") else 2000
            tifffile.imwrite(Path(folder) / f"plate1_{well}.tif", cells((length, length), seed=number)[0])
        damaged = Path(folder) / "plate1_A2.tif"
        damaged.write_bytes(damaged.read_bytes()[:1_000_000])
        choose(dock, "Model", "nuclei")
        drop(dock.table.viewport(), folder)
        click(dock, "Run")
        until(lambda: dock.controller.state.done >= 2)
        place = dock.table.visualItemRect(dock.table.item(0, 0)).center()
        QTest.mouseClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        QTest.mouseDClick(dock.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        until(lambda: len(viewer.layers) == 2 and dock.controller.state.done >= 3)
        until(lambda: any(0.3 < row.fraction < 0.9 for row in dock.controller.state.rows))
        save("batch", viewer.screenshot(canvas_only=False, flash=False))
        click(dock, "Cancel all")
        until(lambda: not dock.controller.is_busy)


SCENES = {scene.__name__: scene for scene in (tissue, running, batch, teach, field)}


@contextmanager
def window(name="Segment (FCN)"):
    """Give a viewer with a dock as the Plugins menu opens it."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    area, dock = viewer.window.add_plugin_dock_widget("napari-fcn", name)
    viewer.window._qt_window.resizeDocks([area], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    settle(viewer)
    try:
        yield viewer, dock
    finally:
        viewer.close()


def click(dock, name):
    """Press a button of the dock with the mouse."""
    button = next(b for b in dock.findChildren(QAbstractButton) if b.text().lstrip("▸▾ ") == name)
    if not button.isEnabled():
        raise SystemExit(f"{name} cannot be pressed.")
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=button.rect().center())
    QTest.qWait(100)


def choose(dock, name, start):
    """Choose the entry of a list that begins with some letters, from the keyboard."""
    combo = next(c for c in dock.findChildren(QComboBox) if c.accessibleName() == name)
    index = next(i for i in range(combo.count()) if combo.itemText(i).startswith(start))
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Home)
    for _ in range(index):
        QTest.keyClick(combo, Qt.Key.Key_Down)
    if combo.currentIndex() != index:
        raise SystemExit(f"{start} could not be chosen for {name}; {combo.currentText()} is.")
    combo.activated.emit(index)
    QTest.qWait(100)


def drop(widget, *paths):
    """Drag files over a widget and let them fall."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    at = widget.rect().center()
    told = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(widget, QDragEnterEvent(at, *told))
    QApplication.sendEvent(widget, QDropEvent(QPointF(at), *told))
    QTest.qWait(100)


def state(dock):
    """Return what the Teach dock shows."""
    return dock.controller.state


def paint_what_is_wrong(viewer, dock, truth):
    """Paint background and nucleus where the answer is most wrong, and a rim, with the mouse."""
    corrections = dock.controller.layers.corrections.layer
    for value in (1, 2, 3):
        said = dock.controller.layers.overlay.canvas.classes
        free = corrections.data == 0
        free[:EDGE], free[-EDGE:], free[:, :EDGE], free[:, -EDGE:] = False, False, False, False
        if value == 3:
            places = outline(truth, free)
        else:
            is_it = binary_erosion((truth > 0) == (value == 2), iterations=3) & free
            wrong = is_it & ((said > 0) != (value == 2))
            places = longest_run(wrong if wrong.any() else is_it)
        turn = state(dock).turn
        dock.controller.choose(value)
        corrections.brush_size = 1 if value == 3 else 3
        draw(viewer, corrections, places)
        until(lambda turn=turn: state(dock).turn > turn)


def longest_run(mask):
    """Return the ends of the longest horizontal run of a mask, or of the first 40 pixels of it."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (rows, starts), (_, stops) = np.nonzero(edges > 0), np.nonzero(edges < 0)
    best = int(np.argmax(stops - starts))
    return (rows[best], starts[best]), (rows[best], min(stops[best] - 1, starts[best] + 40))


def outline(truth, free):
    """Return places along the outline of the largest cell that lies where nothing is painted."""
    sizes = np.bincount(truth.ravel()) * (np.arange(truth.max() + 1) > 0)
    sizes[np.unique(truth[~free])] = 0
    cell = np.pad(truth == int(sizes.argmax()), 1)
    contour = max(find_contours(cell, 0.5), key=len) - 1
    middle = contour.mean(0)
    return contour[::3] + (middle - contour[::3]) * 0.06  # inside


def draw(viewer, layer, places):
    """Draw a line with the mouse through some places of a layer."""
    canvas = viewer.window._qt_viewer.canvas.native
    camera = camera_of(viewer)
    points = []
    for first, second in pairwise(places):
        for share in (0, 0.5, 1):
            world = np.asarray(layer.data_to_world(np.add(first, np.subtract(second, first) * share)))[-2:]
            middle = np.array([canvas.height(), canvas.width()]) / 2
            y, x = middle + (world - np.asarray(camera.center)[-2:]) * camera.zoom
            points.append(QPointF(float(x), float(y)))
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    moves = [(QEvent.Type.MouseMove, points[0], none, none), (QEvent.Type.MouseButtonPress, points[0], left, left)]
    moves += [(QEvent.Type.MouseMove, point, none, left) for point in points[1:]]
    moves += [(QEvent.Type.MouseButtonRelease, points[-1], left, none)]
    for kind, at, button, held in moves:
        everywhere = QPointF(canvas.mapToGlobal(at.toPoint()))
        event = QMouseEvent(kind, at, at, everywhere, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, event)
        QTest.qWait(8)  # napari takes a move every 5 ms


def settle(viewer):
    """Let the window draw, and put away what napari has to say of Qt."""
    QTest.qWait(1500)
    for notification in viewer.window._qt_window.findChildren(NapariQtNotification):
        notification.close()
    QTest.qWait(300)


def until(is_over):
    """Let the window live until something is so."""
    end = time.monotonic() + PATIENCE
    while not is_over():
        if time.monotonic() > end:
            raise SystemExit(f"It has not happened after {PATIENCE} s.")
        QTest.qWait(20)


def save(name, picture):
    """Save a picture with as many colours as its size allows."""
    if not isinstance(picture, np.ndarray):  # Qt's image
        picture = picture.convertToFormat(picture.Format.Format_RGBA8888)
        bits = picture.constBits()
        bits.setsize(picture.sizeInBytes())
        picture = np.frombuffer(bits, np.uint8).reshape(picture.height(), picture.width(), 4).copy()
    used = np.flatnonzero((picture != picture[-1:, :1]).any(axis=(1, 2)))
    picture = picture[: used[-1] + 12]  # without the empty part at the bottom
    path = IMAGES / f"{name}.png"
    for colours in (256, 128, 64, 32):
        few = Image.fromarray(picture[..., :3]).quantize(colours, OCTREE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
        if path.stat().st_size < LARGEST:
            break
    print(f"{path}: {picture.shape[1]} x {picture.shape[0]} px, {colours} colours, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        SCENES[sys.argv[1]]()
    else:
        for scene in SCENES:
            subprocess.run([sys.executable, __file__, scene], check=True, timeout=2 * PATIENCE)
