"""Keys of several docks on one viewer."""

from napari.components import ViewerModel

from napari_fcn.gui._widgets.keys import Key, Keys


def pressed(viewer: ViewerModel, key: str) -> None:
    """Call the action that is bound to a key."""
    (found,) = [function for binding, function in viewer.keymap.items() if str(binding) == key]
    found(viewer)


def test_a_shared_key_stays_bound_after_one_dock_closes() -> None:
    viewer, calls = ViewerModel(), []
    first = Keys([Key("Control-.", "Cancel", lambda: calls.append("first"))])
    second = Keys([Key("Control-.", "Cancel", lambda: calls.append("second")), Key("Shift-F", "Point", calls.clear)])
    first.bind(viewer)
    second.bind(viewer)
    pressed(viewer, "Ctrl+.")
    assert calls == ["first", "second"]
    second.bind()
    calls.clear()
    pressed(viewer, "Ctrl+.")
    assert calls == ["first"]
    assert "Shift+F" not in map(str, viewer.keymap)
    first.bind()
    assert not viewer.keymap


def test_binding_twice_calls_the_action_once() -> None:
    viewer, calls = ViewerModel(), []
    keys = Keys([Key("G", "live", lambda: calls.append(1))])
    keys.bind(viewer)
    keys.bind(viewer)
    pressed(viewer, "G")
    assert calls == [1]
