"""What is light stays light."""

import subprocess
import sys
from collections.abc import Callable

import pytest

import napari_fcn

HEAVY = {
    "torch",
    "napari",
    "qtpy",
    "PyQt5",
    "PyQt6",
    "PySide6",
    "magicgui",
    "scipy",
    "skimage",
    "dask",
    "zarr",
    "tifffile",
}


def loaded_by(program: str) -> set[str]:
    """Return the libraries that a fresh interpreter has loaded after running the program."""
    program += "; import sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import napari_fcn") & (HEAVY | {"numpy"})


def test_importing_the_package_is_quick(record_property: Callable[[str, object], None]) -> None:
    program = "import time; t = time.perf_counter(); import napari_fcn; print(time.perf_counter() - t)"
    seconds = min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )
    record_property("import_seconds", seconds)
    assert seconds < 1  # some milliseconds on an idle machine


@pytest.mark.parametrize(
    "module", ["geometry", "events", "settings", "errors", "nets.spec", "models.card", "models.zoo", "models.recipe"]
)
def test_what_the_widgets_need_loads_neither_torch_nor_qt(module: str) -> None:
    assert not loaded_by(f"import napari_fcn.{module}") & HEAVY


@pytest.mark.parametrize("name", napari_fcn.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(napari_fcn, name) is not None
    assert name in dir(napari_fcn)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        napari_fcn.segment_everything  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert napari_fcn.__version__ == version("napari-fcn")
