"""Projects of a small image."""

from collections.abc import Iterator
from pathlib import Path

import painter
import pytest

from napari_fcn.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = painter.create(tmp_path / "a.fcn")
    yield project
    project.close()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of nine strokes that is closed; nobody may change it."""
    folder = tmp_path_factory.mktemp("whole") / "a.fcn"
    with painter.create(folder) as project:
        painter.paint(project, 9)
    return folder
