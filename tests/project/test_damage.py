"""Damaged project files: intact data are kept, losses are reported, and links are not followed."""

import json
import os
import re
import shutil
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import painter
import pytest
from painter import SHAPE, paint, stroke_of
from project.test_folder import model

from napari_fcn.errors import FcnError, ModelError, ProjectError
from napari_fcn.geometry import Region
from napari_fcn.learning.history import History
from napari_fcn.project import Project, blocks, copy_project
from napari_fcn.project.journal import DROPPED, NAME
from napari_fcn.project.lines import Line, decode, scan, sort_lines
from napari_fcn.project.replay import replay

STROKES = 7
LARGE = 4  # the one that has a file of its own


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed project with entries of most kinds; nobody may change it."""
    folder = tmp_path_factory.mktemp("lively") / "a.fcn"
    with painter.create(folder) as project:
        history = project.history()
        project.record("open", settings={"keep": 0.5}, threads=1)
        history.add("start", 0, 0, model())
        project.record_history(history.event())
        for number in range(1, STROKES + 1):
            paint(project, 1)
            project.record("turn", turn=number, strokes=number, reference=[0, 9, 9], steps=0)
            if number in (2, 5):
                history.add("head", number, number, model(float(number)))
                project.record_history(history.event())
        project.pin("a", Region((0, 0, 0), (1, 2, 2)), np.zeros((1, 2, 2), np.uint8))
        project.record("rename", number=1, name='{"n":7} "}\n')
        paint(project, 1)
    return folder


@pytest.fixture
def folder(lively: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lively, tmp_path / "a.fcn"))


def kept(project: Project) -> set[int]:
    """Return the numbers of all strokes in a project, each of which must be what was painted."""
    found = set()
    for entry in project.entries():
        if entry["kind"] == "stroke":
            number = entry["stroke"]
            region, block = stroke_of(number)
            assert entry["region"] == {"start": list(region.start), "stop": list(region.stop)}
            found.add(number)
    canvas = np.zeros(SHAPE, np.uint8)
    for number in sorted(found):
        region, block = stroke_of(number)
        canvas[region.slices] = block
    assert np.array_equal(np.asarray(project.labels()), canvas)
    return found


def named(notes: tuple[str, ...]) -> set[int]:
    """Return the strokes that the notes call lost."""
    found: set[int] = set()
    for listed in re.findall(r"Lost: strokes? ([\d, toand]+)\.", " ".join(notes)):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", listed):
            found |= set(range(int(first), int(last or first) + 1))
    return found


ALL = set(range(1, STROKES + 2))


# The journal


def changes_of_a_byte(text: bytes, at: int) -> Iterator[bytes]:
    yield text[:at] + text[at + 1 :]
    for other in {text[at] ^ 1, text[at] ^ 2, text[at] ^ 16, ord("\n"), ord('"'), 0} - {text[at]}:
        yield text[:at] + bytes([other]) + text[at + 1 :]


def read(text: bytes) -> dict[int, dict[str, Any]]:
    lines, _ = sort_lines([line for line in scan(BytesIO(text)) if isinstance(line, Line)])
    found = {}
    for line in lines:
        decoded = decode(text[line.start : line.stop])
        assert decoded is not None
        found[line.n] = decoded[0]
    return found


def test_a_changed_byte_damages_only_its_own_entry(lively: Path) -> None:
    """All bytes of some lines, each changed in all ways that matter."""
    text = b"".join((lively / NAME).read_bytes().splitlines(keepends=True)[-8:])
    entries = read(text)
    assert len(entries) == 8
    owner = [n for n, line in zip(entries, text.splitlines(keepends=True), strict=True) for _ in line]
    for at in range(0, len(text), 1 if THOROUGH else 3):
        for harmed in changes_of_a_byte(text, at):
            found = read(harmed)
            lost = entries.keys() - found.keys()
            assert lost <= {owner[at]}
            assert all(found[n] == entries[n] for n in found)
            assert lost or text[at : at + 1] == b"\n" or b'"sum"' in text[at - 6 : at + 6]


THOROUGH = hypothesis.settings.default.max_examples > 100


def harmed(text: bytes, data: st.DataObject) -> tuple[bytes, set[int]]:
    """Return a journal after one accident, and the strokes that it may have taken."""
    lines = text.splitlines(keepends=True)
    strokes = [json.loads(line).get("stroke") for line in lines]
    at = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(["flip", "delete", "line", "twice", "swap", "cut", "join"]))
    start = sum(map(len, lines[:at]))
    byte = start + data.draw(st.integers(0, len(lines[at]) - 1))
    own = {strokes[at]} - {None}
    match what:
        case "flip":
            return text[:byte] + bytes([text[byte] ^ data.draw(st.integers(1, 255))]) + text[byte + 1 :], own
        case "delete":
            return text[:byte] + text[byte + 1 :], own
        case "line":
            return b"".join(lines[:at] + lines[at + 1 :]), own
        case "twice":
            return b"".join(lines[: at + 1] + lines[at:]), set()
        case "swap":
            lines[at], lines[other] = lines[other], lines[at]
            return b"".join(lines), set()
        case "join":
            is_last = at == len(lines) - 1  # of which nobody can know whether it is complete
            return b"".join([*lines[:at], lines[at].rstrip(b"\n"), *lines[at + 1 :]]), own if is_last else set()
    return text[:byte], set(filter(None, strokes[at:]))


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=1000 if THOROUGH else 60)
def test_a_damaged_journal_keeps_intact_entries_and_reports_lost_strokes(lively: Path, data: st.DataObject) -> None:
    text = (lively / NAME).read_bytes()
    changed, own = harmed(text, data)
    folder = lively.with_name("harmed.fcn")
    shutil.copytree(lively, folder)
    try:
        (folder / NAME).write_bytes(changed)
        with Project.open_read_only(folder) as project:
            found, notes = kept(project), project.notes
        assert ALL - found <= own
        assert named(notes) == ALL - found
        with Project.open(folder) as project:
            assert (kept(project), project.notes) == (found, notes)
        left = (folder / NAME).read_bytes()
        left += (folder / DROPPED).read_bytes() if (folder / DROPPED).exists() else b""
        assert all(line in left for line in changed.splitlines())  # nothing that could not be read was removed
        with Project.open(folder) as project:
            paint(project, 1)
        with Project.open_read_only(folder) as project:
            assert found < kept(project)
    finally:
        shutil.rmtree(folder)


def test_a_journal_without_checksums_is_continued_with_checksums(folder: Path) -> None:
    plain = [json.loads(line) for line in (folder / NAME).read_bytes().splitlines()]
    for entry in plain:
        del entry["sum"]
        entry.pop("file_sum", None)
    lines = [json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in plain]
    (folder / NAME).write_bytes(b"".join(lines))
    with Project.open(folder) as project:
        assert (kept(project), project.notes) == (ALL, ())
        paint(project, 1)
    after = (folder / NAME).read_bytes().splitlines(keepends=True)
    assert after[: len(lines)] == lines
    assert b'"sum":"' in after[-1]
    with Project.open(folder) as project:
        assert (kept(project), project.notes) == (ALL | {STROKES + 2}, ())


@pytest.mark.parametrize(("old", "new"), [('"n":5,', '"n":85,'), ('"stroke":4', '"stroke":84'), ('"n":9,', '"n":2,')])
def test_a_changed_digit_loses_one_stroke_of_a_journal_without_checksums(folder: Path, old: str, new: str) -> None:
    text = re.sub(r',"sum":"[0-9a-f]{16}"\}', "}", (folder / NAME).read_text())
    (folder / NAME).write_text(text.replace(old, new, 1))
    with Project.open(folder) as project:
        assert len(ALL - kept(project)) <= 1
        assert named(project.notes) == ALL - kept(project)


@pytest.mark.parametrize("number", [84, 8, 2])
def test_damage_before_the_first_checksum_does_not_lose_entries_after_it(folder: Path, number: int) -> None:
    lines = (folder / NAME).read_text().splitlines(keepends=True)
    old = re.sub(r',"sum":"[0-9a-f]{16}"\}', "}", "".join(lines[:12]))
    (folder / NAME).write_text(old.replace('"stroke":4', f'"stroke":{number}', 1) + "".join(lines[12:]))
    with Project.open(folder) as project:
        assert kept(project) == ALL - {LARGE}
        assert named(project.notes) == {LARGE}


def test_swapped_lines_without_checksums_are_read_in_order(folder: Path) -> None:
    lines = re.sub(r',"sum":"[0-9a-f]{16}"\}', "}", (folder / NAME).read_text()).splitlines(keepends=True)
    lines[6], lines[8] = lines[8], lines[6]
    (folder / NAME).write_text("".join(lines))
    with Project.open(folder) as project:
        assert kept(project) == ALL


def test_a_commit_with_a_nan_score_is_kept(folder: Path) -> None:
    line = '{"n":99,"kind":"commit","time":"","commit":{"number":3,"parent":2,"kind":"network","turn":7,"strokes":7,'
    with (folder / NAME).open("a") as journal:
        journal.write(line + '"hash":"","scores":{"candidate":NaN,"accepted":0.5},"name":""}}\n')
    shutil.copy(folder / "commits" / "0002.safetensors", folder / "commits" / "0003.safetensors")
    with Project.open(folder) as project:
        assert project.history().commits[-1].scores == {"accepted": 0.5}
        project.record("commit", commit={**line_of(project, 99)["commit"], "number": 4, "scores": {"a": float("nan")}})
    assert b"NaN" not in (folder / NAME).read_bytes().splitlines()[-1]


def line_of(project: Project, n: int) -> dict[str, Any]:
    return next(entry for entry in project.entries() if entry["n"] == n)


# Strokes and weights


@pytest.mark.parametrize("harm", ["flip", "cut", "longer", "missing", "another"])
def test_a_stroke_with_a_damaged_file_is_reported_as_lost(folder: Path, harm: str) -> None:
    (file,) = (file for file in (folder / "blocks").iterdir() if file.name < "000015")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    match harm:
        case "flip":
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[:-1])
        case "longer":
            file.write_bytes(file.read_bytes() + b"\0")
        case "missing":
            file.unlink()
        case "another":
            file.write_bytes(zlib.compress(np.ones(SHAPE, np.uint8).tobytes()))
    with Project.open(folder) as project:
        assert kept(project) == ALL - {LARGE}
        assert named(project.notes) == {LARGE}


@pytest.mark.parametrize("harm", ["header", "weights", "cut", "missing", "number", "deep"])
def test_damaged_weights_are_reported_and_other_commits_can_be_read(folder: Path, harm: str) -> None:
    file = folder / "commits" / "0001.safetensors"
    content = bytearray(file.read_bytes())
    match harm:
        case "header":
            file.write_bytes(content[:20] + b"\xff" + content[21:])
        case "weights":
            content[-1] ^= 1
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[:-1])
        case "missing":
            file.unlink()
        case "number":
            file.write_bytes(content.replace(b"[0,", b"[1e999,", 1))
        case "deep":
            text = b'{"a":' + b"[" * 100_000
            file.write_bytes(len(text).to_bytes(8, "little") + text)
    with Project.open(folder) as project:
        assert kept(project) == ALL
        history = project.history()
        said = [note for note in project.notes if "The weights of commit 1 are missing or damaged" in note]
        if not said:
            with pytest.raises(ModelError, match="commit 1"):
                history.checkpoint(1)
        assert history.checkpoint(0).hash == model().hash
        assert history.checkpoint(2).hash == model(5.0).hash
        assert len(project.notes) == len(said)


# The descriptions


@pytest.mark.parametrize("name", ["project.json", "image.json"])
def test_a_changed_byte_in_a_manifest_or_image_record_is_detected(folder: Path, name: str) -> None:
    file = folder / name
    text = file.read_bytes()
    with Project.open_read_only(folder) as project:
        expected = project.image, project.settings(), project.classes(), project.checkpoint()
    said: list[str] = []
    for at in range(0, len(text), 1 if THOROUGH else 7):
        for harmed in list(changes_of_a_byte(text, at))[:3]:
            file.write_bytes(harmed)
            try:
                with Project.open_read_only(folder) as project:
                    found = project.image, project.settings(), project.classes(), project.checkpoint()
                    assert found == expected  # a blank between two values, or the key of the checksum
            except ProjectError as error:
                said.append(str(error))
    assert all(name in text for text in said)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image.json", {"shape": [2**40, 2**40, 2**40]}),
        ("image.json", {"shape": [-1, 300, 200]}),
        ("image.json", {"shape": [3.5, 300, 200]}),
        ("image.json", {"shape": ["3", 300, 200]}),
        ("image.json", {"shape": [1] * 100}),
        ("image.json", {"dtype": "O"}),
        ("image.json", {"dtype": "U100000000"}),
        ("image.json", {"scale": [1.0] * 9}),
        ("image.json", {"path": 5}),
        ("image.json", {"axes": {"names": ["t", "t", "x"], "space": ["x"], "channel": None}}),
        ("project.json", {"classes": "ab"}),
        ("project.json", {"classes": [{"name": "a", "colour": "red"}]}),
        ("project.json", {"classes": [{"name": "a", "colour": "#ff0000"}] * 1000}),
        ("project.json", {"settings": {"keep": "much"}}),
        ("project.json", {"settings": {"patch": 2**80}}),
        ("project.json", {"model": ["a"]}),
        ("project.json", {"model": {"name": 5, "hash": []}}),
    ],
)
def test_an_invalid_manifest_or_image_record_is_refused_with_a_message(
    folder: Path, name: str, change: dict[str, Any]
) -> None:
    data = {**json.loads((folder / name).read_bytes()), **change}
    del data["sum"]
    (folder / name).write_text(json.dumps(data))
    with pytest.raises(ProjectError, match=rf"damaged: {name} cannot be used \(.{{5,200}}\)\. Copy this file"):
        Project.open(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1e999}', '{"format": NaN}', "9" * 5000, "{}" * 2])
@pytest.mark.parametrize("name", ["project.json", "image.json"])
def test_malicious_json_is_refused_with_a_message(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    for attempt in (Project.open, Project.open_read_only):
        with pytest.raises(ProjectError, match=rf"damaged: {name} cannot be used"):
            attempt(folder)


BOMB = b64encode(zlib.compress(bytes(2**22))).decode()
HERE = {"start": [0, 0, 0], "stop": [1, 1, 1]}
COMMIT = {"number": 1, "parent": 0, "kind": "head", "turn": 1, "strokes": 1, "hash": ""}
STROKE = {"n": 90, "kind": "stroke", "stroke": 9, "region": HERE}


@pytest.mark.parametrize(
    "entry",
    [
        '{"n":90,"kind":"turn","turn":1,"strokes":2,"reference":[1e999]}',
        '{"n":90,"kind":"turn","turn":1,"strokes":2,"reference":[0,0,200]}',
        '{"n":90,"kind":"turn","turn":1,"strokes":2,"reference":[0,0]}',
        '{"n":90,"kind":"turn","turn":99999999999,"strokes":2}',
        '{"n":90,"kind":"x","a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"n":90,"kind":"x","a":"' + "a" * 2**21 + '"}',
        '{"n":90,"kind":"commit","commit":{"number":1e999}}',
        '{"n":90,"kind":"commit","commit":[]}',
        '{"n":1e999,"kind":"settle"}',
        '{"n":true,"kind":"settle"}',
        '{"n":-1,"kind":"settle"}',
        '{"n":9007199254740991,"kind":"settle"}',
        '{"n":90,"kind":"turn","turn":2147483647,"strokes":2}',
        {"n": 90, "kind": "commit", "commit": {**COMMIT, "number": 2147483647}},
        {"n": 90, "kind": "commit", "commit": {**COMMIT, "turn": 2147483647}},
        {"n": 90, "kind": "stroke", "stroke": 2147483647, "region": HERE, "block": "eAFjAAAAAQAB"},
        '{"n":90,"kind":"open","settings":{"keep":[]},"threads":1}',
        '{"n":90,"kind":"open","settings":{},"threads":100000000}',
        '{"n":90,"kind":"settings","settings":5}',
        '{"n":90,"kind":"classes","classes":[{"name":"a","colour":"#00"}],"kept":[0]}',
        '{"n":90,"kind":"classes","classes":[],"kept":[-1]}',
        '{"n":90,"kind":"rename","number":1,"name":["a"]}',
        '{"n":90,"kind":"unpin","name":{}}',
        '{"n":90,"kind":"present","number":"1"}',
        STROKE | {"block": BOMB},
        STROKE | {"block": BOMB, "region": {**HERE, "stop": [2**62] * 3}},
        STROKE | {"block": "", "region": {**HERE, "stop": list(SHAPE)}},
        STROKE | {"file": "../../x"},
        STROKE | {"file": "/etc/passwd"},
        STROKE | {"file": "C:\\x"},
        STROKE | {"file": "\\\\host\\share\\x"},
        STROKE | {"kind": "pin", "name": "a", "file": "blocks/../../x.bin"},
    ],
)
def test_an_invalid_entry_is_skipped_and_counted(folder: Path, entry: Any) -> None:
    lines = (folder / NAME).read_text().splitlines(keepends=True)
    text = entry if isinstance(entry, str) else json.dumps(entry)
    (folder / NAME).write_text("".join([*lines[:-1], text + "\n", lines[-1]]))
    with Project.open(folder) as project:
        assert kept(project) == ALL
        assert "left out (1)" in project.notes[0]
        assert [name for name, *_ in project.pins()] == ["a"]
        paint(project, 1)
    with Project.open(folder) as project:
        assert kept(project) == ALL | {STROKES + 2}


def test_a_huge_block_file_is_not_read(folder: Path) -> None:
    (file,) = (file for file in (folder / "blocks").iterdir() if file.name < "000015")
    with file.open("wb") as large:
        large.truncate(2**42)
    with Project.open(folder) as project:
        assert named(project.notes) == {LARGE}


# Links


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError as error:
        pytest.skip(f"this system makes no links here: {error}")


@pytest.mark.parametrize(
    "name",
    [
        "journal.jsonl",
        "journal.dropped",
        "journal.end",
        "project.json",
        "image.json",
        "start.safetensors",
        "lock",
        "blocks",
        "commits",
        "blocks/000009.bin",
        "commits/0001.safetensors",
        "anything",
        ".image.json-01234567.part",
    ],
)
@pytest.mark.parametrize("way", ["open", "read-only", "copy"])
def test_links_in_a_project_are_refused_and_not_followed(folder: Path, tmp_path: Path, name: str, way: str) -> None:
    outside = tmp_path / "outside"
    if name in ("blocks", "commits"):
        (folder / name).rename(outside)
        (outside / ".download.part").write_text("mine")
    else:
        (folder / name).unlink(missing_ok=True)
        outside.write_text("mine")
    link(folder / name, outside)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    attempts: dict[str, Callable[[], object]] = {
        "open": lambda: Project.open(folder),
        "read-only": lambda: Project.open_read_only(folder),
        "copy": lambda: copy_project(folder, tmp_path / "copy.fcn"),
    }
    with pytest.raises(ProjectError, match=r"was not opened: .* is a link.*Nothing was changed\. Replace it"):
        attempts[way]()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("way", ["open", "copy"])
def test_an_unused_link_for_blocks_is_kept_and_large_strokes_are_inline(folder: Path, tmp_path: Path, way: str) -> None:
    lean, outside = tmp_path / "lean.fcn", tmp_path / "outside"
    shutil.copytree(folder, lean)
    whole = (lean / "journal.jsonl").read_text().splitlines(keepends=True)
    (lean / "journal.jsonl").write_text("".join(line for line in whole if '"file"' not in line))
    shutil.rmtree(lean / "blocks")
    outside.mkdir()
    (outside / ".000001.bin-01234567.part").write_text("mine")
    link(lean / "blocks", outside)
    if way == "copy":
        lean = copy_project(lean, tmp_path / "copy.fcn")
    noise = np.random.default_rng(0).integers(0, 3, SHAPE, np.uint8)
    assert len(zlib.compress(noise.tobytes(), 1)) > blocks.MAX_INLINE
    with Project.open(lean) as project:
        project.stroke(Region.whole(SHAPE), noise)
    with Project.open_read_only(lean) as project:
        np.testing.assert_array_equal(project.labels(), noise)
    assert [path.name for path in outside.iterdir()] == [".000001.bin-01234567.part"]


def test_the_folder_of_a_project_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    link(tmp_path / "name.fcn", folder)
    with Project.open(tmp_path / "name.fcn") as project:
        paint(project, 1)
    with Project.open_read_only(folder) as project:
        assert project.strokes == STROKES + 2


def test_appending_to_a_journal_does_not_change_its_hard_links(folder: Path, tmp_path: Path) -> None:
    """As in a copy that a backup program made of hard links."""
    other = tmp_path / "other"
    try:
        os.link(folder / NAME, other)
    except OSError as error:
        pytest.skip(f"this system makes no hard links here: {error}")
    before = other.read_bytes()
    with Project.open(folder) as project:
        paint(project, 1)
        assert kept(project) == ALL | {STROKES + 2}
    assert other.read_bytes() == before


def test_only_leftovers_of_napari_fcn_are_removed(folder: Path) -> None:
    ours = [".lock-01234567", ".image.json-0123abcd.part", "blocks/.000012.bin-01234567.part"]
    ours += ["commits/.0003.safetensors-89abcdef.part"]
    others = [".download.part", ".lock-notes", "blocks/.000012.bin.part", "commits/.model.safetensors-01234567.part"]
    for name in (*ours, *others):
        (folder / name).write_text("x")
    (folder / ".lock-76543210").mkdir()
    Project.open(folder).close()
    assert [name for name in (*ours, *others) if (folder / name).exists()] == others
    assert (folder / ".lock-76543210").exists()


def test_a_project_of_random_bytes_never_raises_an_unexpected_error(folder: Path) -> None:
    rng, said = np.random.default_rng(0), list[str]()
    for name in ("project.json", "image.json", NAME, "journal.end", "lock", "commits/0000.safetensors"):
        for size in (0, 1, 100, 10_000):
            before = (folder / name).read_bytes() if (folder / name).exists() else None
            (folder / name).write_bytes(rng.bytes(size))
            try:
                with Project.open_read_only(folder) as project:
                    list(project.corrections())
                    list(replay(project, painter.IMAGE))
                    History(project.store)
            except FcnError as error:
                said.append(str(error))
            (folder / name).unlink() if before is None else (folder / name).write_bytes(before)
    assert all(len(text) > 20 for text in said)
