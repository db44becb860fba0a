"""Keyboard shortcuts: their names, their actions, and the viewers, layers and widgets they are bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_fcn.gui._widgets.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtWidgets import QWidget


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key.

    Attributes
    ----------
    key : str
        Name in napari, for example ``"Shift-U"``.
    description : str
        Description for the list of shortcuts; empty: not listed.
    slot : callable
        Called without arguments.
    shown : str
        Display name; empty: from ``key``.
    """

    key: str
    description: str
    slot: Callable[[], object]
    shown: str = ""

    @property
    def name(self) -> str:
        """Display name."""
        return self.shown or self.key.replace("Control", "Ctrl").replace("Enter", "Return").replace("-", "+")


# Keys of each viewer or layer: docks may share a key, which stays bound when one of them is closed.
_bound: WeakKeyDictionary[Any, dict[str, list[Key]]] = WeakKeyDictionary()


class Keys:
    """Keys of a dock, bound to viewers and layers; the active layer takes precedence over the viewer.

    Parameters
    ----------
    keys : sequence of Key
        The keys.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self._targets: list[Any] = []

    def text(self) -> str:
        """Return a table of all keys as rich text."""
        rows = (
            f"<tr><td><b>{escaped(k.name)}</b>&nbsp;&nbsp;</td><td>{escaped(k.description)}</td></tr>"
            for k in self._keys
            if k.description
        )
        return f"<table>{''.join(rows)}</table>"

    def line(self) -> str:
        """Return all keys in one line."""
        return " · ".join(f"{k.description} {k.name}" for k in self._keys if k.description)

    def attach(self, widget: QWidget) -> None:
        """Bind the keys to a widget: they work while it, or a widget in it, has the focus."""
        for key in self._keys:
            shortcut = QShortcut(QKeySequence(key.name), widget)
            shortcut.setContext(Qt.WidgetWithChildrenShortcut)
            shortcut.activated.connect(key.slot)

    def bind(self, *targets: Any) -> None:
        """Bind the keys to these viewers or layers only; docks with the same key share it."""
        for target in self._targets:
            if not any(target is other for other in targets):
                for key in self._keys:
                    _keys_of(target, key.key).remove(key)
                    _bind(target, key.key)
        for target in targets:
            if not any(target is other for other in self._targets):
                for key in self._keys:
                    _keys_of(target, key.key).append(key)
                    _bind(target, key.key)
        self._targets = list(targets)


def _keys_of(target: Any, name: str) -> list[Key]:
    return _bound.setdefault(target, {}).setdefault(name, [])


def _bind(target: Any, name: str) -> None:
    """Bind a key of a viewer or layer to the actions of all docks that share it."""
    keys = _keys_of(target, name)

    def press(_: object = None) -> None:
        for key in tuple(keys):
            key.slot()

    target.bind_key(name, press if keys else None, overwrite=True)
