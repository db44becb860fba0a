"""List every text that a dock can show, as Markdown, to check the vocabulary as a whole.

    python src-docs/list_texts.py [WORD ...] > texts.md

Texts are read from the source, so nothing is started. ``{...}`` stands for a value. With words, only texts that contain
one of them are listed.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1] / "napari_fcn"

GROUPS = {  # heading -> prefixes of the paths whose texts it lists; the first match counts
    "Segment": ("gui/segment", "gui/_controllers/segment"),
    "Batch": ("gui/batch", "gui/_batch_panels", "gui/_controllers/batch"),
    "Teach": ("gui/teach", "gui/_teach_panels", "gui/_controllers/teach"),
    "Receptive field": ("gui/field", "gui/_field_panels", "gui/_controllers/field"),
    "Synthetic cells and samples": ("gui/synthetic", "gui/_samples", "sample_data"),
    "All docks": ("gui/",),
    "Options of the forms": ("settings",),
    "Engine: models and networks": ("models/", "nets/", "inference/", "geometry/", "session", "sequences", "objects"),
    "Engine: teaching and projects": ("teaching/", "learning/", "project/", "events", "training/"),
    "Engine: receptive fields": ("receptive_fields/", "inspection/"),
    "Engine: images, results and runs": ("io/", "runs/", "storage/", "distributed/", "file_", "system_errors", "typed"),
    "Engine: other": ("",),
}
NO_DOCK = ("cli/", "figures", "__", "gui/demo", "demo", "api")  # texts for the terminal or files only
KINDS = {  # heading -> the functions whose texts it lists
    "Menus, widgets and samples": {"manifest"},
    "Buttons": {"QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QAction", "addAction", "_button"},
    "Labels": {"QLabel", "addRow", "insertRow", "addItem", "addTab", "Collapsible", "QGroupBox", "setHeaderLabels"},
    "Names for screen readers": {"setAccessibleName", "setAccessibleDescription", "WrappingLabel"},
    "Tooltips": {"setToolTip", "hint", "_narrow_combo", "magic_factory"},
    "Placeholders and titles": {"setPlaceholderText", "setWindowTitle", "getOpenFileName", "getExistingDirectory"},
    "Shortcuts": {"Key"},
    "Options": {"option"},
    "Plots": {"setLabel", "set_title", "setTitle", "addLegend"},
}
CALLERS = {"ValueError", "TypeError", "IndexError", "KeyError", "AttributeError", "AssertionError", "RuntimeError"}
NO_TEXTS = {"TypeVar", "compile", "match", "search", "sub", "fullmatch", "getattr", "hasattr", "strftime"}
ERRORS, STATUS, OF_CALLERS = "Errors and notes", "Status lines and other texts", "Errors of values"
CODE = re.compile(r"^[\w./:%<>*#\\^$&;=\[\](){}|,+-]*$|^\s*$|^[a-z-]+: [^ ]+;|^rgb|^<[^>]*>$")


@dataclass(frozen=True, slots=True)
class Text:
    """One text and its location."""

    group: str
    kind: str
    place: str
    text: str


def texts(root: Path = ROOT) -> Iterator[Text]:
    """Yield the texts of napari's menus, then those of the source, file by file."""
    yield from _manifest(root / "napari.yaml")
    trees = {p.relative_to(root).as_posix(): ast.parse(p.read_text(encoding="utf-8")) for p in root.rglob("*.py")}
    errors = _errors(trees.values())
    for path, tree in sorted(trees.items()):
        if not path.startswith(NO_DOCK):
            yield from _Reader(path, errors).read(tree)


def _manifest(path: Path) -> Iterator[Text]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if match := re.match(r"\s*(?:- )?(?:title|display_name|description): (.+)", line):
            yield Text("napari's menus", "Menus, widgets and samples", f"{path.name}:{number}", match[1])


def _errors(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names of `FcnError`, `Note` and of the classes that derive from them."""
    bases = {
        node.name: {ast.unparse(base).split(".")[-1] for base in node.bases}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names, previous = {"FcnError", "Note"}, set()
    while names != previous:
        previous = set(names)
        names |= {name for name, parents in bases.items() if parents & names}
    return names


class _Reader:
    """Collects the texts of one file.

    Parameters
    ----------
    path : str
        Path of the file, relative to the package.
    errors : set of str
        Names of the classes whose messages are for the user.
    """

    def __init__(self, path: str, errors: set[str]) -> None:
        self.path, self.errors = path, errors
        self.group = next(name for name, starts in GROUPS.items() if path.startswith(starts))

    def read(self, node: ast.AST, caller: str = "") -> Iterator[Text]:
        """Yield the texts below a node; ``caller`` is the function to which they are passed."""
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return
        if isinstance(node, ast.Call):
            caller = ast.unparse(node.func).split(".")[-1]
            if caller in NO_TEXTS:
                return
            if caller in self.errors and caller != "Note":
                yield from self._message(node)
                return
        if isinstance(node, ast.JoinedStr | ast.BinOp | ast.Constant) and (text := render(node)):
            yield from self._classify(node, caller, text)
            return
        for child in self._children(node):
            yield from self.read(child, caller if not isinstance(node, ast.stmt) else "")

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the children that may contain texts for the user: no docstrings, annotations or keys."""
        skipped: set[int] = set()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            skipped |= {id(child) for child in node.body[:1] if ast.get_docstring(node, clean=False) is not None}
        for name in ("annotation", "returns", "slice"):
            skipped.add(id(getattr(node, name, None)))
        yield from (child for child in ast.iter_child_nodes(node) if id(child) not in skipped)

    def _message(self, node: ast.Call) -> Iterator[Text]:
        """Yield an error as a dock shows it: the problem, then the advice for docks."""
        parts = [self._advice(argument) for argument in node.args]
        if text := " ".join(filter(None, parts)):
            yield self._text(node, ERRORS, text)

    def _advice(self, node: ast.AST) -> str:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Advice":
            return render(node.args[1]) if len(node.args) > 1 else ""
        return render(node) or f"{{{ast.unparse(node)}}}"

    def _classify(self, node: ast.AST, caller: str, text: str) -> Iterator[Text]:
        kind = next((kind for kind, names in KINDS.items() if caller in names), "")
        if not kind and caller in CALLERS:
            kind = OF_CALLERS
        if not kind and caller in ("Note", "Advice"):
            kind = ERRORS
        if not kind and CODE.match(text) and not text.istitle():
            return  # a key, a style, a pattern
        if re.search("[A-Za-z]{2}", re.sub(r"\{.*?\}", "", text)):
            yield self._text(node, kind or STATUS, text)

    def _text(self, node: ast.AST, kind: str, text: str) -> Text:
        return Text(self.group, kind, f"{self.path}:{node.lineno}", " ".join(text.split()))


def render(node: ast.AST) -> str:
    """Return a text in the source, with ``{...}`` for values; empty if the node is not a text."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(render(v) if isinstance(v, ast.Constant) else _filled(v.value) for v in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right) if render(left) or render(right):
            return (render(left) or _filled(left)) + (render(right) or _filled(right))
        case ast.IfExp(body=body, orelse=orelse) if render(body) or render(orelse):
            return f"{{{render(body)}|{render(orelse)}}}"
    return ""


def _filled(node: ast.AST) -> str:
    """Return the placeholder of a value: its alternatives if these are texts, else its name."""
    if isinstance(node, ast.IfExp):
        return render(node) or "{...}"
    return "{" + (ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else "...") + "}"


def page(entries: Iterable[Text]) -> str:
    """Return the list: a section for each dock and kind, each text once with its locations."""
    order = ["napari's menus", *GROUPS]
    kinds = [*KINDS, STATUS, ERRORS, OF_CALLERS]
    table: dict[tuple[int, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        table[order.index(entry.group), kinds.index(entry.kind)][entry.text].append(entry.place)
    lines, last = ["# Texts of the docks"], -1
    for (group, kind), places_by_text in sorted(table.items()):
        lines += ["", f"## {order[group]}"] if group != last else []
        lines += ["", f"### {kinds[kind]}", ""]
        lines += [f"- {text}  `{', '.join(dict.fromkeys(places))}`" for text, places in places_by_text.items()]
        last = group
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> None:
    """Print the list, or its texts that contain one of some words."""
    pattern = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words), re.IGNORECASE)
    sys.stdout.write(page(entry for entry in texts() if pattern.search(entry.text)))


if __name__ == "__main__":
    main(sys.argv[1:])
