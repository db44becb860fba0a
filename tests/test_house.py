"""Rules of the architecture, checked on the source: imports between rooms, and names that are defined once."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

PACKAGE = "napari_fcn"

# From the ground up: a room imports from its own floor and from those below.
FLOORS = (
    {"geometry"},
    {"events", "cancellation", "settings", "options", "errors", "file_kinds", "file_names", "system_errors", "typed"},
    {"storage"},
    {"nets"},
    {"receptive_fields"},
    {"models"},
    {"inference"},
    {"learning", "objects", "sequences"},
    {"inspection", "session", "teaching"},
    {"project"},
    {"io", "sample_data"},
    {"distributed", "figures", "training"},
    {"runs"},
    {"api"},
    {"demo"},
    {"cli", "gui"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DOCK_WORDS = r"under Advanced|under Save|[Tt]ick [A-Z]"
APART = {"cli", "gui"}  # on one floor, and still no doors between them

LIBRARIES = {  # rooms that know few libraries; the others are free but for the graphical ones
    "geometry": {"numpy"},
    "events": {"numpy"},
    "settings": set(),
    "options": {"numpy"},
    "errors": set(),
    "storage": {"psutil", "pydantic"},
    "nets": {"numpy", "torch"},
}
GRAPHICAL = {"PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "napari", "pyqtgraph", "qtpy", "superqt", "vispy"}
UNSAFE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
THREADS = {"QRunnable", "QThread", "QThreadPool", "threading.Thread", "threading.Timer", "thread_worker"}

GUI_MAY_IMPORT = {  # inside gui; docks, panels and widgets are not named here
    "_controllers": {"_threads", "_layers", "_timers"},
    "_layers": {"_timers"},
    "_reader": {"_layers"},
    "_samples": {"_layers"},
    "_threads": {"_timers"},
    "_timers": set(),
    "_widgets": {"_controllers"},
    "demo": {"_samples", "segment"},
    "synthetic": {"_samples", "_widgets"},
}
WIDGETS_MAY_IMPORT = {"_controllers", "_widgets"}
GUI_WITH_ENGINE = {"_controllers", "_layers", "_samples", "synthetic"}
ENGINE_FOR_ALL = {
    "settings",
    "options",
    "events",
    "errors",
    "file_kinds",
    "file_names",
    "system_errors",
    "typed",
    "storage",
    "geometry",
}


LONGEST = 400  # lines of a module
LONGER: dict[str, int] = {}  # modules that are longer, and the lines that each has at most; nothing new may come here
RETIRED = {  # metaphors that names had before they became the terms of the field; no part of a name may be one again
    *("anatomy", "ask", "attend", "basket", "begun", "bell", "bend", "bending", "bent", "besides", "classroom"),
    *("complain", "course", "crew", "desk", "detour", "exam", "eye", "footing", "gaze", "ground", "hear", "heard"),
    *("herald", "hired", "judge", "ladder", "lesson", "looked", "lookout", "mailbox", "moment", "pane", "probed"),
    *("prose", "pupil", "recording", "rival", "runnable", "sheet", "sight", "sights", "slid", "spell"),
    *("spelled", "stopwatch", "straight", "stretch", "study", "tell", "thin", "told", "trials", "twin", "unpainted"),
    *("unsure", "untaught", "verdict", "wish"),
}
RETIRED_BUT_STORED = {  # names that files, flags and journals of version 0.1.0 have
    "judge_every": "a setting of teaching, a flag and a key of journals",
    "on_judge": "called by the kind of an entry of a journal",
}
CLASSES_OF_ONE_NAME: dict[str, str] = {}  # class name -> why two modules define it


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, dotted in full, and where it stands."""

    target: str
    line: int
    is_lazy: bool
    is_for_types: bool

    @property
    def library(self) -> str:
        return self.target.split(".")[0]

    @property
    def room(self) -> str:
        """The room of the package that it comes from; "" for the package itself."""
        parts = self.target.split(".")
        return parts[1] if len(parts) > 1 and parts[1] in FLOOR else ""


@dataclass(frozen=True)
class Module:
    """One source file, by its path from the repository root."""

    path: str
    source: str
    tree: ast.Module

    @property
    def parts(self) -> tuple[str, ...]:
        parts = PurePosixPath(self.path).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    @property
    def name(self) -> str:
        return ".".join(self.parts)

    @property
    def room(self) -> str:
        return self.parts[1] if len(self.parts) > 1 else ""

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports(self.tree.body, is_lazy=False, is_for_types=False))

    def _imports(self, nodes: Iterable[ast.AST], is_lazy: bool, is_for_types: bool) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, is_lazy, is_for_types)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield Import(f"{self._source(node)}.{alias.name}", node.lineno, is_lazy, is_for_types)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from self._imports(node.body, is_lazy, True)
                yield from self._imports(node.orelse, is_lazy, is_for_types)
            else:
                inside = is_lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from self._imports(ast.iter_child_nodes(node), inside, is_for_types)

    def _source(self, node: ast.ImportFrom) -> str:
        package = self.parts if self.path.endswith("__init__.py") else self.parts[:-1]
        base = package[: len(package) - node.level + 1] if node.level else ()
        return ".".join((*base, *filter(None, [node.module])))


def floor_rules(module: Module) -> Iterator[tuple[int, str]]:
    if module.room and module.room not in FLOOR:
        yield 1, f"{module.room} has no floor yet: give it one in tests/test_house.py"
        return
    for found in module.imports:
        if module.room == "" or found.library != PACKAGE or found.room == module.room:
            continue
        if found.room == "" and found.target != f"{PACKAGE}.__version__":
            yield found.line, f"{found.target}: inside the house import from a room, not from the package"
        elif found.room and FLOOR[found.room] > FLOOR[module.room]:
            yield found.line, f"{module.room} lies below {found.room} and may not import it"
        elif {found.room, module.room} <= APART:
            is_demo = (module.room, found.room) == ("cli", "gui") and found.is_lazy and not found.is_for_types
            if not is_demo:
                yield found.line, f"{module.room} and {found.room} never import each other"


def library_rules(module: Module) -> Iterator[tuple[int, str]]:
    for found in module.imports:
        library, is_ours = found.library, found.library == PACKAGE
        if library in GRAPHICAL and module.room != "gui":
            yield found.line, f"{library} is imported under gui/ only"
        if module.room in LIBRARIES and not is_ours and library not in sys.stdlib_module_names:
            allowed = sorted(LIBRARIES[module.room])
            if library not in allowed:
                yield found.line, f"{module.room} may import of all libraries only {allowed}, not {library}"
        is_at_start = module.room == "" and not (found.is_lazy or found.is_for_types)
        if is_at_start and library not in sys.stdlib_module_names:
            yield found.line, f"import {PACKAGE} must stay light: import {library} where it is used"
        if library in UNSAFE:
            yield found.line, f"{library} runs code from files: use safetensors or JSON"


def thread_rules(module: Module) -> Iterator[tuple[int, str]]:
    if module.room == "inference" or module.path == f"{PACKAGE}/gui/_threads.py":
        return
    used = [(found.line, found.target) for found in module.imports]
    ends = {name.split(".")[-1] for name in THREADS} | {"futures"}
    attributes = (n for n in module.nodes if isinstance(n, ast.Attribute))
    used += [(n.lineno, ast.unparse(n)) for n in attributes if n.attr in ends]
    for line, name in used:
        if name.startswith("concurrent.futures") or THREADS & {name, name.split(".")[-1]}:
            yield line, f"{name}: threads live in gui/_threads.py and inference/ only"


def catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether it swallows whatever comes; to clean up after anything and raise it again is allowed."""
    names = {node.id for node in ast.walk(handler.type or ast.Name("BaseException")) if isinstance(node, ast.Name)}
    cleans_up = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
    return "Exception" in names or ("BaseException" in names and not cleans_up)


def loads_only_weights(module: Module, load: ast.Attribute) -> bool:
    """Whether it reads the installed weights of a classifier, without anything that could run."""
    if module.name != f"{PACKAGE}.nets.pretrained":
        return False
    calls = [node for node in module.nodes if isinstance(node, ast.Call) and node.func is load]
    arguments = [(k.arg, ast.unparse(k.value)) for call in calls for k in call.keywords]
    return ("weights_only", "True") in arguments


def statement_rules(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        match node:
            case ast.Call(func=ast.Name(id="print")) if module.name != f"{PACKAGE}.cli.terminal":
                yield node.lineno, "print stands in cli/terminal.py only: elsewhere say, put, yield an event or raise"
            case ast.Attribute(value=ast.Name(id="torch"), attr="load") if not loads_only_weights(module, node):
                yield node.lineno, "torch.load runs code from files: use safetensors"
            case ast.keyword(arg="allow_pickle", value=ast.Constant(value=True)):
                yield node.value.lineno, "allow_pickle runs code from files"
            case ast.ExceptHandler() if module.path != f"{PACKAGE}/gui/_threads.py" and catches_all(node):
                yield node.lineno, "except Exception stands in gui/_threads.py only: catch the exact type"
    for found in module.imports:
        if found.target == "torch.load":
            yield found.line, "torch.load runs code from files: use safetensors"
        if found.target == f"{PACKAGE}.errors.DECODE_ERRORS" and module.room != "io":
            yield found.line, "only the readers in io/ decode files: catch the exact type"


def message_rules(module: Module) -> Iterator[tuple[int, str]]:
    """Messages of docks name controls, all others flags; `Advice` has both: the second is that of docks."""
    of_docks = {
        id(part)
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Advice"
        for second in node.args[1:]
        for part in ast.walk(second)
    }
    docstrings = {id(node.body[0].value) for node in module.nodes if is_documented(node)}
    for node in module.nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if module.room == "gui" and module.parts[-1] != "demo" and re.search(r"(^|[ (])--[a-z]", node.value):
            yield node.lineno, "a dock has no flags: name the control, or give the error an Advice"
        is_free = module.room in ("gui", "errors") or id(node) in of_docks  # errors.py has advice that several share
        if not is_free and re.search(DOCK_WORDS, node.value):
            yield node.lineno, "the command line has no controls: name the flag, or give the error an Advice"


def is_documented(node: ast.AST) -> bool:
    body = getattr(node, "body", None)
    is_text = isinstance(body, list) and body and isinstance(body[0], ast.Expr)
    return bool(is_text and isinstance(body[0].value, ast.Constant))


def gui_rules(module: Module) -> Iterator[tuple[int, str]]:
    if module.room != "gui":
        return
    here = module.parts[2] if len(module.parts) > 2 else "gui"
    for found in module.imports:
        part = found.target.split(".")[2] if found.room == "gui" and found.target.count(".") > 1 else ""
        is_engine = found.library == PACKAGE and found.room not in ENGINE_FOR_ALL | {"gui"}
        if here not in GUI_WITH_ENGINE and (is_engine or found.library == "torch"):
            yield found.line, f"{found.target}: gui/{here} knows no engine: go through _controllers"
        if here in GUI_MAY_IMPORT and part and part not in GUI_MAY_IMPORT[here] | {here}:
            yield found.line, f"gui/{here} may import of gui only {sorted(GUI_MAY_IMPORT[here])}, not {part}"
        if here not in GUI_MAY_IMPORT and part in GUI_MAY_IMPORT.keys() - WIDGETS_MAY_IMPORT:
            yield found.line, f"gui/{here} is a widget and may not import {part}: go through _controllers"


def names(module: Module) -> Iterator[tuple[int, str]]:
    """The names of a module: its own, of classes, functions, parameters, attributes and constants."""
    yield 1, module.parts[-1]
    for node in module.nodes:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
        if isinstance(node, ast.Module | ast.ClassDef):
            for statement in node.body:
                for target in ast.walk(statement) if isinstance(statement, ast.Assign | ast.AnnAssign) else ():
                    if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                        yield target.lineno, target.id


def name_rules(module: Module) -> Iterator[tuple[int, str]]:
    for line, name in names(module):
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
        if (old := words & RETIRED) and name not in RETIRED_BUT_STORED:
            yield line, f"{name} has the retired word {min(old)}: use the term of the field"


RULES = (floor_rules, library_rules, thread_rules, statement_rules, message_rules, gui_rules, name_rules)


def find_cycle(modules: list[Module]) -> list[str]:
    """The names of a circle of imports, first and last the same; [] if none.

    Imports inside functions count: a circle that runs later ties its modules together all the same. Imports for types
    do not.
    """
    known = {module.name for module in modules} - {PACKAGE}
    graph: dict[str, set[str]] = {}
    for module in modules:
        own = {".".join(module.parts[:end]) for end in range(len(module.parts))}
        runs = graph.setdefault(module.name, set())
        for found in module.imports:
            if not found.is_for_types:
                parts = found.target.split(".")
                prefixes = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
                loaded = [prefix for prefix in prefixes if prefix in known]
                runs.update(loaded[-1:], set(loaded) - own)
        runs.discard(module.name)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def cycle_rule(modules: list[Module]) -> Iterator[str]:
    if cycle := find_cycle(modules):
        yield f"imports run in a circle: {' -> '.join(cycle)}"


def class_rule(modules: list[Module]) -> Iterator[str]:
    """A class name means one thing in the whole package, private names included."""
    homes: dict[str, list[str]] = {}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(f"{module.path}:{node.lineno}")
    for name, places in homes.items():
        if len(places) > 1 and name not in CLASSES_OF_ONE_NAME:
            yield f"class {name} is defined in {' and in '.join(places)}: rename one"


def length_rule(modules: list[Module]) -> Iterator[str]:
    for module in modules:
        lines, path = len(module.source.splitlines()), module.path.removeprefix(f"{PACKAGE}/")
        if lines > LONGER.get(path, LONGEST):
            yield f"{module.path} has {lines} lines of {LONGER.get(path, LONGEST)} at most: split it by topic"


def needless_exceptions(sources: dict[str, str]) -> Iterator[str]:
    """What stands on a list of exceptions and would pass without."""
    for path in LONGER:
        lines = len(sources.get(f"{PACKAGE}/{path}", "").splitlines())
        if lines <= LONGEST:
            yield f"{path} has {lines} lines: take it out of LONGER"
    all_names = {name for path, source in sources.items() for _, name in names(Module(path, source, ast.parse(source)))}
    for name in RETIRED_BUT_STORED.keys() - all_names:
        yield f"nothing is named {name}: take it out of RETIRED_BUT_STORED"
    for name in CLASSES_OF_ONE_NAME:
        if sum(len(re.findall(rf"^\s*class {name}\b", source, re.MULTILINE)) for source in sources.values()) < 2:
            yield f"class {name} is not defined twice: take it out of CLASSES_OF_ONE_NAME"


WHOLE_RULES = (cycle_rule, class_rule, length_rule)


def complaints(sources: dict[str, str]) -> list[str]:
    """What breaks a rule in these files, given as path from the repository root -> source."""
    modules = [Module(path, source, ast.parse(source, path)) for path, source in sources.items()]
    found = [f"{m.path}:{line}: {text}" for m in modules for rule in RULES for line, text in rule(m)]
    return [*found, *(text for rule in WHOLE_RULES for text in rule(modules))]


def test_every_rule_is_kept() -> None:
    root = Path(__file__).parents[1]
    files = sorted((root / PACKAGE).rglob("*.py"))
    sources = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}
    assert f"{PACKAGE}/__init__.py" in sources
    found = [*complaints(sources), *needless_exceptions(sources)]
    assert not found, "\n" + "\n".join(found)


def bound(tree: ast.Module) -> set[str]:
    """The names that a module has when it is loaded."""
    found, nodes = {"__version__", "__doc__", "__path__"}, list(tree.body)
    while nodes:
        node = nodes.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Lambda):
            nodes += ast.iter_child_nodes(node)
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found.update(alias.asname or alias.name for alias in names)
            case ast.Assign(targets=[ast.Name(id="_HOMES")], value=ast.Dict(keys=keys)):  # made when they are asked for
                found.update(key.value for key in keys if isinstance(key, ast.Constant))
    return found


def broken_imports(package: dict[str, str], others: dict[str, str]) -> list[str]:
    """What files outside of the package import from it, and is not there."""
    modules = {Module(path, "", ast.Module([])).name: bound(ast.parse(source)) for path, source in package.items()}
    found = []
    for path, source in others.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == PACKAGE:
                there = modules.get(node.module, set())
                names = (a.name for a in node.names if f"{node.module}.{a.name}" not in modules)
                found += [f"{path}:{node.lineno}: {node.module} has no {name}" for name in names if name not in there]
    return found


def test_imports_of_tests_benchmarks_and_scripts_exist() -> None:
    root = Path(__file__).parents[1]
    folders = (PACKAGE, "tests", "benchmarks", "src-docs")
    package, *others = (
        {
            path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for path in (root / folder).rglob("*.py")
            if not any(part.startswith(".venv") for part in path.parts[len(root.parts) :])
        }
        for folder in folders
    )
    found = broken_imports(package, {path: source for files in others for path, source in files.items()})
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from napari_fcn.nets import NetSpec, spec", []),
        ("from napari_fcn.nets.spec import NetSpec as Spec, LEAST", []),
        ("def f():\n    from napari_fcn.nets.spec import MOST", ["MOST"]),
        ("from napari_fcn.nets.planner import plan", ["plan"]),
        ("from math import tau", []),
    ],
)
def test_an_import_of_a_renamed_name_is_found(source: str, missing: list[str]) -> None:
    package = {
        f"{PACKAGE}/nets/__init__.py": "from napari_fcn.nets.spec import NetSpec",
        f"{PACKAGE}/nets/spec.py": "class NetSpec:\n    MOST = 2\nLEAST = 1",
    }
    found = broken_imports(package, {"tests/test_spec.py": source})
    assert [text.rsplit(" ", 1)[-1] for text in found] == missing


TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("path", "source", "line", "text"),
    [
        ("geometry/region.py", "import os\nfrom napari_fcn.nets import UNet", 2, "geometry lies below nets"),
        ("geometry/region.py", "def f():\n    from napari_fcn import nets", 2, "geometry lies below nets"),
        ("geometry/region.py", TYPING + "from ..nets import NetSpec", 3, "geometry lies below nets"),
        ("geometry/region.py", "import scipy.ndimage", 1, "not scipy"),
        ("events.py", "import torch", 1, "not torch"),
        ("session.py", "from napari_fcn.io import read", 1, "session lies below io"),
        ("session.py", "from napari_fcn import load", 1, "not from the package"),
        ("session.py", TYPING + "from napari.layers import Image", 3, "napari is imported under gui/ only"),
        ("cli.py", "from napari_fcn.gui import _samples", 1, "cli and gui never import each other"),
        ("runs.py", "def f():\n    import napari_fcn.gui", 2, "runs lies below gui"),
        ("gui/_layers.py", "def f():\n    import napari_fcn.cli", 2, "gui and cli never import each other"),
        ("attic.py", "", 1, "attic has no floor yet"),
        ("__init__.py", "from napari_fcn.geometry import Region", 1, "must stay light"),
        ("session.py", "import threading\nthreading.Thread()", 2, "threads live in"),
        ("session.py", "from threading import Timer", 1, "threads live in"),
        ("learning/losses.py", "from concurrent.futures import Future", 1, "threads live in"),
        ("gui/segment.py", "from qtpy import QtCore\nclass T(QtCore.QThread): ...", 2, "threads live in"),
        ("models/checkpoint.py", "import pickle", 1, "pickle runs code"),
        ("models/checkpoint.py", "import torch\ntorch.load('x')", 2, "torch.load runs code"),
        ("models/checkpoint.py", "import torch\ntorch.load('x', weights_only=True)", 2, "torch.load runs code"),
        ("nets/pretrained.py", "import torch\ntorch.load('x', weights_only=False)", 2, "torch.load runs code"),
        ("models/checkpoint.py", "from torch import load", 1, "torch.load runs code"),
        ("io.py", "import numpy as np\nnp.load('x', allow_pickle=True)", 2, "allow_pickle runs code"),
        ("session.py", "from napari_fcn.errors import DECODE_ERRORS", 1, "only the readers in io/ decode files"),
        ("io.py", "print(1)", 1, "print stands in cli/terminal.py only"),
        ("io.py", "x = f'{1} px. Set it under Advanced.'", 1, "the command line has no controls"),
        ("gui/segment.py", "x = 'It exists. Add --overwrite.'", 1, "a dock has no flags"),
        ("io.py", "try:\n    x = 1\nexcept Exception:\n    raise", 3, "catch the exact type"),
        ("io.py", "try:\n    x = 1\nexcept (OSError, BaseException):\n    x = 2", 3, "catch the exact type"),
        ("io.py", "try:\n    x = 1\nexcept:\n    raise OSError", 3, "catch the exact type"),
        ("gui/segment.py", "import torch", 1, "knows no engine"),
        ("gui/segment.py", TYPING + "from napari_fcn.session import Session", 3, "knows no engine"),
        ("gui/_threads.py", "from napari_fcn.session import Session", 1, "knows no engine"),
        ("gui/segment.py", "from napari_fcn.gui._layers import read", 1, "go through _controllers"),
        ("gui/segment.py", "from . import _threads", 1, "go through _controllers"),
        ("gui/_controllers.py", "from napari_fcn.gui.segment import SegmentWidget", 1, "not segment"),
        ("gui/_layers.py", "from ._threads import JobRunner", 1, "not _threads"),
        ("learning/wish.py", "", 1, "wish has the retired word wish"),
        ("io/series.py", "class SheetReader: ...", 1, "SheetReader has the retired word sheet"),
        ("io/series.py", "class _Desk: ...", 1, "_Desk has the retired word desk"),
        ("io/series.py", "class A:\n    def hear_all(self): ...", 2, "the retired word hear"),
        ("io/series.py", "def f(*, eye): ...", 1, "eye has the retired word eye"),
        ("io/series.py", "class A:\n    ladder: int = 0", 2, "ladder has the retired word ladder"),
        ("io/series.py", "def f(self):\n    self._stretch = 1", 2, "_stretch has the retired word stretch"),
        ("io/series.py", "FIRST, THIN = 1, 2", 1, "THIN has the retired word thin"),
    ],
)
def test_a_broken_rule_is_named_with_file_and_line(path: str, source: str, line: int, text: str) -> None:
    found = complaints({f"{PACKAGE}/{path}": source})
    assert len(found) == 1
    assert found[0].startswith(f"{PACKAGE}/{path}:{line}: ")
    assert text in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("geometry/region.py", "import numpy.typing as npt\nfrom math import prod"),
        ("receptive_fields/theoretical.py", "import torch\nfrom ..nets.spec import NetSpec\nfrom . import exactness"),
        ("models/checkpoint.py", "from napari_fcn import __version__"),
        ("inference/predictor.py", "from concurrent.futures import ThreadPoolExecutor"),
        ("cli/terminal.py", "def demo():\n    from napari_fcn.gui.segment import SegmentWidget\n    print(1)"),
        ("runs.py", "from napari_fcn.io import read\nfrom napari_fcn.sample_data import cells"),
        ("__init__.py", TYPING + "from napari_fcn.session import Session"),
        ("__main__.py", "from napari_fcn.cli import main"),
        ("io/images.py", "from napari_fcn.errors import DECODE_ERRORS"),
        ("io.py", "import threading\nlock = threading.Lock()"),
        ("io.py", "try:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise"),
        ("gui/_threads.py", "from threading import Thread\ntry:\n    x = 1\nexcept Exception:\n    x = 2"),
        ("gui/_controllers.py", "import torch\nfrom . import _threads, _layers\nfrom ..session import Session"),
        ("gui/segment.py", "from napari_fcn.gui._widgets.form import form\nfrom napari_fcn.settings import Segment"),
        ("gui/segment.py", "import napari\nfrom napari_fcn.gui._controllers import run\nfrom . import parts"),
        ("io/series.py", "class Eyepiece: ...\nbackground = 1\nx = a.eye"),
        ("settings.py", "judge_every = 1"),
    ],
)
def test_allowed_code_passes(path: str, source: str) -> None:
    assert complaints({f"{PACKAGE}/{path}": source}) == []


@pytest.mark.parametrize(
    ("back", "has_cycle"),
    [
        ("from napari_fcn.nets.spec import NetSpec", True),
        ("import napari_fcn.nets", True),  # runs nets/__init__, which imports this module
        ("def f():\n    from napari_fcn.nets.spec import NetSpec", True),
        ("class A:\n    def f(self):\n        import napari_fcn.nets", True),
        (TYPING + "from napari_fcn.nets.spec import NetSpec", False),
        ("from napari_fcn.geometry import Region", False),
    ],
)
def test_there_are_no_import_circles_even_inside_functions(back: str, has_cycle: bool) -> None:
    sources = {
        f"{PACKAGE}/nets/__init__.py": "from napari_fcn.nets.spec import NetSpec",
        f"{PACKAGE}/nets/spec.py": "from napari_fcn.nets.layers import conv",
        f"{PACKAGE}/nets/layers.py": back,
    }
    assert [text.split(":")[0] for text in complaints(sources)] == ["imports run in a circle"] * has_cycle


@pytest.mark.parametrize(
    ("first", "second", "is_double"),
    [
        ("class Tile: ...", "class Tile: ...", True),
        ("class _Tile: ...", "def f():\n    class _Tile: ...", True),
        ("class Tile: ...", "class _Tile: ...", False),
        ("class Tile: ...", "from napari_fcn.nets.spec import Tile", False),
    ],
)
def test_a_class_name_is_defined_once_in_the_package(first: str, second: str, is_double: bool) -> None:
    found = complaints({f"{PACKAGE}/nets/spec.py": first, f"{PACKAGE}/nets/unet.py": second})
    assert ["is defined in" in text for text in found] == [True] * is_double


@pytest.mark.parametrize(("lines", "is_long"), [(LONGEST, False), (LONGEST + 1, True)])
def test_a_module_has_at_most_400_lines(lines: int, is_long: bool) -> None:
    found = complaints({f"{PACKAGE}/nets/spec.py": "x = 1\n" * lines})
    assert ["split it by topic" in text for text in found] == [True] * is_long


def test_an_unused_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.LONGER", {"nets/spec.py": 410})
    monkeypatch.setattr(f"{__name__}.RETIRED_BUT_STORED", {"exam": "a reason"})
    monkeypatch.setattr(f"{__name__}.CLASSES_OF_ONE_NAME", {"Tile": "a reason"})
    path, twice = f"{PACKAGE}/nets/spec.py", "class Tile: ...\n" * 2 + "def exam(): ...\n"
    assert complaints({path: twice + "x = 1\n" * 407}) == list(needless_exceptions({path: twice + "x\n" * 407})) == []
    assert "411 lines of 410" in complaints({path: "x = 1\n" * 411})[0]
    assert [text.split(": ")[1] for text in needless_exceptions({path: "class Tile: ..."})] == [
        "take it out of LONGER",
        "take it out of RETIRED_BUT_STORED",
        "take it out of CLASSES_OF_ONE_NAME",
    ]
