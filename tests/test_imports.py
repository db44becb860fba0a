"""Importing the package loads no heavy modules."""

import pkgutil
import subprocess
import sys

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


def test_importing_the_package_loads_no_module_of_it() -> None:
    program = "import sys, napari_fcn; print(*(name for name in sys.modules if name.startswith('napari_fcn.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "module", ["geometry", "events", "settings", "errors", "nets.spec", "models.card", "models.zoo", "models.recipe"]
)
def test_what_the_widgets_need_loads_neither_torch_nor_qt(module: str) -> None:
    assert not loaded_by(f"import napari_fcn.{module}") & HEAVY


@pytest.mark.parametrize("name", napari_fcn.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(napari_fcn, name) is not None
    assert name in dir(napari_fcn)


def test_no_module_hides_a_public_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(napari_fcn.__path__)}
    assert not modules & set(napari_fcn.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        napari_fcn.segment_everything  # noqa: B018


def test_the_version_is_that_of_the_installed_package() -> None:
    from importlib.metadata import version

    assert napari_fcn.__version__ == version("napari-fcn")
