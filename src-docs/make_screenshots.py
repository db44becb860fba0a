"""Take the pictures of the site in the real viewer, with real clicks, into src-docs/images.

python src-docs/make_screenshots.py [SCENE]

Each scene runs in a process of its own, so that nothing of one is left in the other.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QComboBox

from napari_fcn.sample_data import cells

IMAGES = Path(__file__).parent / "images"
WINDOW, DOCK_WIDTH = (1360, 840), 340
PATIENCE = 300  # seconds until something that does not happen is given up
LARGEST = 400_000  # bytes of a picture


def tissue():
    """Segment stained tissue: the dock with the Advanced fold open, then the window with the result."""
    with window() as (viewer, dock):
        viewer.open_sample("napari-fcn", "immunohistochemistry")
        viewer.reset_view()
        choose(dock, "Model", "nuclei")
        click(dock, "Advanced")
        choose(dock, "Colours", "haematoxylin")
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


SCENES = {scene.__name__: scene for scene in (tissue, running)}


@contextmanager
def window():
    """Give a viewer with the dock as the Plugins menu opens it."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    area, dock = viewer.window.add_plugin_dock_widget("napari-fcn", "Segment (FCN)")
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
        Image.fromarray(picture[..., :3]).quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
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
