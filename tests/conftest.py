"""What every test shares: a fixed environment, seeded numbers and the folder of real images."""

import gc
import os
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# Before anything imports Qt or napari: one binding, and no settings read from or written to the user's home.
os.environ.setdefault("QT_API", "pyqt5" if find_spec("PyQt5") else "pyqt6")
os.environ.setdefault("PYTEST_QT_API", os.environ["QT_API"])
os.environ["NAPARI_CONFIG"] = ""

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("ci")  # another one: pytest --hypothesis-profile=thorough


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests in one process that share windows or what a file prepares once (pytest -n 2 --dist loadgroup).

    Each process has a display of its own (pytest-xvfb), because the keyboard of a display has one owner.
    """
    for item in items:
        definitions = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
        is_shared = any(definition.scope == "module" for found in definitions for definition in found[-1:])
        if is_shared or "gui" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish() -> None:
    """Let the garbage collector ignore what all imports made: napari collects with every viewer, torch is large."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def brief() -> None:
    """Let every second look at strokes be a short one: small images need no more."""
    from napari_fcn.learning import distillation

    distillation.N_TREES, distillation.N_STEPS, distillation.STEPS_PER_PAUSE = 10, 40, 20


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Store compiled networks in a temporary folder, also in processes that tests start."""
    os.environ["NAPARI_FCN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images: NAPARI_FCN_DATA, else shared/data beside the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_FCN_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} is not a folder (set NAPARI_FCN_DATA)")
    return folder
