"""The documentation names files and classes that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "napari_fcn"
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "src-docs/architecture.md"]


def defined_names() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_on_the_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+(?:\.py|/))`", text))
    files = {path.relative_to(base).as_posix() for base in (ROOT, PACKAGE) for path in PACKAGE.rglob("*.py")}
    files |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "src-docs").rglob("*.py")}
    files |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    names = {name for file in files for name in (file, Path(file).name)}
    folders = {
        f"{path.relative_to(base).as_posix()}/".rpartition("napari_fcn/")[2]
        for base in (ROOT,)
        for path in (*PACKAGE.rglob("*"), ROOT / "tests", ROOT / "src-docs", ROOT / "benchmarks")
        if path.is_dir()
    }
    folders |= {f"{Path(folder).name}/" for folder in folders} | {"napari_fcn/", "benchmarks/results/", "build/docs/"}
    unknown = {name for name in named if name not in names and name not in folders}
    assert not unknown


def test_every_class_in_the_data_flow_exists() -> None:
    text = (ROOT / "src-docs/architecture.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert blocks
    named = {name for block in blocks for name in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", block)}
    assert {"SegmentController", "TeachWorker", "RunWriter"} <= named
    assert named <= defined_names()
