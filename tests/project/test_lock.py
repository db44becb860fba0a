"""Locks of projects: one writer at a time, and stale locks of processes that have ended."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import painter
import psutil
import pytest
from painter import paint, painted, restored

from napari_fcn.errors import ProjectError, ProjectInUseError
from napari_fcn.project import Project, copy_project
from napari_fcn.storage.lock import LOCK_NAME, LockHolder


@pytest.fixture
def closed(project: Project) -> Project:
    project.close()
    return project


def held_by(project: Project, **facts: object) -> str:
    """Let somebody hold a project; return the text of the lock."""
    holder = {
        "pid": os.getpid(),
        "host": LockHolder.current().host,
        "user": "ada",
        "since": time.time(),
        "token": "t",
        **facts,
    }
    (project.path / LOCK_NAME).write_text(json.dumps(holder))
    return json.dumps(holder)


def test_a_project_opens_for_writing_once(project: Project) -> None:
    with pytest.raises(ProjectInUseError, match=r"is open: this napari itself, since .*read-only here, or open a copy"):
        Project.open(project.path)
    paint(project, 1)
    project.close()
    project.close()
    Project.open(project.path).close()
    assert not (project.path / LOCK_NAME).exists()


def test_the_error_names_the_program_that_holds_the_lock(closed: Project) -> None:
    program = [sys.executable, painter.__file__, str(closed.path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        with pytest.raises(ProjectInUseError, match=rf"on this computer \(process {running.pid}\)"):
            Project.open(closed.path)
        running.kill()
    Project.open(closed.path).close()


def test_a_lock_of_another_computer_is_respected_and_named(closed: Project) -> None:
    text = held_by(closed, host="microscope-2", pid=1)
    with pytest.raises(ProjectInUseError, match=r"ada on the computer microscope-2 \(process 1\).*delete the file"):
        Project.open(closed.path)
    assert (closed.path / LOCK_NAME).read_text() == text


def test_a_lock_older_than_the_process_with_its_number_is_stale(closed: Project) -> None:
    started = psutil.Process().create_time()
    held_by(closed, since=started - 1000)
    Project.open(closed.path).close()
    held_by(closed, since=started + 1)
    with pytest.raises(ProjectInUseError):
        Project.open(closed.path)


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}'])
def test_an_empty_lock_is_stale_after_some_seconds(closed: Project, text: str) -> None:
    lock = closed.path / LOCK_NAME
    lock.write_text(text)
    with pytest.raises(ProjectInUseError, match="opening it right now"):
        Project.open(closed.path)
    os.utime(lock, (0, 0))
    Project.open(closed.path).close()


def test_releasing_does_not_remove_the_lock_of_another_process(project: Project) -> None:
    text = held_by(project)
    project.close()
    assert (project.path / LOCK_NAME).read_text() == text


def test_a_locked_project_can_be_opened_read_only_and_copied(project: Project, tmp_path: Path) -> None:
    paint(project, 5)
    with Project.open_read_only(project.path) as seen:
        assert seen.strokes == 5
    with Project.open(copy_project(project.path, tmp_path / "copy.fcn")) as copy:
        paint(copy, 1)
        assert (copy.strokes, project.strokes) == (6, 5)
        assert (restored(copy) == painted([1, 2, 3, 4, 5, 6])).all()
    with pytest.raises(ProjectError, match="exists already"):
        copy_project(project.path, tmp_path / "copy.fcn")
