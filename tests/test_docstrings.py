"""Docstrings name parameters, attributes and types that exist."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "napari_fcn"
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
OF_OTHERS = {
    "DashAtlas",
    "Labels.data_setitem",
    "VispyCanvas._clean_and_update_scenegraph",
}  # names of napari and vispy
ENTRY = re.compile(r"^(\S[^:\n]*) : ([^\n]*)$", re.MULTILINE)
Documented = ast.FunctionDef | ast.ClassDef


def known_names() -> set[str]:
    """Return every name that the package defines or uses."""
    names = set(dir(builtins))
    for path, tree in TREES.items():
        names |= set(path.removesuffix(".py").split("/"))
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name):
                    names.add(name)
                case ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                    names.add(name)
                case ast.alias(name=name):
                    names |= set(name.split("."))
    return names


def documented(tree: ast.Module) -> Iterator[tuple[Documented, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text


def entries(text: str, *sections: str) -> Iterator[tuple[str, str]]:
    """Yield name and type of each entry in sections of a numpy docstring."""
    for section in sections:
        found = re.search(rf"^{section}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
        for names, kind in ENTRY.findall(found[1]) if found else ():
            for name in names.split(","):
                yield name.strip().lstrip("*"), kind


def arguments(node: ast.FunctionDef) -> set[str]:
    every = node.args
    return {one.arg for one in [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg] if one}


def attributes(node: ast.ClassDef) -> set[str]:
    """Return the fields, attributes, methods and constructor arguments of a class."""
    names = set()
    for part in ast.walk(node):
        match part:
            case ast.FunctionDef(name="__init__" | "__new__"):
                names |= arguments(part)
            case ast.FunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def unknown_entries(tree: ast.Module) -> list[str]:
    """Return the parameters and attributes in docstrings that do not exist."""
    found = []
    for node, text in documented(tree):
        own = arguments(node) if isinstance(node, ast.FunctionDef) else attributes(node)
        sections = ("Parameters",) if isinstance(node, ast.FunctionDef) else ("Parameters", "Attributes")
        found += [f"{node.name}: {name}" for name, _ in entries(text, *sections) if name not in own]
    return found


def unknown_references(tree: ast.Module, names: set[str]) -> list[str]:
    """Return the types of entries, and the names in single backticks, that do not exist."""
    found = []
    for node, text in documented(tree):
        types = [w for _, kind in ENTRY.findall(text) for w in re.findall(r"\b[A-Z]\w+\b", kind.partition("``")[0])]
        quoted = re.findall(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)", text)
        found += [f"{node.name}: {name}" for name in {*types, *quoted} - OF_OTHERS if not set(name.split(".")) <= names]
    return found


@pytest.mark.parametrize("path", TREES)
def test_parameters_and_attributes_exist(path: str) -> None:
    assert not unknown_entries(TREES[path])


def test_types_and_references_exist() -> None:
    names = known_names()
    assert not [f"{path}: {found}" for path, tree in TREES.items() for found in unknown_references(tree, names)]


def test_missing_names_are_found() -> None:
    source = '''
def resize(image, size):
    """Return an image, see `no_such_function`.

    Parameters
    ----------
    image : NoSuchType
        The image.
    sizes : int
        Its length.
    """

class Resizer:
    """Resizes.

    Attributes
    ----------
    scale : float
        The scale.
    factor : float
        Another one.
    """

    scale: float
'''
    tree = ast.parse(source)
    assert unknown_entries(tree) == ["resize: sizes", "Resizer: factor"]
    assert sorted(unknown_references(tree, {"resize"})) == ["resize: NoSuchType", "resize: no_such_function"]
