"""All ways to remove layers while a dock is open: ``python removing_layers.py DOCK,... [WAY ...]``."""

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from user import User, say

PLACES = ((0.4, 0.4), (0.5, 0.55), (0.6, 0.5))  # of a short stroke


def by_keys(user: User, name: str) -> None:
    user.remove_all_by_keys()


def by_bin(user: User, name: str) -> None:
    user.viewer.layers.select_all()
    user.remove_selected_by_bin()


def by_clear(user: User, name: str) -> None:
    user.viewer.layers.clear()


def one_at_a_time(user: User, name: str) -> None:
    while user.viewer.layers:
        user.viewer.layers.selection.active = user.viewer.layers[-1]
        user.remove_selected_by_bin()
        user.rest(20)


def image_first(user: User, name: str) -> None:
    user.viewer.layers.remove("cells")
    user.rest(20)
    user.remove_all_by_keys()


def while_painting(user: User, name: str) -> None:
    user.drag(PLACES, user.remove_all_by_keys)


def in_3d(user: User, name: str) -> None:
    user.viewer.dims.ndisplay = 3
    user.rest(50)
    user.remove_all_by_keys()
    user.rest(20)
    user.viewer.dims.ndisplay = 2


def during_a_run(user: User, name: str) -> None:
    RUN[name](user, user.docks[name][1])
    user.remove_all_by_keys()


def without_the_dock(user: User, name: str) -> None:
    user.close(name)
    user.rest(20)
    user.remove_all_by_keys()


WAYS = (
    by_keys, by_bin, by_clear, one_at_a_time, image_first, while_painting, in_3d, during_a_run, without_the_dock,
)  # fmt: skip


def teach(user: User, dock: Any) -> None:
    if dock.controller.state.phase == "idle":
        user.click(dock.setup.start)
    user.wait(lambda: dock.controller.state.is_open)
    user.drag(PLACES)


def segment(user: User, dock: Any) -> None:
    user.click(dock.run_button)


def batch(user: User, dock: Any) -> None:
    dock.all_action.trigger()
    user.click(dock.run_button)


def field(user: User, dock: Any) -> None:
    dock.pixel.toggle.setChecked(False)
    user.click(dock.pixel.toggle)
    user.mouse("MouseMove", PLACES[0])
    user.mouse("MouseButtonPress", PLACES[0])
    user.mouse("MouseButtonRelease", PLACES[0])


def synthetic(user: User, dock: Any) -> None:
    user.click(dock.call_button.native)


RUN: dict[str, Callable[[User, Any], None]] = {
    "segment": segment, "batch": batch, "teach": teach, "field": field, "synthetic": synthetic,
}  # fmt: skip


def finish(user: User, dock: Any) -> None:
    """Wait until a dock is idle."""
    controller = getattr(dock, "controller", None)
    if controller is not None:
        user.rest(20)
        user.wait(lambda: not controller.is_busy)
    user.rest(30)


def use(user: User, name: str) -> Any:
    """Open an image and a dock and let it add its layers."""
    pixels = np.zeros((48, 64), np.uint8)
    pixels[:, 32:] = 200
    user.viewer.add_image(pixels, name="cells")
    dock = user.open(name)
    finish(user, dock)  # it may be warming up
    user.viewer.reset_view()
    user.hover()
    RUN[name](user, dock)
    user.wait(lambda: len(user.viewer.layers) > 1)
    finish(user, dock)
    return dock


def redraw(user: User, name: str) -> None:
    """Make napari redraw: resize the window, close and open the dock, add another image."""
    window = user.viewer.window._qt_window
    user.rest(20)
    window.resize(window.width() + 30, window.height() + 20)
    user.rest(20)
    if name in user.docks:
        user.close(name)
    user.rest(20)
    window.resize(window.width() - 30, window.height() - 20)
    user.open(name)
    user.rest(50)
    user.viewer.add_labels(np.eye(32, dtype=np.uint8), name="after").mode = "paint"
    user.hover()
    user.canvas.repaint()
    user.viewer.layers.clear()
    user.canvas.repaint()


def remove(user: User, name: str, way: Callable[[User, str], None]) -> None:
    """Use a dock, remove all layers in one way, and redraw."""
    say(f"{name}, {way.__name__}")
    dock = use(user, name)
    way(user, name)
    left = [layer.name for layer in user.viewer.layers]
    finish(user, dock)
    assert not left, left
    redraw(user, name)


def main(names: str, *wanted: str) -> int:
    user = User()
    for name in names.split(","):
        for way in WAYS:
            if not wanted or way.__name__ in wanted:
                remove(user, name, way)
        user.close(name)
    use(user, name)
    say("close the viewer")
    return user.end()


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # the order in which Python and Qt exit is not tested
