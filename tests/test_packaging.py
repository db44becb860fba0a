"""The wheel, the sdist and the editable install: their files, and validation by npe2."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from test_house import Module

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "napari_fcn"


def run(*command: str | Path, **environment: str | Path) -> str:
    """Return what a Python module prints; fail with all of it when it fails."""
    env = os.environ | {name: str(value) for name, value in environment.items()}
    arguments = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run(arguments, capture_output=True, text=True, env=env, cwd=ROOT.parent, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def validate(**environment: str | Path) -> None:
    """Validate the manifest of the installed napari-fcn, and import every command that it names."""
    run("npe2", "validate", "napari-fcn", "--imports", NO_COLOR="1", **environment)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree, so that a build neither finds nor leaves anything in the real one."""
    copy = tmp_path_factory.mktemp("source") / "napari-fcn"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo-output")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=unwanted)
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist, each built from the source tree."""
    folder = tmp_path_factory.mktemp("dist")
    run("build", "--no-isolation", "--wheel", "--sdist", "--outdir", folder, source)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    return next(built.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel_from_sdist(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("from-sdist")
    run("pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, sdist)
    return next(folder.glob("*.whl"))


def in_package() -> set[str]:
    """What the package must hold: every file of its source, as paths from the repository root."""
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


def files_in_wheel(path: Path) -> set[str]:
    with ZipFile(path) as archive:
        names = archive.namelist()
    return {name for name in names if not name.split("/")[0].endswith(".dist-info")}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    assert files_in_wheel(wheel) == in_package()


def test_the_sdist_makes_the_same_wheel(wheel: Path, wheel_from_sdist: Path) -> None:
    with ZipFile(wheel) as direct, ZipFile(wheel_from_sdist) as by_sdist:
        names = files_in_wheel(wheel)
        assert files_in_wheel(wheel_from_sdist) == names
        assert all(direct.read(name) == by_sdist.read(name) for name in names)


def test_the_sdist_holds_sources_and_documents_but_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert in_package() | {"pyproject.toml", "setup.cfg", "LICENSE", "README.md", "CHANGELOG.md"} <= files
    assert not [name for name in files if name.split("/")[0] in {"tests", "benchmarks", "src-docs"}]


def test_the_wheel_has_the_licence_and_both_entry_points(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
        assert archive.read(names["licenses/LICENSE"]) == (ROOT / "LICENSE").read_bytes()
        entries = archive.read(names["entry_points.txt"]).decode()
        metadata = archive.read(names["METADATA"]).decode()
    assert "napari-fcn = napari_fcn.cli:main" in entries
    assert "napari-fcn = napari_fcn:napari.yaml" in entries
    assert "License-Expression: BSD-3-Clause" in metadata


def test_no_qt_and_no_napari_without_an_extra(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    core = [line.lower() for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert any("torch" in line for line in core)
    assert not [line for line in core if any(word in line for word in ("qt", "napari", "magicgui"))]


def requirements(key: str) -> set[str]:
    """The names of the packages that pyproject.toml asks for: ``core``, or those of an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] if key == "core" else project["optional-dependencies"][key]
    return {re.match(r"[\w-]+", line)[0].lower() for line in lines}


@cache
def imported() -> dict[str, set[str]]:
    """The packages that each extra's room imports, and ``core`` for all other rooms; imports for types apart."""
    rooms = {"gui": "gui", "distributed": "distributed", "figures": "figures"}
    packages = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        module = Module(path.relative_to(ROOT).as_posix(), source, ast.parse(source))
        libraries = {i.library for i in module.imports if not i.is_for_types} - sys.stdlib_module_names - {"napari_fcn"}
        names = {packages.get(library, [library])[0].lower() for library in libraries}
        room = "openvino" if path.stem.startswith("openvino") else rooms.get(module.room, "core")
        found.setdefault(room, set()).update(names)
    return found


def test_the_core_imports_its_dependencies_and_nothing_else() -> None:
    assert imported()["core"] == requirements("core")


@pytest.mark.parametrize("extra", ["gui", "distributed", "figures", "openvino"])
def test_dependencies_of_an_extra_are_imported_in_its_room_only(extra: str) -> None:
    found = imported()
    assert requirements(extra) <= found[extra]
    assert found[extra] <= requirements(extra) | requirements("core") | ({"vispy"} if extra == "gui" else set())


def test_without_an_extra_an_ome_zarr_is_read_and_segmented(tmp_path: Path) -> None:
    extras = {
        "dask",
        "distributed",
        "magicgui",
        "matplotlib",
        "napari",
        "openvino",
        "pandas",
        "pyqtgraph",
        "qtpy",
        "vispy",
    }
    program = f"""
import sys
sys.modules.update(dict.fromkeys({sorted(extras)}))  # None: as if it were not installed
import numpy as np
from napari_fcn.cli import main
from napari_fcn.geometry import Region
from napari_fcn.io import ResultMeta, open_result, read_image
meta = ResultMeta(("y", "x"), (1.0, 1.0), ("pixel", "pixel"))
with open_result("cells.ome.zarr", "classes", (32, 32), np.uint8, meta) as writer:
    writer.write(Region.whole((32, 32)), np.eye(32, dtype=np.uint8))
assert main(["predict", "cells.ome.zarr", "--model", "nuclei", "--out", "out.ome.zarr", "--save", "classes"]) == 0
assert read_image("out.ome.zarr").data.shape == (32, 32)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_manifest_at_the_root_is_the_one_in_the_package(wheel: Path) -> None:
    manifest = (PACKAGE / "napari.yaml").read_bytes()
    assert (ROOT / "napari.yaml").is_symlink()
    assert (ROOT / "napari.yaml").read_bytes() == manifest
    with ZipFile(wheel) as archive:
        assert archive.read("napari_fcn/napari.yaml") == manifest


def test_npe2_accepts_the_installed_package() -> None:
    validate()


def test_npe2_accepts_an_installed_wheel_and_refuses_missing_names(wheel: Path, tmp_path: Path) -> None:
    """That of the sdist has the same files, byte for byte."""
    run("pip", "install", "-q", "--no-deps", "--no-index", "--target", tmp_path, wheel)
    where = run("pip", "show", "napari-fcn", PYTHONPATH=tmp_path)
    assert f"Location: {tmp_path}" in where
    validate(PYTHONPATH=tmp_path)
    manifest = tmp_path / "napari_fcn" / "napari.yaml"
    manifest.write_text(manifest.read_text().replace("segment:SegmentWidget", "segment:NoSuchWidget"))
    with pytest.raises(AssertionError, match="NoSuchWidget"):
        validate(PYTHONPATH=tmp_path)
