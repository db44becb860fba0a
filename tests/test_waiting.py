"""No test waits for real time: waits end with an event, and clocks and timers are those of the test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLOCKS = {"sleep", "monotonic", "perf_counter", "process_time"}
ALLOWED = {  # and why
    "gui/clocks.py": "polls for what another thread does",
    "gui/brush.py": "napari leaves out mouse moves that come within 5 ms of one another",
    "gui/user.py": "draws by hand in a program of its own, and polls",
    "gui/test_liveness.py": "reports times, and judges none",
}


def waits(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and call of what waits for a fixed time, or reads the clock."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        on, name = ast.unparse(node.func.value), node.func.attr
        is_clock = on == "time" and name in CLOCKS
        is_fixed = (name == "wait" and on.split(".")[-1] == "qtbot") or name == "qWait"
        if is_clock or is_fixed:
            yield node.lineno, ast.unparse(node)


def test_no_test_waits_for_time_to_pass() -> None:
    found = [
        f"{path.relative_to(HERE)}:{line}: {call}"
        for path in sorted(HERE.rglob("*.py"))
        if path.relative_to(HERE).as_posix() not in ALLOWED
        for line, call in waits(path.read_text(encoding="utf-8"))
    ]
    assert not found, "wait until something has happened, see tests/gui/clocks.py:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("time.sleep(1)", 1),
        ("qtbot.wait(5)", 1),
        ("self.qtbot.wait(5)", 1),
        ("QTest.qWait(5)", 1),
        ("assert time.monotonic() - start < 5", 1),
        ("qtbot.waitUntil(lambda: done)", 0),
        ("gate.wait(60)", 0),
        ("dock.wait(lambda: done)", 0),
    ],
)
def test_fixed_waits_are_found(source: str, count: int) -> None:
    assert len(list(waits(source))) == count
