"""No acknowledged stroke is lost, after crashes and on a full disk."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import painter
import pytest
from painter import SHAPE, paint, painted, restored, stroke_of

from napari_fcn.errors import ProjectError
from napari_fcn.geometry import Region
from napari_fcn.project import Project
from napari_fcn.project.journal import DROPPED, NAME

KILLS = 20
READ, OPEN = Path.read_bytes, Path.open


@contextmanager
def no_room(*, after: int = 0, during: str = "fsync") -> Iterator[None]:
    """Let the disk be full: one of the system's calls fails, from the so manieth on."""
    calls = iter(range(after))
    real = getattr(os, during)

    def refuse(*args: object, **kwargs: object) -> object:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, during, refuse)
        yield


@st.composite
def strokes(draw: st.DrawFn) -> list[tuple[Region, np.ndarray]]:
    """Draw strokes of any place, size and pattern, noise among them."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        ends = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in SHAPE]
        region = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        levels = draw(st.sampled_from([1, 2, 256]))
        found.append((region, rng.integers(0, levels, region.shape).astype(np.uint8)))
    return found


@hypothesis.given(strokes())
def test_strokes_are_restored_exactly_after_each_of_them(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Region, np.ndarray]]
) -> None:
    folder = tmp_path_factory.mktemp("projects") / "a.fcn"
    canvas = np.zeros(SHAPE, np.uint8)
    states = [canvas.copy()]
    with painter.create(folder) as project:
        for number, (region, block) in enumerate(drawn, start=1):
            assert project.stroke(region, block) == number
            canvas[region.slices] = block
            states.append(canvas.copy())
    with Project.open_read_only(folder) as project:
        assert project.strokes == project.current_stroke == len(drawn)
        for number, state in enumerate(states):
            assert np.array_equal(restored(project, number), state)
        assert np.array_equal(restored(project), canvas)
    shutil.rmtree(folder.parent)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.fcn"))


@hypothesis.given(st.data())
def test_a_truncated_journal_keeps_all_complete_entries(whole: Path, data: st.DataObject) -> None:
    text = (whole / NAME).read_bytes()
    line_ends = [i + 1 for i, byte in enumerate(text) if byte == ord("\n")]
    cut = data.draw(st.integers(0, len(text)) | st.sampled_from([e + d for e in line_ends for d in (-2, -1, 0)]))
    tail = data.draw(st.sampled_from([b"", b"\x00" * 600, b'{"n": ', b"?}\n\n", b"[1]\n", b"\xff\xfe\n"]))
    folder = whole.with_name("cut.fcn")
    shutil.copytree(whole, folder)
    try:
        (folder / NAME).write_bytes(text[:cut] + tail)
        complete = sum(end <= cut for end in line_ends)
        with Project.open(folder) as project:
            assert project.strokes == complete
            assert np.array_equal(restored(project), painted(list(range(1, complete + 1))))
            paint(project, 2)
        with Project.open(folder) as project:
            assert project.notes == ()
            assert project.strokes == complete + 2
            assert np.array_equal(restored(project), painted(list(range(1, complete + 3))))
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("share", [0, 0.5, 0.999, None])
def test_a_stroke_with_a_truncated_file_is_dropped(copy: Path, share: float | None) -> None:
    text = (copy / NAME).read_bytes().splitlines(keepends=True)
    (copy / NAME).write_bytes(b"".join(text[:8]))
    file = copy / json.loads(text[7])["file"]
    content = file.read_bytes()
    if share is None:
        file.unlink()
    else:
        file.write_bytes(content[: int(len(content) * share)])
    with Project.open(copy) as project:
        assert len(project.notes) == 1
        assert np.array_equal(restored(project), painted(list(range(1, 8))))
        paint(project, 1)
        assert np.array_equal(restored(project), painted(list(range(1, 9))))
    assert (copy / DROPPED).read_bytes() == text[7]


def test_a_damaged_line_in_the_middle_loses_only_itself(copy: Path) -> None:
    text = (copy / NAME).read_bytes().splitlines(keepends=True)
    text[4] = b"?" + text[4][1:]
    (copy / NAME).write_bytes(b"".join(text))
    with Project.open(copy) as project:
        assert "left out (1)" in project.notes[0]
        assert project.strokes == 9
        assert np.array_equal(restored(project), painted([1, 2, 3, 4, 6, 7, 8, 9]))
        assert np.array_equal(restored(project, 5), painted([1, 2, 3, 4]))
        paint(project, 1)
    with Project.open(copy) as project:
        assert np.array_equal(restored(project), painted([1, 2, 3, 4, 6, 7, 8, 9, 10]))


def test_an_unreadable_block_file_does_not_change_the_journal(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    before = (copy / NAME).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: refuse(path) if path.suffix == ".bin" else READ(path))
        with pytest.raises(ProjectError, match=r"000003\.bin cannot be read \(there is no permission\)"):
            Project.open(copy)
    assert (copy / NAME).read_bytes() == before
    Project.open(copy).close()


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../../elsewhere.bin"},
        {"region": {"start": [0, 0, 0], "stop": [3, 300, 201]}},
        {"region": {"start": [0, 0, 0], "stop": [1, 300, 200]}},
        {"region": {"start": [-1, 0, 0], "stop": [2, 300, 200]}},
        {"region": {"start": [0, 0], "stop": [300, 200]}},
        {"region": None},
        {"stroke": 7},
        {"stroke": None},
        {"n": 3},
        {"n": "8"},
        {"kind": 8},
    ],
)
def test_an_entry_with_invalid_content_is_skipped(copy: Path, change: dict[str, object]) -> None:
    text = (copy / NAME).read_bytes().splitlines(keepends=True)
    text[7] = json.dumps({**json.loads(text[7]), **change}).encode() + b"\n"
    (copy / NAME).write_bytes(b"".join(text))
    with Project.open(copy) as project:
        assert np.array_equal(restored(project), painted([1, 2, 3, 4, 5, 6, 7, 9]))


def test_opening_read_only_changes_nothing(copy: Path) -> None:
    text = (copy / NAME).read_bytes()[:-5]
    (copy / NAME).write_bytes(text)
    with Project.open_read_only(copy) as project:
        assert project.is_read_only
        assert project.strokes == 8
        with pytest.raises(ProjectError, match="not open for writing"):
            paint(project, 1)
    assert (copy / NAME).read_bytes() == text
    assert not (copy / "lock").exists()


# The power goes, the program is killed


def test_every_acknowledged_stroke_survives_a_kill(project: Project, record_property: Callable[..., None]) -> None:
    folder = project.path
    project.close()
    rng, safe = np.random.default_rng(5), 0
    for _ in range(KILLS):
        program = [sys.executable, painter.__file__, str(folder)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            safe = int(running.stdout.readline())
            for _ in range(int(rng.integers(0, 6))):  # any moment is as good as another
                safe = int(running.stdout.readline())
            running.kill()
            safe = max([safe, *(int(line) for line in running.stdout if line.endswith("\n"))])
        with Project.open_read_only(folder) as found:
            assert safe <= found.strokes <= safe + 1  # one may be on the disk whose number was not said yet
    with Project.open(folder) as found:
        count = found.strokes
        assert np.array_equal(restored(found), painted(list(range(1, count + 1))))
        for number, (region, block) in zip(range(1, count + 1), found.corrections(), strict=True):
            expected = stroke_of(number)
            assert region == expected[0]
            assert np.array_equal(block, expected[1])
        assert not list(folder.rglob("*.part"))
    record_property("strokes", count)


# The disk is full


@pytest.mark.parametrize("during", ["fsync", "replace"])
def test_strokes_are_written_once_the_disk_has_space(project: Project, during: str) -> None:
    paint(project, 2)
    with no_room(during=during):
        if during == "fsync":
            with pytest.raises(ProjectError, match=r"disk is full.*not lost.*written with the next stroke"):
                paint(project, 1)
        else:
            paint(project, 1)
        with pytest.raises(ProjectError, match="disk is full"):
            paint(project, 1)
        assert project.has_unsaved
        assert project.strokes == 4
        assert np.array_equal(restored(project), painted([1, 2, 3, 4]))
        project.record("settings", settings={"keep": 0.25})  # no stroke, no error
    with Project.open_read_only(project.path) as seen:
        assert seen.strokes in (2, 3)
        assert seen.notes == ()
    paint(project, 1)
    assert not project.has_unsaved
    project.close()
    with Project.open(project.path) as again:
        assert again.notes == ()
        assert [entry["n"] for entry in again.entries()] == list(range(6))
        assert again.settings().keep == 0.25
        assert np.array_equal(restored(again), painted([1, 2, 3, 4, 5]))


def test_an_incomplete_line_on_a_full_disk_is_overwritten(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(project, 1)
    journal = project.path / NAME

    class Half:
        """A file that takes some bytes, and then no more; it cannot be shortened either."""

        def __init__(self, path: Path) -> None:
            self._file, self._room = OPEN(path, "r+b", buffering=0), 40

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *error: object) -> None:
            self._file.close()

        def write(self, data: memoryview) -> int:
            if not self._room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = self._file.write(data[: min(7, self._room)])
            self._room = max(0, self._room - written)
            return written

        def truncate(self, size: int) -> None:
            raise OSError(errno.EIO, "no")

    def open_half(path: Path, mode: str = "r", buffering: int = -1) -> object:
        return Half(path) if (path, mode) == (journal, "r+b") else OPEN(path, mode, buffering)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_half)
        with pytest.raises(ProjectError, match="disk is full"):
            paint(project, 1)
    assert not journal.read_bytes().endswith(b"\n")
    with Project.open_read_only(project.path) as seen:
        assert seen.strokes == 1
    paint(project, 1)
    project.close()
    with Project.open(project.path) as again:
        assert np.array_equal(restored(again), painted([1, 2, 3]))


def test_closing_with_unsaved_strokes_is_an_error_and_releases_the_lock(project: Project) -> None:
    with no_room():
        with pytest.raises(ProjectError, match="disk is full"):
            paint(project, 1)
        with pytest.raises(ProjectError, match="disk is full"):
            project.close()
    Project.open(project.path).close()


def test_strokes_wait_for_a_missing_folder_and_the_error_names_it(project: Project) -> None:
    away = project.path.rename(project.path.with_name("away"))
    with pytest.raises(ProjectError, match="the folder is gone"):
        paint(project, 1)
    away.rename(project.path)
    project.flush()
    assert not project.has_unsaved
    with Project.open_read_only(project.path) as seen:
        assert np.array_equal(restored(seen), painted([1]))
