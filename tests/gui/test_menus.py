"""Menu entries that the documentation names are in the menus of napari."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.viewer import Viewer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "src-docs").glob("*.md"))]
OURS = " (napari-fcn)"  # which napari puts behind the entries of plugins


def named() -> dict[str, str]:
    """Return each menu path *A ▸ B* in the documentation, and its pages."""
    found: dict[str, str] = {}
    for page in PAGES:
        for path in re.findall(r"\*([^*]+▸[^*]+)\*", page.read_text(encoding="utf-8")):
            found[" ".join(path.split())] = page.name
    return found


def entries(actions: list[Any], before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield all menu entries as paths; napari fills some menus when they open."""
    for action in actions:
        text = action.text().replace("&", "").removesuffix(OURS)
        yield " ▸ ".join((*before, text))
        menu = action.menu()
        if menu is not None and len(before) < 3:
            menu.aboutToShow.emit()
            yield from entries(menu.actions(), (*before, text))


@pytest.mark.skipif(not (ROOT / "src-docs").is_dir(), reason="the documentation is not part of the package")
def test_each_documented_menu_entry_exists(make_napari_viewer: Callable[..., Viewer]) -> None:
    viewer = make_napari_viewer()
    known = set(entries(viewer.window._qt_window.menuBar().actions()))
    assert "Plugins ▸ napari-fcn ▸ Segment (FCN)" in known.intersection(named())
    assert {path: page for path, page in named().items() if path not in known} == {}
